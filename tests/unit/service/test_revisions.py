"""Waiting for a revision: until it is there, at nobody else's cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from kb_store.contract import Vectors
from kb_store.errors import RevisionNotReached
from kb_store.index import FaissIndex
from kb_store.indexer import Indexer
from kb_store.model import Content, Context, CreateFact, Namespace
from kb_store.sql import SqlStore, open_store
from service.errors import NotSearchableYet
from service.revisions import Revisions
from service.serving.compile_worker import NothingCompiled
from service.workers import Workers

FAR = 2**62


class HeldEmbedder:
    """Its index is behind until `go` is set."""

    dimension, digest = 8, "held"

    def __init__(self) -> None:
        self.go = threading.Event()

    def embed(self, texts: list[str]) -> Vectors:
        assert self.go.wait(60)
        return np.full((len(texts), 8), 8**-0.5, dtype=np.float32)


class Stand:
    """What waiting needs of a server."""

    def __init__(self, folder: Path) -> None:
        self.store: SqlStore = open_store(folder / "facts.db")
        self.embedder = HeldEmbedder()
        index = FaissIndex(folder / "index", dimension=8, embedder="held")
        self.indexer = Indexer(self.store, index, cast(Any, self.embedder))
        self.workers = Workers(1)
        for name in ("noisy", "quiet"):
            self.store.create_namespace(name, "", frozenset(), Context())

    def write(self, namespace: str) -> int:
        written = self.store.write([CreateFact(namespace, Content(namespace, "r", "b"))], Context())
        return written.namespace_revision

    def revisions(self, seconds: float) -> Revisions:
        return Revisions(self.store, self.indexer, NothingCompiled(), self.workers, seconds)

    def close(self) -> None:
        self.embedder.go.set()
        self.indexer.close()
        self.workers.close()
        self.store.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def test_those_who_wait_for_an_index_keep_no_threads_from_others(stand: Stand) -> None:
    quiet = stand.write("quiet")
    stand.embedder.go.set()
    stand.indexer.start()
    assert stand.indexer.wait_searchable("quiet", quiet, 60)
    stand.embedder.go.clear()
    behind = stand.write("noisy")

    async def scenario() -> None:
        revisions = stand.revisions(60)
        waiting = [asyncio.create_task(revisions.searchable("noisy", behind)) for _ in range(100)]
        await asyncio.sleep(0.05)
        await revisions.searchable("quiet", quiet)
        await stand.workers.waiting.run(lambda: None)  # where a question is weighed
        assert not any(task.done() for task in waiting)
        stand.embedder.go.set()
        await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_what_does_not_come_is_refused_in_time(stand: Stand) -> None:
    stand.indexer.start()
    revision = stand.write("noisy")

    async def scenario() -> None:
        revisions = stand.revisions(0.05)
        with pytest.raises(NotSearchableYet):
            await revisions.searchable("noisy", revision)
        with pytest.raises(RevisionNotReached):
            await revisions.searchable("noisy", revision + 1)

    asyncio.run(scenario())


def test_a_revision_that_nobody_has_is_asked_for_seldom(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, read = 0, stand.store.get_namespace

    def counted(namespace: str) -> Namespace:
        nonlocal asked
        asked += 1
        return read(namespace)

    monkeypatch.setattr(stand.store, "get_namespace", counted)
    with pytest.raises(RevisionNotReached):
        asyncio.run(stand.revisions(1.0).written("quiet", FAR))
    assert asked <= 20
