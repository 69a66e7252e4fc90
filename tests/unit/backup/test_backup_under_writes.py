"""A backup that is made while facts are written holds everything that was acknowledged before, and nothing by half."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kb_store.model import ConflictPolicy, Content, Context, CreateFact, DeleteFact, ImportRow, UpdateFact
from kb_store.sql import SqlStore, open_store
from service.backup.creating import create
from service.backup.restoring import restore, verify
from tests.crash.stand import stand

NS = "busy"
ANYONE = Context()


class Lane:
    """Writes facts of its own until it is stopped, and knows what was acknowledged."""

    def __init__(self, store: SqlStore, number: int) -> None:
        self._store, self._number = store, number
        self.acknowledged: dict[str, str | None] = {}  # fact id -> object; None: deleted
        self.stopping = threading.Event()

    def run(self) -> None:
        step = 0
        while not self.stopping.is_set():
            step += 1
            name = f"{self._number}-{step}"
            content = Content(f"Subject {name}", "colour", f"colour {name}")
            if step % 5 == 0:
                rows = [ImportRow(2, content, name)]
                self._store.import_rows(NS, f"import-{name}", rows, ConflictPolicy.FAIL, ANYONE).result()
            else:
                self._store.write([CreateFact(NS, content, name)], ANYONE)
            self.acknowledged[name] = content.object
            if step % 3 == 0:
                self._store.write([UpdateFact(NS, name, {"object": f"other {name}"})], ANYONE)
                self.acknowledged[name] = f"other {name}"
            if step % 4 == 0:
                self._store.write([DeleteFact(NS, name)], ANYONE)
                self.acknowledged[name] = None


@contextmanager
def writing(store: SqlStore, lanes: int) -> Iterator[list[Lane]]:
    made = [Lane(store, number) for number in range(lanes)]
    threads = [threading.Thread(target=lane.run) for lane in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for lane in made:
            lane.stopping.set()
        for thread in threads:
            thread.join()


def until(lanes: list[Lane], count: int) -> None:
    while sum(len(lane.acknowledged) for lane in lanes) < count:
        threading.Event().wait(0.005)


def at_revision(store: SqlStore, revision: int) -> dict[str, Any]:
    """Every fact as it was at a revision of the namespace, told by its history."""
    found: dict[str, Any] = {}
    for fact in store.list_facts(NS, limit=100_000, show_deleted=True).facts:
        for entry in store.list_revisions(NS, fact.fact_id, limit=1000):
            past = entry.fact
            if past.namespace_revision <= revision:
                found[fact.fact_id] = (past.content, past.revision, past.uid, past.deleted, past.etag)
                break
    return found


def test_nothing_acknowledged_is_missing_and_nothing_is_there_by_half(tmp_path: Path) -> None:
    live = tmp_path / "live"
    with stand(live) as (store, _index, indexer):
        store.create_namespace(NS, "", frozenset(), ANYONE)
        promised: list[dict[str, str | None]] = []
        made = []
        with writing(store, 3) as lanes:
            for number in range(3):
                until(lanes, 30 * (number + 1))
                promised.append(
                    {name: said for lane in lanes for name, said in dict(lane.acknowledged).items()}
                )
                made.append(create(live, live / "facts.db", tmp_path / "backups")[0])
        indexer.wait_caught_up(60)
        for number, (path, before) in enumerate(zip(made, promised, strict=True)):
            manifest, problems = verify(path)
            assert problems == []
            restore(path, tmp_path / f"restored-{number}")
            again = open_store(tmp_path / f"restored-{number}" / "facts.db")
            revision = again.get_namespace(NS).revision
            assert manifest.namespaces[NS].revision == revision
            # Exactly the state at that revision: every commit up to it, none after it.
            assert at_revision(again, revision) == at_revision(store, revision)
            there = again.list_facts(NS, limit=100_000, show_deleted=True).facts
            now = {fact.fact_id: None if fact.deleted else fact.content.object for fact in there}
            for name, said in before.items():
                # It may have been changed or deleted between the promise and the copy, never lost.
                assert name in now
                assert now[name] in (said, f"other {name}", None)
            again.close()
        assert len({manifest.last_sequence for manifest, _ in map(verify, made)}) == len(made)


def test_a_restored_index_is_caught_up_and_agrees(tmp_path: Path) -> None:
    live = tmp_path / "live"
    with stand(live) as (store, _index, indexer):
        store.create_namespace(NS, "", frozenset(), ANYONE)
        with writing(store, 2) as lanes:
            until(lanes, 200)  # the stand saves its index every 64 changes
            path, manifest = create(live, live / "facts.db", tmp_path / "backups")
        indexer.wait_caught_up(60)
    assert manifest.index_sequence is not None
    restore(path, tmp_path / "restored")
    with stand(tmp_path / "restored") as (store, index, indexer):
        assert index.applied_sequence() >= manifest.index_sequence
        assert indexer.verify(NS) == []
        assert index.count(NS) == manifest.namespaces[NS].facts
