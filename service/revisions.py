"""How far writes have come: the state of facts, and waiting for a revision."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kb_store.contract import Store
from kb_store.errors import RevisionNotReached
from kb_store.model import Fact, Namespace
from service.calls import current
from service.errors import NotSearchableYet
from service.workers import Workers

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.2
_MARGIN = 0.05  # so that the refusal arrives before the client's own deadline


class FactState(enum.Enum):
    """How far a fact's newest revision has come."""

    DURABLE = "durable"
    SEARCHABLE = "searchable"
    COMPILED = "compiled"


class Searchable(Protocol):
    """The part of the indexer that is asked here."""

    def searchable_revision(self, namespace: str) -> int:
        """Everything up to here can be found."""
        ...

    def reaching(self, namespace: str, revision: int) -> Callable[[], bool]:
        """Says whenever it is asked whether the revision can be found by now; asking blocks."""
        ...


class Compiled(Protocol):
    """The part of the token cache that is asked here."""

    def ready(self, fact: Fact) -> bool:
        """Whether this revision's tokens are at hand."""
        ...

    def compiled_revision(self, space: Namespace) -> int:
        """Everything up to here is compiled."""
        ...


class Revisions:
    """Answers how far a namespace is, and waits until it is far enough."""

    def __init__(
        self, store: Store, searchable: Searchable, compiled: Compiled, workers: Workers, wait_seconds: float
    ) -> None:
        self._store, self._searchable, self._compiled = store, searchable, compiled
        self._workers, self._wait_seconds = workers, wait_seconds

    def figures(self, space: Namespace) -> tuple[int, int]:
        """(searchable, compiled) revision; what is compiled can be found as well. Blocks."""
        searchable = self._searchable.searchable_revision(space.namespace_id)
        return searchable, min(searchable, self._compiled.compiled_revision(space))

    def states(self, namespace: str, facts: Sequence[Fact]) -> tuple[FactState, ...]:
        """The states of facts of one namespace. Blocks."""
        if not facts:
            return ()
        searchable = self._searchable.searchable_revision(namespace)
        return tuple(self._state(fact, searchable) for fact in facts)

    def _state(self, fact: Fact, searchable: int) -> FactState:
        if fact.namespace_revision > searchable:
            return FactState.DURABLE
        return FactState.COMPILED if self._compiled.ready(fact) else FactState.SEARCHABLE

    async def written(self, namespace: str, revision: int) -> None:
        """Waits until the namespace has this revision; RevisionNotReached when it does not get there."""
        if not revision or await self._comes(
            lambda: self._store.get_namespace(namespace).revision >= revision
        ):
            return
        found = await self._workers.reads.run(self._store.get_namespace, namespace)
        raise RevisionNotReached(namespace, revision, found.revision)

    async def searchable(self, namespace: str, revision: int) -> None:
        """Waits until retrieval sees this revision; NotSearchableYet when the index is too slow."""
        if not revision:
            return
        await self.written(namespace, revision)
        if not await self._comes(self._searchable.reaching(namespace, revision)):
            now = await self._workers.reads.run(self._searchable.searchable_revision, namespace)
            raise NotSearchableYet(namespace, revision, now)

    def _patience(self) -> float:
        return max(0.0, current().remaining(self._wait_seconds + _MARGIN) - _MARGIN)

    async def _comes(self, holds: Callable[[], bool]) -> bool:
        """Whether it holds in time. No thread is kept meanwhile, or those who wait would take them all; and it is asked
        the more seldom the longer it takes."""
        begun, patience = time.monotonic(), self._patience()
        while not await self._workers.reads.run(holds):
            waited = time.monotonic() - begun
            if waited >= patience:
                return False
            pause = min(max(_SHORTEST_PAUSE, waited / 2), _LONGEST_PAUSE)
            await asyncio.sleep(min(pause, patience - waited))
        return True
