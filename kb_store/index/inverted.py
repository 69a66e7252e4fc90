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
_TRAINING_ROUNDS = 10
# Found on keys of facts: with fewer cells more vectors are visited for the same recall.
_CELLS_PER_ROOT = 4
_MIN_PER_CELL = 16
_BATCH = 16_384
_SAMPLE = 512
_NEIGHBOURS = 16


@dataclass(frozen=True, slots=True)
class Inverted:
    """A built index, the cells to visit, and the share of exact neighbours that this was measured to find."""

    index: Any
    probes: int
    recall: float


def build_inverted(ids: Ids, vectors: Vectors, *, storage: str, min_recall: float) -> Inverted:
    """Trains on the vectors themselves, adds them, and chooses how many cells to visit.

    IDs are the index's own: an IVF inside an IDMap would corrupt them on removal; the hash table makes removal
    and look-up by ID cheap.
    """
    use_one_thread()
    count, dimension = vectors.shape
    cells = max(1, min(int(_CELLS_PER_ROOT * math.sqrt(count)), count // _MIN_PER_CELL))
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
    for start in range(0, count, _BATCH):
        part = slice(start, start + _BATCH)
        index.add_with_ids(vectors[part], ids[part])
    probes, recall = _choose_probes(index, ids, vectors, min_recall, random)
    return Inverted(index, probes, recall)


def _choose_probes(
    index: Any, ids: Ids, vectors: Vectors, min_recall: float, random: np.random.Generator
) -> tuple[int, float]:
    """The fewest cells (within a third) whose recall against exact search suffices.

    A question is a stored vector drawn towards three others, as a prompt is near its fact and speaks of more.
    Real prompts are harder still: only half of the misses that `min_recall` allows are granted. Where storage
    is lossy and no number of cells reaches that, as many are visited as come near to visiting all.
    """
    count = len(ids)
    near, *others = random.integers(0, count, (4, min(_SAMPLE, count)))
    questions = vectors[near] + 0.5 * sum(vectors[other] for other in others)
    questions /= np.maximum(np.linalg.norm(questions, axis=1, keepdims=True), 1e-12)
    neighbours = min(_NEIGHBOURS, count)
    wanted = [set(row) for row in ids[_nearest(questions, vectors, neighbours)].tolist()]

    def recall_of(probes: int) -> float:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        _, found = index.search(questions, neighbours, params=parameters)
        hits = sum(len(mine & set(row)) for mine, row in zip(wanted, found.tolist(), strict=True))
        return hits / (neighbours * len(wanted))

    goal = 1.0 - (1.0 - min_recall) / 2
    if not isinstance(index, faiss.IndexIVFFlat):
        goal = min(goal, recall_of(index.nlist) - 0.005)
    probes = max(1, index.nlist // 64)
    while (recall := recall_of(probes)) < goal and probes < index.nlist:
        probes = min(index.nlist, max(probes + 1, probes * 4 // 3))
    return probes, recall


def _nearest(questions: Vectors, vectors: Vectors, neighbours: int) -> Ids:
    """Places of the exact neighbours, in no order; by matrix products, which are faster than a search here."""
    scores = np.empty((len(questions), 0), dtype=np.float32)
    places = np.empty((len(questions), 0), dtype=np.int64)
    for start in range(0, len(vectors), _BATCH):
        fresh = questions @ vectors[start : start + _BATCH].T
        here = np.broadcast_to(np.arange(start, start + fresh.shape[1]), fresh.shape)
        scores, places = np.hstack((scores, fresh)), np.hstack((places, here))
        if scores.shape[1] > neighbours:
            best = np.argpartition(scores, -neighbours, axis=1)[:, -neighbours:]
            scores, places = np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)
    return places
