"""Recall and latency of retrieval, by number of facts, phrasing and mode, against exact search.

    python -m bench.retrieval --size quick|full --seed N

recallK_N: share of prompts whose fact is among the best K of N facts (fused); denseK_N and lexicalK_N are the
halves alone, exactK_N is dense retrieval by exhaustive search. pQ_ms_N is a whole fused search of a text never
seen before, its embedding included. ratio_flat_N is exhaustive vector search / ours, both one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.common import Bench, percentile, share_keys
from bench.retrieval_phrasings import PHRASINGS
from bench.retrieval_vectors import CACHE, embed_cached
from bench.retrieval_world import WorldFact, world
from engines.embedder import SentenceEmbedder
from kb_store.contract import Vectors
from kb_store.index import FaissIndex
from kb_store.keys import key_text, query_text
from kb_store.model import ConflictPolicy, Content, Context, ImportRow, SearchMode
from kb_store.retrieval import Retriever
from kb_store.sql import SqlStore, open_store

NAMESPACE = "bench"
DEPTHS = (8, 16)
_IMPORT_CHUNK = 1000
_INDEX_CHUNK = 10_000
_SIZE_NAMES = {1_000: "1e3", 100_000: "1e5", 1_000_000: "1e6"}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("retrieval", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    embedder = SentenceEmbedder.load()
    sizes = bench.args.facts or ([1_000, 100_000, 1_000_000] if bench.full else [1_000, 100_000])
    asked = bench.args.asked or (400 if bench.full else 80)
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    for size in sizes:
        name = _SIZE_NAMES.get(size, str(size))
        facts = world(size, bench.seed)
        vectors = _vectors(bench, facts, embedder)
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(Path(folder) / "facts.db")
            try:
                with bench.stage(f"{name}: importing"):
                    _import(store, facts)
                index = FaissIndex(
                    Path(folder) / "index", dimension=embedder.dimension, embedder=embedder.digest
                )
                with bench.stage(f"{name}: indexing"):
                    _index(index, vectors)
                figures[name] = index.describe(NAMESPACE)
                with bench.stage(f"{name}: searching"):
                    measured = Measurement(bench, store, index, embedder, facts, vectors, asked)
                    keys |= measured.keys(name)
                    rows += measured.rows(name)
            finally:
                store.close()
    bench.finish(
        keys,
        n=asked * len(PHRASINGS) * len(sizes),
        model=f"all-MiniLM-L6-v2 {embedder.digest}",
        rows=rows,
        configuration={"index": figures, "depths": DEPTHS, "phrasings": PHRASINGS},
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--facts", type=int, nargs="*", help="numbers of facts instead of the usual")
    parser.add_argument("--asked", type=int, help="facts asked for, each in every phrasing")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of embedded keys")


def _vectors(bench: Bench, facts: Sequence[WorldFact], embedder: SentenceEmbedder) -> Vectors:
    texts = [key_text(fact.relation, fact.subject) for fact in facts]

    with bench.stage(f"{len(facts)} keys"):
        return embed_cached(texts, embedder, bench.args.cache, bench.log)


def _import(store: SqlStore, facts: Sequence[WorldFact]) -> None:
    store.create_namespace(NAMESPACE, NAMESPACE, frozenset(), Context())
    for start in range(0, len(facts), _IMPORT_CHUNK):
        chunk = [
            ImportRow(start + place + 1, Content(fact.subject, fact.relation, fact.object))
            for place, fact in enumerate(facts[start : start + _IMPORT_CHUNK])
        ]
        result = store.import_rows(NAMESPACE, "world", chunk, ConflictPolicy.FAIL, Context()).result()
        if result.failures:
            raise RuntimeError(f"the world contradicts itself: {result.failures[0]}")


def _index(index: FaissIndex, vectors: Vectors) -> None:
    """Rows are numbered from 1 in the order of creation."""
    for start in range(0, len(vectors), _INDEX_CHUNK):
        part = vectors[start : start + _INDEX_CHUNK]
        numbers = range(start + 1, start + 1 + len(part))
        index.apply(NAMESPACE, remove=[], rows=numbers, vectors=part, sequence=start + len(part))


class Measurement:
    """Every chosen fact asked for in every phrasing: its rank in each mode (0-based, or none), and times."""

    def __init__(
        self,
        bench: Bench,
        store: SqlStore,
        index: FaissIndex,
        embedder: SentenceEmbedder,
        facts: Sequence[WorldFact],
        vectors: Vectors,
        asked: int,
    ) -> None:
        self._seed = bench.seed
        self._retriever = Retriever(store, index, embedder)
        self._chosen = bench.random.sample(facts, min(asked, len(facts)))
        self._ranks: dict[tuple[str, str], list[int | None]] = {}
        self._seconds: dict[str, list[float]] = {mode.value: [] for mode in SearchMode}
        for phrasing in PHRASINGS:
            # Fused first: it meets each text for the first time, the other modes find its vector kept.
            for mode in (SearchMode.FUSED, SearchMode.DENSE, SearchMode.LEXICAL):
                self._ranks[mode.value, phrasing] = [
                    self._rank(fact, fact.prompt(phrasing), mode) for fact in self._chosen
                ]
        self._compare_with_exact(index, embedder, facts, vectors)

    def _rank(self, fact: WorldFact, prompt: str, mode: SearchMode) -> int | None:
        started = time.perf_counter()
        hits = self._retriever.search(NAMESPACE, prompt, top_k=max(DEPTHS), mode=mode).hits
        self._seconds[mode.value].append(time.perf_counter() - started)
        wanted = (fact.subject, fact.relation)
        found = [(hit.fact.content.subject, hit.fact.content.relation) for hit in hits]
        return found.index(wanted) if wanted in found else None

    def _compare_with_exact(
        self, index: FaissIndex, embedder: SentenceEmbedder, facts: Sequence[WorldFact], vectors: Vectors
    ) -> None:
        faiss.omp_set_num_threads(1)
        flat: Any = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        self._flat_seconds: list[float] = []
        self._index_seconds: list[float] = []
        agreement: list[float] = []
        for phrasing in PHRASINGS:
            prompts = [query_text(fact.prompt(phrasing)) for fact in self._chosen]
            ranks: list[int | None] = []
            for fact, question in zip(self._chosen, embedder.embed(prompts), strict=True):
                started = time.perf_counter()
                _, exact = flat.search(question[None], max(DEPTHS))
                between = time.perf_counter()
                ours = index.search(NAMESPACE, question, limit=max(DEPTHS))
                self._flat_seconds.append(between - started)
                self._index_seconds.append(time.perf_counter() - between)
                nearest: list[int] = exact[0].tolist()
                agreement.append(len({place + 1 for place in nearest} & {row for row, _ in ours}))
                matching = [
                    rank
                    for rank, place in enumerate(nearest)
                    if (facts[place].subject, facts[place].relation) == (fact.subject, fact.relation)
                ]
                ranks.append(matching[0] if matching else None)
            self._ranks["exact", phrasing] = ranks
        self._agreement = float(np.mean(agreement)) / max(DEPTHS)

    def keys(self, name: str) -> dict[str, Any]:
        """The figures of this number of facts."""
        found: dict[str, Any] = {}
        for mode, title in (
            ("fused", "recall"),
            ("dense", "dense"),
            ("lexical", "lexical"),
            ("exact", "exact"),
        ):
            ranks = [rank for phrasing in PHRASINGS for rank in self._ranks[mode, phrasing]]
            for depth in DEPTHS:
                found |= share_keys(f"{title}{depth}_{name}", _within(ranks, depth), seed=self._seed)
        confusable = [
            rank
            for phrasing in PHRASINGS
            for fact, rank in zip(self._chosen, self._ranks["fused", phrasing], strict=True)
            if fact.confusable
        ]
        if confusable:
            found |= share_keys(f"confusable{max(DEPTHS)}_{name}", _within(confusable, max(DEPTHS)))
        for percent in (50, 95):
            found[f"p{percent}_ms_{name}"] = 1e3 * percentile(self._seconds["fused"], percent)
            found[f"lexical_p{percent}_ms_{name}"] = 1e3 * percentile(self._seconds["lexical"], percent)
            found[f"index_p{percent}_ms_{name}"] = 1e3 * percentile(self._index_seconds, percent)
        found[f"agreement16_{name}"] = self._agreement
        found[f"ratio_flat_{name}"] = percentile(self._flat_seconds, 50) / percentile(self._index_seconds, 50)
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Recall by mode and phrasing."""
        return [
            {"facts": name, "mode": mode, "phrasing": phrasing}
            | {f"recall{depth}": float(np.mean(_within(ranks, depth))) for depth in DEPTHS}
            | {"first": float(np.mean(_within(ranks, 1)))}
            for (mode, phrasing), ranks in self._ranks.items()
        ]


def _within(ranks: Sequence[int | None], depth: int) -> list[bool]:
    return [rank is not None and rank < depth for rank in ranks]


if __name__ == "__main__":
    main()
