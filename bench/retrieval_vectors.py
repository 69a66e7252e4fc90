"""Vectors of a world's keys, kept on disk so that an interrupted or repeated run goes on where it was.

A chunk is named after the embedder and the very texts in it: another model or another world makes others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engines.models import cache_dir
from kb_store.contract import Embedder, Vectors

CACHE = cache_dir() / "bench-vectors"
_CHUNK = 1000
_TOLD = 10_000  # texts


def embed_cached(
    texts: Sequence[str], embedder: Embedder, folder: Path, log: Callable[[str], None]
) -> Vectors:
    """One row for each text; `log` is told now and then how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        vectors[start : start + len(chunk)] = _chunk(chunk, embedder, folder)
        if (done := start + len(chunk)) % _TOLD == 0:
            log(f"embedded {done} of {len(texts)}")
    return vectors


def _chunk(texts: Sequence[str], embedder: Embedder, folder: Path) -> Vectors:
    name = hashlib.sha256("\0".join([embedder.digest, *texts]).encode()).hexdigest()[:32]
    path = folder / f"{name}.npy"
    if path.exists():
        kept: Vectors = np.load(path, allow_pickle=False)
        if kept.shape == (len(texts), embedder.dimension):
            return kept
    made = embedder.embed(texts)
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, made, allow_pickle=False)
    temporary.rename(path)
    return made
