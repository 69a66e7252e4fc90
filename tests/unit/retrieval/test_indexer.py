"""The worker between outbox and index: catching up, waiting, restarting, rebuilding."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kb_store.errors import NotFound
from kb_store.model import Context

TRIPLES = [(f"Person {i}", "employer", f"Company {i}") for i in range(150)]


def agree(keeper: Any, *namespaces: str) -> None:
    keeper.catch_up()
    for namespace in namespaces:
        assert keeper.index.rows(namespace) == keeper.rows(namespace)
        assert keeper.indexer.verify(namespace) == []


def test_writes_become_searchable(keeper: Any) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    assert keeper.indexer.wait_searchable("a", 150, 60)
    assert keeper.indexer.searchable_revision("a") == 150
    assert keeper.indexer.lag() == 0
    agree(keeper, "a")


def test_a_deleted_fact_leaves_and_an_undeleted_one_returns(keeper: Any) -> None:
    from kb_store.model import UndeleteFact

    keeper.namespace("a")
    facts = keeper.add("a", *TRIPLES[:5])
    keeper.catch_up()
    keeper.delete(facts[0])
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 4
    keeper.store.write([UndeleteFact("a", facts[0].fact_id)], Context())
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 5


def test_a_corrected_object_is_not_embedded_again(keeper: Any, embedder: Any) -> None:
    keeper.namespace("a")
    (fact,) = keeper.add("a", ("Anna Keller", "employer", "Norwind"))
    keeper.catch_up()
    before = embedder.embedded
    corrected = keeper.correct(fact, object="Calder")
    assert keeper.indexer.wait_searchable("a", corrected.namespace_revision, 60)
    assert embedder.embedded == before


def test_a_changed_subject_moves_the_vector(keeper: Any, embedder: Any) -> None:
    keeper.namespace("a")
    (fact,) = keeper.add("a", ("Anna Keller", "employer", "Norwind"))
    keeper.catch_up()
    keeper.correct(fact, subject="Bruno Weber")
    keeper.catch_up()
    (row,) = keeper.rows("a")
    (vector,) = embedder.embed(["employer of Bruno Weber"])
    assert keeper.index.search("a", vector, limit=1) == [(row, pytest.approx(1.0, abs=1e-5))]


def test_waiting_for_a_revision_that_does_not_come(keeper: Any) -> None:
    keeper.namespace("a")
    assert not keeper.indexer.wait_searchable("a", 1, 0.05)
    with pytest.raises(NotFound):
        keeper.indexer.wait_searchable("nobody", 1, 0.05)


def test_a_namespace_made_again_starts_from_nothing(keeper: Any) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES[:20])
    keeper.catch_up()
    keeper.store.delete_namespace("a", force=True, etag="", context=Context())
    keeper.namespace("a")
    assert not keeper.indexer.wait_searchable("a", 1, 0.05)
    keeper.add("a", TRIPLES[0])
    assert keeper.indexer.wait_searchable("a", 1, 60)
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 1


def test_what_was_searchable_of_an_earlier_namespace_says_nothing_of_a_later_one(
    keeper: Any, embedder: Any, monkeypatch: Any
) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES[:5])
    keeper.catch_up()
    keeper.store.delete_namespace("a", force=True, etag="", context=Context())
    keeper.namespace("a")
    keeper.catch_up()
    working, goes_on = embedder.embed, threading.Event()

    def embed(texts: Any) -> Any:
        assert goes_on.wait(60)
        return working(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    keeper.add("a", *TRIPLES[:7])  # by now it has had more revisions than the earlier one
    assert keeper.indexer.searchable_revision("a") == 0
    assert not keeper.indexer.wait_searchable("a", 5, 0.05)
    goes_on.set()
    assert keeper.indexer.wait_searchable("a", 7, 60)
    agree(keeper, "a")


def test_entries_of_an_earlier_namespace_that_come_late_say_nothing_of_a_later_one(
    keeper: Any, embedder: Any, monkeypatch: Any
) -> None:
    keeper.settings = replace(keeper.settings, batch=5)
    keeper.restart()
    keeper.namespace("a")
    working, written, seen = embedder.embed, threading.Event(), []

    def embed(texts: Any) -> Any:
        assert written.wait(60)
        seen.append((keeper.indexer.searchable_revision("a"), len(keeper.index.rows("a"))))
        return working(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    keeper.add("a", *TRIPLES[:5])
    keeper.store.delete_namespace("a", force=True, etag="", context=Context())
    keeper.namespace("a")
    keeper.add("a", *TRIPLES[50:75])
    written.set()
    agree(keeper, "a")
    assert [pair for pair in seen if pair[0] > pair[1]] == []
    assert max(seen) == (20, 20)


def test_after_a_clean_stop_nothing_is_embedded_again(keeper: Any, embedder: Any) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    keeper.stop()
    before = embedder.embedded
    keeper.start()
    agree(keeper, "a")
    assert embedder.embedded == before
    assert keeper.store.read_outbox(after=0, limit=1) == [], "what a saved index covers is forgotten"


def test_what_was_written_while_the_index_was_away_is_caught_up(keeper: Any) -> None:
    keeper.namespace("a")
    facts = keeper.add("a", *TRIPLES[:100])
    keeper.catch_up()
    keeper.indexer.close()
    keeper.add("a", *TRIPLES[100:])
    keeper.delete(*facts[:10])
    keeper.store.close()
    keeper.started = False
    keeper.start()
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 140


def test_an_index_that_was_never_saved_is_made_from_the_outbox(keeper: Any, tmp_path: Path) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    keeper.stop()
    shutil.rmtree(tmp_path / "index")
    keeper.start()
    agree(keeper, "a")


@pytest.mark.parametrize("damage", ["folder", "manifest", "file", "older"])
def test_a_damaged_index_is_rebuilt(keeper: Any, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "index"
    keeper.namespace("a")
    keeper.namespace("b")
    keeper.add("a", *TRIPLES[:100])
    keeper.add("b", *TRIPLES[100:])
    keeper.catch_up()
    keeper.restart()
    shutil.copytree(folder, tmp_path / "older")
    keeper.add("a", ("Somebody", "employer", "new"))
    keeper.catch_up()
    keeper.stop()
    if damage == "folder":
        shutil.rmtree(folder)
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{}")
    elif damage == "file":
        for path in folder.glob("*.faiss"):
            path.write_bytes(path.read_bytes()[:-7])
    else:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "older", folder)
    keeper.start()
    agree(keeper, "a", "b")
    assert len(keeper.index.rows("a")) == 101
    keeper.restart()
    assert not keeper.index.damaged
    assert not keeper.index.lost
    agree(keeper, "a", "b")


def test_an_index_ahead_of_the_database_is_rebuilt(keeper: Any, tmp_path: Path) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES[:10])
    keeper.catch_up()
    keeper.stop()
    shutil.copy(tmp_path / "facts.db", tmp_path / "backup.db")
    keeper.start()
    keeper.add("a", *TRIPLES[10:])
    keeper.catch_up()
    keeper.stop()
    for path in tmp_path.glob("facts.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", tmp_path / "facts.db")
    keeper.start()
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 10


def test_an_index_that_misses_a_row_is_noticed_by_its_count(keeper: Any, embedder: Any) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    row = min(keeper.rows("a"))
    keeper.index.apply("a", remove=[row], rows=[], vectors=embedder.embed([]), sequence=0)
    assert keeper.indexer.verify("a", timeout=0.1) == [f"1 facts that the index does not have (rows {row})"]
    keeper.restart()
    agree(keeper, "a")


def test_another_embedder_means_another_index(keeper: Any, other_embedder: Any) -> None:
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    keeper.stop()
    keeper.embedder = other_embedder
    keeper.start()
    agree(keeper, "a")
    assert other_embedder.embedded == 150


def test_rebuild_on_request_while_facts_change(keeper: Any) -> None:
    keeper.settings = replace(keeper.settings, batch=16)
    keeper.restart()
    keeper.namespace("a")
    facts = keeper.add("a", *TRIPLES)
    keeper.catch_up()
    seen: list[tuple[int, int]] = []

    def meanwhile(done: int, total: int) -> None:
        if not seen:
            keeper.delete(facts[0], facts[-1])
            keeper.correct(facts[1], subject="Somebody else")
            keeper.add("a", ("Newcomer", "employer", "x"))
        seen.append((done, total))

    assert keeper.indexer.rebuild("a", meanwhile).result(60) in (149, 150, 151)
    assert len(seen) > 5
    assert seen[0] == (16, 150)
    agree(keeper, "a")
    assert len(keeper.index.rows("a")) == 149


def test_a_failing_embedder_is_tried_again(keeper: Any, embedder: Any, monkeypatch: Any) -> None:
    working, failures = embedder.embed, iter([RuntimeError("no memory"), RuntimeError("no memory")])

    def embed(texts: Any) -> Any:
        for error in failures:
            raise error
        return working(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    keeper.namespace("a")
    keeper.add("a", *TRIPLES[:10])
    agree(keeper, "a")
    # Waiters are told as soon as the facts are searchable, a moment before the worker's step is over.
    for _ in range(1200):
        if keeper.indexer.last_error is None:
            break
        time.sleep(0.05)
    assert keeper.indexer.last_error is None


def test_a_rebuild_that_fails_half_way_begins_again(keeper: Any, embedder: Any, monkeypatch: Any) -> None:
    keeper.settings = replace(keeper.settings, batch=16)
    keeper.restart()
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    calls = iter(range(1000))

    def progress(done: int, total: int) -> None:
        if next(calls) == 3:
            raise RuntimeError("interrupted")

    assert keeper.indexer.rebuild("a", progress).result(60) == 150
    agree(keeper, "a")


def test_a_rebuild_that_goes_on_failing_is_tried_less_and_less_often(
    keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good batches before the bad one are no reason to try again at once."""
    monkeypatch.setattr("kb_store.indexer._LONGEST_PAUSE", 0.4)
    keeper.settings = replace(keeper.settings, batch=16)
    keeper.restart()
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    failed: list[float] = []

    def progress(done: int, total: int) -> None:
        if done > 100 and len(failed) < 4:
            failed.append(time.monotonic())
            raise RuntimeError("no memory")

    assert keeper.indexer.rebuild("a", progress).result(60) == 150
    assert failed[3] - failed[2] > 0.35
    agree(keeper, "a")


def test_saving_by_number_of_changes_trims_the_outbox(keeper: Any) -> None:
    keeper.settings = replace(keeper.settings, save_changes=50, save_share=0.0)
    keeper.restart()
    keeper.namespace("a")
    keeper.add("a", *TRIPLES)
    keeper.catch_up()
    keeper.indexer.close()
    assert keeper.index.saved_sequence == 150
    assert keeper.store.read_outbox(after=0, limit=1) == []


def test_closing_twice_and_waiting_afterwards(keeper: Any) -> None:
    keeper.namespace("a")
    keeper.indexer.close()
    keeper.indexer.close()
    keeper.add("a", TRIPLES[0])
    assert not keeper.indexer.wait_searchable("a", 1, 5)
