"""Reading facts: one, several, pages, history, search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb_store.contract import Store
from kb_store.model import Condition, Fact, FactRevision, SearchMode, SearchResult
from kb_store.retrieval import Retriever
from service.revisions import FactState, Revisions
from service.workers import Workers


@dataclass(frozen=True, slots=True)
class SeenFacts:
    """Facts, how far each has come, and where the next page begins (None: there is none)."""

    facts: tuple[Fact, ...]
    states: tuple[FactState, ...]
    namespace_revision: int = 0
    next_after: int | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page of a list."""

    namespace: str
    conditions: tuple[Condition, ...]
    limit: int
    after: int = 0
    show_deleted: bool = False
    min_revision: int = 0


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search as Generate would do it."""

    namespace: str
    text: str
    top_k: int
    mode: SearchMode
    min_revision: int = 0


class Reading:
    """Every method reads in a worker thread."""

    def __init__(self, store: Store, retriever: Retriever, revisions: Revisions, workers: Workers) -> None:
        self._store, self._retriever = store, retriever
        self._revisions, self._workers = revisions, workers

    async def get(self, namespace: str, fact_id: str, min_revision: int) -> SeenFacts:
        """One fact, deleted or not."""
        await self._revisions.written(namespace, min_revision)
        return await self._workers.reads.run(self._get, namespace, (fact_id,))

    async def get_many(self, namespace: str, fact_ids: Sequence[str]) -> SeenFacts:
        """In the order asked; NotFound when any is missing."""
        return await self._workers.reads.run(self._get, namespace, fact_ids)

    async def list(self, query: ListQuery) -> SeenFacts:
        """A page in the order of creation."""
        await self._revisions.written(query.namespace, query.min_revision)
        return await self._workers.reads.run(self._list, query)

    async def history(
        self, namespace: str, fact_id: str, *, limit: int, before: int
    ) -> tuple[tuple[FactRevision, ...], int | None]:
        """Newest first, and where the next page begins."""
        found = await self._workers.reads.run(
            self._store.list_revisions, namespace, fact_id, limit=limit + 1, before=before
        )
        page = found[:limit]
        return page, page[-1].fact.revision if len(found) > limit else None

    async def search(self, query: SearchQuery) -> tuple[SearchResult, tuple[FactState, ...]]:
        """The hits and the states of their facts."""
        await self._revisions.searchable(query.namespace, query.min_revision)
        return await self._workers.retrieval.run(self._search, query)

    def _get(self, namespace: str, fact_ids: Sequence[str]) -> SeenFacts:
        facts = self._store.get_facts(namespace, fact_ids)
        return SeenFacts(facts, self._revisions.states(namespace, facts))

    def _list(self, query: ListQuery) -> SeenFacts:
        page = self._store.list_facts(
            query.namespace,
            query.conditions,
            limit=query.limit,
            after=query.after,
            show_deleted=query.show_deleted,
        )
        states = self._revisions.states(query.namespace, page.facts)
        return SeenFacts(page.facts, states, page.namespace_revision, page.next_after)

    def _search(self, query: SearchQuery) -> tuple[SearchResult, tuple[FactState, ...]]:
        result = self._retriever.search(query.namespace, query.text, top_k=query.top_k, mode=query.mode)
        return result, self._revisions.states(query.namespace, [hit.fact for hit in result.hits])
