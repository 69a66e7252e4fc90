"""How small vectors can be kept: the ladder of storages, with the recall that each rung costs.

    python -m bench.scaling --size quick|full --seed N

For each storage S: bytes_S, of one vector in an inverted file (without its 8-byte number); recall16_S, of the sixteen
nearest by exact search those among the sixteen that the inverted file finds, all cells visited, so that nothing but
the storage is to blame; recall16in64_S, those among its first sixty-four, which is what retrieval asks for before it
reads the facts again and weighs them. Keys of generated facts, embedded with MiniLM; questions as the index draws
them when it chooses how many cells to visit: a stored vector drawn towards three others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np

from bench.common import Bench, sample_keys
from bench.retrieval_vectors import CACHE, embed_cached
from bench.retrieval_world import world
from engines.embedder import SentenceEmbedder
from kb_store.contract import Vectors
from kb_store.keys import key_text

STORAGES = ("Flat", "SQfp16", "SQ8", "PQ96", "PQ48", "PQ24")
NEAREST, CANDIDATES = 16, 64


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("scaling", description=__doc__ or "", argv=argv)
    count, questions = (100_000, 512) if bench.full else (20_000, 256)
    embedder = SentenceEmbedder.load()
    texts = [key_text(fact.relation, fact.subject) for fact in world(count, bench.seed)]
    with bench.stage(f"{count} vectors"):
        vectors = embed_cached(texts, embedder, CACHE, lambda _told: None)
    random = np.random.default_rng(bench.seed)
    asked = _questions(vectors, questions, random)
    wanted = np.argsort(-(asked @ vectors.T), axis=1)[:, :NEAREST]
    keys: dict[str, Any] = {}
    for storage in STORAGES:
        with bench.stage(storage):
            index = _built(vectors, storage, random)
            found = index.search(asked, CANDIDATES)[1]
        keys[f"bytes_{storage}"] = int(index.code_size)
        for name, depth in (("recall16", NEAREST), ("recall16in64", CANDIDATES)):
            shares = [
                len(set(right.tolist()) & set(got[:depth].tolist())) / NEAREST
                for right, got in zip(wanted, found, strict=True)
            ]
            keys |= sample_keys(f"{name}_{storage}", shares)
    bench.finish(
        keys,
        n=questions,
        model=f"all-MiniLM-L6-v2 {embedder.digest}",
        rows=[],
        configuration={"vectors": count, "questions": questions, "storages": list(STORAGES)},
    )


def _questions(vectors: Vectors, count: int, random: np.random.Generator) -> Vectors:
    near, *others = random.integers(0, len(vectors), (4, count))
    drawn = vectors[near] + 0.5 * sum(vectors[other] for other in others)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def _built(vectors: Vectors, storage: str, random: np.random.Generator) -> Any:
    """All cells are visited: few of them are enough."""
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF16,{storage}", faiss.METRIC_INNER_PRODUCT)
    if storage != "Flat":
        index.by_residual = False
    index.train(vectors[np.sort(random.choice(len(vectors), min(len(vectors), 10_000), replace=False))])
    index.add(vectors)
    index.nprobe = 16
    return index


if __name__ == "__main__":
    main()
