"""Inverted-file indexes for namespaces that are too large to be searched exhaustively."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb_store.contract import Vectors
from kb_store.index.library import faiss, use_one_thread

Ids = NDArray[np.int64]

_TRAINING_PER_CELL = 64
_TRAINING_ROUNDS = 8
_ADD_BATCH = 16_384
_SAMPLE = 128
_NEIGHBOURS = 16


@dataclass(frozen=True, slots=True)
class Inverted:
    """A built index, the cells to visit, and the share of exact neighbours that this was measured to find."""

    index: Any
    probes: int
    recall: float


def build_inverted(ids: Ids, vectors: Vectors, *, storage: str, min_recall: float) -> Inverted:
    """Trains on the vectors themselves, adds them, and chooses how many cells to visit.

    IDs are the index's own: an IVF inside an IDMap would corrupt them on
    removal; the hash table makes removal and look-up by ID cheap.
    """
    use_one_thread()
    count, dimension = vectors.shape
    cells = max(1, int(2 * math.sqrt(count)))
    index = faiss.index_factory(dimension, f"IVF{cells},{storage}", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = _TRAINING_ROUNDS
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _TRAINING_PER_CELL
    if storage != "Flat":
        # Whole vectors rather than residuals, with some room: what comes later may lie outside what was seen.
        index.by_residual = False
        index.sq.rangestat_arg = 0.1
    random = np.random.default_rng(count)
    wanted = min(count, cells * _TRAINING_PER_CELL)
    index.train(vectors[np.sort(random.choice(count, wanted, replace=False))])
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    for start in range(0, count, _ADD_BATCH):
        part = slice(start, start + _ADD_BATCH)
        index.add_with_ids(vectors[part], ids[part])
        probes, recall = _choose_probes(index, ids, vectors, min_recall, random)
    return Inverted(index, probes, recall)


def _choose_probes(
    index: Any, ids: Ids, vectors: Vectors, min_recall: float, random: np.random.Generator
) -> tuple[int, float]:
    """The fewest cells (within a quarter) whose recall against exact search suffices.

    The questions stand between two stored vectors, as a prompt stands between the facts it resembles.
    """
    count = len(ids)
    one, other = random.integers(0, count, (2, min(_SAMPLE, count)))
    questions = vectors[one] + 0.5 * vectors[other]
    questions /= np.maximum(np.linalg.norm(questions, axis=1, keepdims=True), 1e-12)
    neighbours = min(_NEIGHBOURS, count)
    _, exact = faiss.knn(questions, vectors, neighbours, metric=faiss.METRIC_INNER_PRODUCT)
    wanted = [set(row) for row in ids[exact].tolist()]
    probes, recall = 1, 0.0
    while True:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        _, found = index.search(questions, neighbours, params=parameters)
        hits = sum(len(mine & set(row)) for mine, row in zip(wanted, found.tolist(), strict=True))
        recall = hits / (neighbours * len(wanted))
        if recall >= min_recall or probes >= index.nlist:
            return probes, recall
        probes = min(index.nlist, max(probes + 1, probes * 5 // 4))
