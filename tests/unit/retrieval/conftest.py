"""A store with an index beside it, and an embedder that needs no model."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from kb_store.contract import Vectors
from kb_store.index import FaissIndex, IndexSettings
from kb_store.indexer import Indexer, IndexerSettings
from kb_store.model import Content, Context, CreateFact, DeleteFact, Fact, UpdateFact
from kb_store.retrieval import Retriever
from kb_store.sql import SqlStore, open_store

PATIENCE = 60.0


class HashingEmbedder:
    """Signed hashing of character 3- and 4-grams: texts that share spellings are near each other."""

    def __init__(self, dimension: int = 256, digest: str = "hashing-1") -> None:
        self.dimension = dimension
        self.digest = digest
        self.embedded = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            padded = f"  {text.casefold()}  "
            for size in (3, 4):
                for start in range(len(padded) - size + 1):
                    code = zlib.crc32(padded[start : start + size].encode())
                    vectors[row, (code >> 1) % self.dimension] += 1.0 if code & 1 else -1.0
        self.embedded += len(texts)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return vectors


class Keeper:
    """Store, index and indexer in one folder, that can be stopped and started again."""

    def __init__(self, folder: Path, embedder: HashingEmbedder) -> None:
        self.folder = folder
        self.embedder = embedder
        self.index_settings = IndexSettings()
        self.settings = IndexerSettings(batch=64)
        self.started = False

    def start(self) -> Keeper:
        self.store: SqlStore = open_store(self.folder / "facts.db")
        self.index = FaissIndex(
            self.folder / "index",
            dimension=self.embedder.dimension,
            embedder=self.embedder.digest,
            settings=self.index_settings,
        )
        self.indexer = Indexer(self.store, self.index, self.embedder, self.settings)
        self.indexer.start()
        self.retriever = Retriever(self.store, self.index, self.embedder)
        self.started = True
        return self

    def stop(self) -> None:
        if self.started:
            self.indexer.close()
            self.store.close()
            self.started = False

    def restart(self) -> None:
        self.stop()
        self.start()

    def namespace(self, name: str) -> None:
        self.store.create_namespace(name, name, frozenset(), Context())

    def add(
        self, namespace: str, *triples: tuple[str, str, str], aliases: tuple[str, ...] = ()
    ) -> list[Fact]:
        mutations = [CreateFact(namespace, Content(*triple, aliases=aliases)) for triple in triples]
        return list(self.store.write(mutations, Context()).facts)

    def correct(self, fact: Fact, **changes: object) -> Fact:
        return self.store.write([UpdateFact(fact.namespace, fact.fact_id, changes)], Context()).facts[0]

    def delete(self, *facts: Fact) -> None:
        self.store.write([DeleteFact(fact.namespace, fact.fact_id) for fact in facts], Context())

    def catch_up(self) -> None:
        assert self.indexer.wait_caught_up(PATIENCE)

    def rows(self, namespace: str) -> set[int]:
        return {row for batch in self.store.all_rows(namespace, batch=1000) for row, _ in batch}


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
def other_embedder() -> HashingEmbedder:
    return HashingEmbedder(digest="hashing-2")


@pytest.fixture
def keeper(tmp_path: Path, embedder: HashingEmbedder) -> Iterator[Keeper]:
    made = Keeper(tmp_path, embedder).start()
    yield made
    made.stop()


@pytest.fixture
def unit_vectors() -> Callable[[int, int], Vectors]:
    def make(count: int, dimension: int, seed: int = 0) -> Vectors:
        drawn = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    return make
