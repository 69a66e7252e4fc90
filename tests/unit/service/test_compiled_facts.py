"""Compiled facts: kept by use within their bound, and compiled ahead where that is cheap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import torch

from editors.kv.contract import Evidence, FactText
from engines.contract import KVAdapter, KVTokens
from kb_store.model import Content, Context, CreateFact, DeleteFact, Fact, Namespace, UpdateFact
from kb_store.sql import SqlStore, open_store
from service.serving.compile_worker import CompileWorker
from service.serving.compiled import CompiledFacts, size_of, version_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BYTES = 2 * 4 * 8  # keys and values, four numbers of eight bytes


class CountingEncoder:
    """Says which facts it was asked to compile."""

    digest = "counting"
    grounded_threshold = 0.5

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    @property
    def adapter(self) -> KVAdapter:
        raise AssertionError("not needed here")

    def compile(self, facts: Sequence[FactText]) -> list[KVTokens]:
        self.asked.append([fact.object for fact in facts])
        empty = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
        return [KVTokens(fact.key, self.digest, empty, empty) for fact in facts]

    def biases(self, evidence: Sequence[Evidence]) -> list[float | None]:
        return [0.0] * len(evidence)


def fact(uid: str, revision: int = 1) -> Fact:
    return Fact("n", uid, uid, Content("s", "r", uid), revision, 1, "e", NOW, NOW)


def test_each_revision_is_compiled_once_and_given_in_order() -> None:
    encoder = CountingEncoder()
    compiled = CompiledFacts(encoder, 1000 * BYTES, batch=2)
    facts = [fact(name) for name in "abc"]
    tokens = compiled.tokens(facts)
    assert [item.key for item in tokens] == ["a@1", "b@1", "c@1"] == [version_key(item) for item in facts]
    assert encoder.asked == [["a", "b"], ["c"]]
    again = compiled.tokens([facts[2], fact("a", 2), facts[0]])
    assert [item.key for item in again] == ["c@1", "a@2", "a@1"]
    assert encoder.asked[2:] == [["a"]]
    assert size_of(tokens[0]) == BYTES


def test_what_was_used_longest_ago_goes_first() -> None:
    compiled = CompiledFacts(CountingEncoder(), 3 * BYTES, batch=8)
    a, b, c, d = map(fact, "abcd")
    compiled.tokens([a, b])
    assert not compiled.full()
    compiled.tokens([c])
    assert compiled.full()
    compiled.tokens([a])
    compiled.tokens([d])
    assert [compiled.ready(item) for item in (a, b, c, d)] == [True, False, True, True]
    # More than fits at once is still given whole.
    assert len(compiled.tokens([fact(str(number)) for number in range(10)])) == 10


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "facts.db")
    made.create_namespace("n", "", frozenset(), Context())
    yield made
    made.close()


def add(store: SqlStore, *names: str) -> list[Fact]:
    mutations = [CreateFact("n", Content(name, "r", name)) for name in names]
    return list(store.write(mutations, Context()).facts)


def reaches(worker: CompileWorker, space: Namespace, revision: int) -> bool:
    return comes(lambda: worker.compiled_revision(space) == revision)


def comes(true: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if true():
            return True
        threading.Event().wait(0.01)
    return False


def test_the_worker_keeps_up_with_what_is_written(store: SqlStore) -> None:
    encoder = CountingEncoder()
    compiled = CompiledFacts(encoder, 1000 * BYTES, batch=8)
    before = add(store, "a", "b")
    worker = CompileWorker(store, compiled, max_facts=100, batch=1)
    worker.start()
    space = store.get_namespace("n")
    try:
        assert reaches(worker, space, 2)
        assert all(worker.ready(item) for item in before)
        after = add(store, "c")
        store.write([UpdateFact("n", before[0].fact_id, {"object": "new"})], Context())
        store.write([DeleteFact("n", before[1].fact_id)], Context())
        assert reaches(worker, space, 5)
        assert worker.ready(after[0])
        assert ["new"] in encoder.asked
        assert not worker.ready(before[1])
        assert not worker.ready(before[0])  # its revision of before
        assert (compiled.figures.facts, compiled.figures.used_bytes) == (2, 2 * BYTES)
        store.delete_namespace("n", force=True, etag="", context=Context())
        assert reaches(worker, space, 0)
        assert (compiled.figures.facts, compiled.figures.used_bytes) == (0, 0)
    finally:
        worker.close()


def test_the_worker_has_names_of_relations_read(store: SqlStore) -> None:
    read: list[tuple[str, list[str], bool]] = []

    def read_names(space: Namespace, relations: Sequence[str], go_on: Callable[[], bool]) -> None:
        read.append((space.namespace_id, list(relations), go_on()))

    worker = CompileWorker(
        store, CompiledFacts(CountingEncoder(), 1000 * BYTES, batch=8), max_facts=100, batch=1
    )
    store.write(
        [CreateFact("n", Content(name, "job" if name == "b" else "home", name)) for name in "abc"], Context()
    )
    worker.start(read_names=read_names)
    space = store.get_namespace("n")
    try:
        assert reaches(worker, space, 3)
        assert read == [("n", ["home", "job"], True)]
    finally:
        worker.close()
    assert not worker._others_first()


def test_of_a_large_namespace_the_first_names_are_read_once(store: SqlStore) -> None:
    read: list[list[str]] = []
    worker = CompileWorker(
        store, CompiledFacts(CountingEncoder(), 1000 * BYTES, batch=8), max_facts=2, batch=1
    )
    store.write([CreateFact("n", Content(name, f"home {name}", name)) for name in "abc"], Context())
    store.create_namespace("small", "", frozenset(), Context())
    worker.start(read_names=lambda space, relations, go_on: read.append(list(relations)))
    try:
        assert comes(lambda: len(read) == 2)  # of the empty one, which comes after it, there are none
        store.write([CreateFact("n", Content("d", "home d", "d"))], Context())
        store.write([CreateFact("small", Content("e", "home e", "e"))], Context())
        assert comes(lambda: len(read) == 3)
        assert read == [["home a", "home b"], [], ["home e"]]
    finally:
        worker.close()


def test_what_is_dead_does_not_keep_the_living_out(store: SqlStore) -> None:
    compiled = CompiledFacts(CountingEncoder(), 3 * BYTES, batch=1)
    worker = CompileWorker(store, compiled, max_facts=100, batch=1)
    worker.start()
    space = store.get_namespace("n")
    try:
        dead = add(store, "a", "b", "c")
        assert reaches(worker, space, 3)
        assert compiled.full()
        store.write([DeleteFact("n", item.fact_id) for item in dead], Context())
        living = add(store, "d", "e")
        assert reaches(worker, space, 8)
        assert [worker.ready(item) for item in (*dead, *living)] == [False] * 3 + [True] * 2
    finally:
        worker.close()


def test_a_namespace_made_again_is_compiled_though_it_has_come_as_far(store: SqlStore) -> None:
    compiled = CompiledFacts(CountingEncoder(), 1000 * BYTES, batch=8)
    worker = CompileWorker(store, compiled, max_facts=2, batch=8)
    read: list[list[str]] = []
    worker._read_names = lambda space, relations, go_on: read.append(list(relations))

    def look(*names: str) -> list[bool]:
        """Written and looked through, as the thread does after a burst of writes."""
        facts = add(store, *names)
        worker._look_through()
        space = store.get_namespace("n")
        assert worker.compiled_revision(space) == (space.revision if len(names) == 2 else 0)
        store.delete_namespace("n", force=True, etag="", context=Context())
        store.create_namespace("n", "", frozenset(), Context())
        assert worker.compiled_revision(store.get_namespace("n")) == 0
        return [worker.ready(item) for item in facts]

    assert look("a", "b") == look("c", "d") == [True, True]
    assert look("e", "f", "g") == look("h", "i", "j") == [False] * 3  # too large
    assert compiled.figures.facts == 0  # nor is anything kept of the dead
    assert len(read) == 4


def test_what_is_kept_of_others_stays() -> None:
    compiled = CompiledFacts(CountingEncoder(), 10 * BYTES, batch=8)
    other = replace(fact("x"), namespace="other")
    compiled.tokens([fact("a"), fact("a", 2), fact("b"), other])
    compiled.forget_others("n", {("a", 2)})
    assert [compiled.ready(item) for item in (fact("a"), fact("a", 2), fact("b"), other)] == [
        False,
        True,
        False,
        True,
    ]
    assert compiled.figures.used_bytes == 2 * BYTES


def test_large_namespaces_and_full_memory_are_left_to_demand(store: SqlStore) -> None:
    add(store, "a", "b", "c")
    small = store.create_namespace("small", "", frozenset(), Context())
    for limits, memory in ((2, 1000), (100, 2)):
        encoder = CountingEncoder()
        compiled = CompiledFacts(encoder, memory * BYTES, batch=1)
        worker = CompileWorker(store, compiled, max_facts=limits, batch=1)
        worker.start()
        try:
            assert comes(
                partial(worker._done.__contains__, ("small", small.create_time))
            )  # the empty one comes after the large one
            assert worker.compiled_revision(store.get_namespace("n")) == 0
            assert len(encoder.asked) == (0 if limits == 2 else 2)
        finally:
            worker.close()
