"""Hybrid retrieval: dense and lexical candidates, re-read from SQL by namespace, scored against the text.

Neither the vector index nor the full text is believed about what a fact says, whether it still exists, or
whose it is: they only propose rows. What is returned was read from SQL, in the namespace that was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Protocol

import numpy as np

from kb_store.contract import Embedder, FactReader, LexicalSearch, NamespaceStore, VectorIndex, Vectors
from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.keys import key_text, query_text
from kb_store.model import Fact, Hit, Limits, SearchMode, SearchResult
from kb_store.scoring import Question

# Chosen on generated worlds (bench/retrieval_world.py), never on evaluation sets.
SUBJECT_WEIGHT, RELATION_WEIGHT, DENSE_WEIGHT = 0.6, 0.1, 0.3
# Candidates asked of each half, for each fact wanted, and at least.
_CANDIDATES_PER_HIT = 4
_MIN_CANDIDATES = 64
_CACHED_QUERIES = 256
# Facts that one search embeds because the index does not have them yet: a few milliseconds each.
_MAX_FRESH = 16
# Rows that the index may propose in one search before some of them hold now.
_MOST_DENSE = 2048
# Relations that are told of: whoever judges by them has to read each once.
_MOST_RELATIONS = 32


class SearchedStore(FactReader, LexicalSearch, NamespaceStore, Protocol):
    """The part of a store that retrieval reads."""


class Retriever:
    """Finds the facts that a text speaks of. May be called from any thread; blocks while it embeds and reads."""

    def __init__(
        self, store: SearchedStore, index: VectorIndex, embedder: Embedder, limits: Limits | None = None
    ) -> None:
        self._store = store
        self._index = index
        self._embedder = embedder
        self._limits = limits or Limits()
        self._embed = lru_cache(maxsize=_CACHED_QUERIES)(self._embed_now)

    def search(
        self,
        namespace: str,
        text: str,
        *,
        top_k: int,
        mode: SearchMode = SearchMode.FUSED,
        now: datetime | None = None,
    ) -> SearchResult:
        """The best `top_k` facts that are live and hold at `now`, best first, ties in order of creation.

        Of a long text everything is searched for names, and the end (about 256 tokens) for meaning.
        """
        self._check(text, top_k)
        # Read first: what is found afterwards is at least as new.
        space = self._store.get_namespace(namespace)
        if not text.strip():
            return SearchResult((), space.revision, space.relation_examples)
        vector = None if mode is SearchMode.LEXICAL else self._embed(query_text(text))
        count = max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * top_k)
        moment = now or datetime.now(UTC)
        facts: dict[int, Fact] = {}
        if mode is not SearchMode.DENSE:
            named = self._store.search_lexical(namespace, text, limit=count, now=moment)
            facts |= self._holding(namespace, [hit.row for hit in named], moment)
        if vector is not None:
            facts |= self._near(namespace, vector, count, top_k, moment)
        cosines = {} if vector is None else self._cosines(namespace, vector, facts)
        ranked = sorted(_hits(text, facts, cosines, mode), key=lambda pair: (-pair[1].score, pair[0]))
        hits = tuple(hit for _, hit in ranked[:top_k])
        return SearchResult(hits, space.revision, space.relation_examples, _relations(facts, cosines))

    def _check(self, text: str, top_k: int) -> None:
        if len(text) > self._limits.max_query_length:
            raise LimitExceeded("query", "max_query_length", self._limits.max_query_length, len(text))
        if top_k < 1:
            raise InvalidInput("top_k", "must be at least 1")
        if top_k > self._limits.max_top_k:
            raise LimitExceeded("top_k", "max_top_k", self._limits.max_top_k, top_k)

    def _near(
        self, namespace: str, vector: Vectors, count: int, top_k: int, moment: datetime
    ) -> dict[int, Fact]:
        """The nearest that hold. All versions of a value are equally near, and the index does not know times: a
        history of old ones must not crowd out the one that is valid."""
        limit = count
        found: dict[int, Fact] = {}
        looked_at: set[int] = set()
        while True:
            rows = [row for row, _ in self._index.search(namespace, vector, limit=limit)]
            found |= self._holding(namespace, [row for row in rows if row not in looked_at], moment)
            # Any that holds may be wanted in the first round; behind hundreds that do not, a few are enough.
            enough = count if not looked_at else top_k
            if len(found) >= enough or len(rows) < limit or limit >= _MOST_DENSE:
                return {row: found[row] for row in islice(filter(found.__contains__, rows), count)}
            looked_at.update(rows)
            limit = min(4 * limit, _MOST_DENSE)

    def _holding(self, namespace: str, rows: Sequence[int], moment: datetime) -> dict[int, Fact]:
        facts = self._store.facts_by_row(namespace, rows)
        return {row: fact for row, fact in facts.items() if fact.holds_at(moment)}

    def _cosines(self, namespace: str, vector: Vectors, facts: dict[int, Fact]) -> dict[int, float]:
        """Of the index; facts that were found by name and have not reached it yet are embedded here, so that a
        fresh fact is not judged as if it had nothing to do with the question."""
        cosines = dict(self._index.similarities(namespace, vector, list(facts)))
        fresh = [row for row in facts if row not in cosines][:_MAX_FRESH]
        if fresh:
            keys = [key_text(facts[row].content.relation, facts[row].content.subject) for row in fresh]
            cosines.update(zip(fresh, (self._embedder.embed(keys) @ vector).tolist(), strict=True))
        return cosines

    def _embed_now(self, text: str) -> Vectors:
        vector = self._embedder.embed([text])[0]
        return np.ascontiguousarray(vector, dtype=np.float32)


def _hits(
    text: str, facts: dict[int, Fact], cosines: dict[int, float], mode: SearchMode
) -> Iterable[tuple[int, Hit]]:
    covers = Question(text).score([fact.content for fact in facts.values()])
    for (row, fact), cover in zip(facts.items(), covers, strict=True):
        dense = min(1.0, max(0.0, cosines.get(row, 0.0)))
        if mode is SearchMode.DENSE:
            score = dense
        else:
            score = SUBJECT_WEIGHT * cover.subject + RELATION_WEIGHT * cover.relation + DENSE_WEIGHT * dense
        yield row, Hit(fact, score, cover.subject, cover.relation, dense)


def _relations(facts: dict[int, Fact], cosines: dict[int, float]) -> tuple[str, ...]:
    nearest = sorted(facts, key=lambda row: (-cosines.get(row, 0.0), row))
    return tuple(dict.fromkeys(facts[row].content.relation for row in nearest))[:_MOST_RELATIONS]
