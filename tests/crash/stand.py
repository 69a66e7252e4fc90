"""A store with its index, as the service has them, on small settings that make every step happen often."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kb_store.contract import Vectors
from kb_store.index import FaissIndex
from kb_store.indexer import Indexer, IndexerSettings
from kb_store.sql import SqlStore, open_store

_DIMENSION = 16
_SETTINGS = IndexerSettings(batch=32, save_changes=64, save_share=0.0, save_idle_seconds=0.05, idle_share=0.0)


class HashEmbedder:
    """Vectors that depend on every character of the text, without a model."""

    dimension = _DIMENSION
    digest = "blake2b-16"

    def embed(self, texts: Sequence[str]) -> Vectors:
        digests = b"".join(hashlib.blake2b(text.encode()).digest() for text in texts)
        numbers = np.frombuffer(digests, dtype="<u4").reshape(len(texts), _DIMENSION)
        centred = numbers.astype(np.float32) / 2**31 - 1
        vectors: Vectors = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return vectors


@contextmanager
def stand(folder: Path) -> Iterator[tuple[SqlStore, FaissIndex, Indexer]]:
    """Opened in the service's order; closed in the reverse."""
    store = open_store(folder / "facts.db")
    embedder = HashEmbedder()
    index = FaissIndex(folder / "index", dimension=embedder.dimension, embedder=embedder.digest)
    indexer = Indexer(store, index, embedder, _SETTINGS)
    indexer.start()
    try:
        yield store, index, indexer
    finally:
        indexer.close()
        store.close()
