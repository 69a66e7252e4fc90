"""ReindexNamespace: the index of a namespace made anew from SQL, as a long-running operation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kb_store.contract import Store
from kb_store.indexer import Indexer
from kb_store.model import OperationRecord
from service.operations import Operations
from service.workers import Workers

KIND = "reindex"


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How far it has come."""

    namespace: str
    facts_done: int
    facts_total: int
    start_time: datetime


# Packs progress, unpacks the namespace of kept progress, packs the result for a namespace (blocks).
Pack = Callable[[ReindexProgress], bytes]
Unpack = Callable[[bytes], str]
Result = Callable[[str], bytes]


class Reindexing:
    """Starts rebuilds; a request_id names the operation, so that a repeated call finds it."""

    def __init__(
        self,
        store: Store,
        indexer: Indexer,
        operations: Operations,
        workers: Workers,
        *,
        pack: Pack,
        unpack: Unpack,
        result: Result,
    ) -> None:
        self._store, self._indexer = store, indexer
        self._operations, self._workers = operations, workers
        self._pack, self._unpack, self._result = pack, unpack, result

    async def start(self, namespace: str, request_id: str) -> OperationRecord:
        """The operation, which may be done already when the request was sent before."""
        return await self._operations.once(
            KIND,
            request_id,
            lambda operation_id: self._begin(namespace, operation_id),
            lambda metadata: self._unpack(metadata) == namespace,
        )

    async def _begin(self, namespace: str, operation_id: str) -> OperationRecord:
        space = await self._workers.reads.run(self._store.get_namespace, namespace)
        begun = ReindexProgress(namespace, 0, space.fact_count, datetime.now(UTC))

        async def work(note: Callable[[bytes], None]) -> bytes:
            def progress(done: int, total: int) -> None:
                note(self._pack(ReindexProgress(namespace, done, total, begun.start_time)))

            await asyncio.wrap_future(self._indexer.rebuild(namespace, progress))
            return await self._workers.reads.run(self._result, namespace)

        return await self._operations.start(operation_id, KIND, self._pack(begun), work)
