"""Long-running operations: kept in the store, run in the background, waited for, cancelled, deleted.

An operation that the server did not live to finish is ABORTED at the next start. Payloads are packed messages
(google.protobuf.Any), opaque here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol
from weakref import WeakValueDictionary

import grpc
import structlog
from ulid import ULID

from kb_store.contract import OperationStore, Replicas
from kb_store.errors import NotFound, RequestIdReused, WrongState
from kb_store.model import OperationRecord
from service.errors import row_of, to_status
from service.workers import Workers

_SAVE_SECONDS = 1.0
_PAGE = 500
_log = structlog.get_logger("interleaf.operations")

# Gets a function that notes progress (packed metadata), returns the packed response.
Work = Callable[[Callable[[bytes], None]], Awaitable[bytes]]


@dataclass(slots=True)
class _Running:
    record: OperationRecord
    saved: asyncio.Task[None]  # its first record
    task: asyncio.Task[None] = field(init=False)
    work: asyncio.Future[bytes] | None = None  # once it is saved
    stopped: bool = False

    def stop(self) -> None:
        """Only the work is cancelled: how it ended has to be kept."""
        self.stopped = True
        if self.work is not None:
            self.work.cancel()


class OperationsAmongReplicas(OperationStore, Replicas, Protocol):
    """The part of a store that is used here."""


class Operations:
    """Belongs to one event loop."""

    def __init__(self, store: OperationsAmongReplicas, workers: Workers, replica: str = "") -> None:
        self._store, self._workers, self._replica = store, workers, replica
        self._running: dict[str, _Running] = {}
        self._beginning: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closing = False

    async def abort_interrupted(self) -> None:
        """At start: what was running when this server ended, or one that is long gone, will not go on."""
        others = await self._workers.reads.run(self._store.replicas) - {self._replica}
        after = ""
        while page := await self._workers.reads.run(self._store.list_operations, limit=_PAGE, after=after):
            for record in page:
                if not record.done and record.replica not in others:
                    await self._save(_failed(record, grpc.StatusCode.ABORTED, "the server was restarted"))
            after = page[-1].operation_id

    async def once(
        self,
        kind: str,
        request_id: str,
        begin: Callable[[str], Awaitable[OperationRecord]],
        same: Callable[[bytes], bool],
    ) -> OperationRecord:
        """The operation that the request_id names, or what `begin` makes of its id. Of calls at the same time only
        one begins, the others find what it began. RequestIdReused where its metadata is not the `same` request's."""
        operation_id = f"{kind}-{request_id or str(ULID()).lower()}"
        async with self._beginning.setdefault(operation_id, asyncio.Lock()):
            try:
                record = await self.get(operation_id)
            except NotFound:
                return await begin(operation_id)
        if not same(record.metadata):
            raise RequestIdReused(request_id)
        return record

    async def start(
        self,
        operation_id: str,
        kind: str,
        metadata: bytes,
        work: Work,
        at_end: Callable[[], None] = lambda: None,
    ) -> OperationRecord:
        """Begins an operation, or finds it where it was begun at the same time; its record is durable before this
        returns. Whoever goes away meanwhile has begun it all the same. `at_end` is called when it is over, also
        where it could not be begun."""
        running = self._running.get(operation_id)
        if running is None:
            record = OperationRecord(
                operation_id, kind, False, metadata, create_time=datetime.now(UTC), replica=self._replica
            )
            running = _Running(record, asyncio.create_task(self._save(record)))
            self._running[operation_id] = running
            running.task = asyncio.create_task(
                self._run(running, work, at_end), name=f"operation {operation_id}"
            )
        await asyncio.shield(running.saved)
        return running.record

    async def get(self, operation_id: str) -> OperationRecord:
        """How it stands; NotFound when there is none."""
        running = self._running.get(operation_id)
        if running is not None:
            return running.record
        return await self._workers.reads.run(self._store.get_operation, operation_id)

    async def list(self, *, limit: int, after: str) -> tuple[tuple[OperationRecord, ...], str]:
        """Ordered by id, and where the next page begins (empty: there is none)."""
        found = await self._workers.reads.run(self._store.list_operations, limit=limit + 1, after=after)
        page = [
            self._running[record.operation_id].record if record.operation_id in self._running else record
            for record in found[:limit]
        ]
        return tuple(page), page[-1].operation_id if len(found) > limit else ""

    async def wait(self, operation_id: str, seconds: float) -> OperationRecord:
        """The record when it is done, or as it stands when the time is over."""
        end = asyncio.get_running_loop().time() + seconds
        running = self._running.get(operation_id)
        if running is not None:
            await asyncio.wait([running.task], timeout=seconds)
        record = await self.get(operation_id)
        while not record.done and asyncio.get_running_loop().time() < end:  # another replica runs it
            await asyncio.sleep(min(_SAVE_SECONDS, seconds))
            record = await self.get(operation_id)
        return record

    async def cancel(self, operation_id: str) -> None:
        """Asks it to stop; one that is done stays as it is."""
        running = self._running.get(operation_id)
        if running is None:
            _refuse_elsewhere(await self.get(operation_id))
        else:
            running.stop()
            await asyncio.wait([running.task])

    async def delete(self, operation_id: str) -> None:
        """Forgets one that is done."""
        if operation_id in self._running:
            name = f"operations/{operation_id}"
            raise WrongState(f"{name!r} is still running: cancel it first", kind="operation", name=name)
        _refuse_elsewhere(await self.get(operation_id))
        await self._workers.writes.run(self._store.delete_operation, operation_id)

    async def close(self) -> None:
        """At shutdown: what still runs is ABORTED."""
        self._closing = True
        for running in self._running.values():
            running.stop()
        if self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    async def _run(self, running: _Running, work: Work, at_end: Callable[[], None]) -> None:
        """Never cancelled itself."""
        try:
            await running.saved
        except Exception as error:  # whoever started it is told, if anybody is still there
            _log.error("operation was not begun", operation=running.record.operation_id, exc_info=error)
        else:
            await self._carry_out(running, work)
        finally:
            del self._running[running.record.operation_id]
            at_end()

    async def _carry_out(self, running: _Running, work: Work) -> None:
        def progress(metadata: bytes) -> None:
            running.record = replace(running.record, metadata=metadata)

        operation_id = running.record.operation_id
        ended = asyncio.Event()
        saving = asyncio.create_task(self._save_now_and_then(running, running.record, ended))
        running.work = asyncio.ensure_future(work(progress))
        if running.stopped:
            running.work.cancel()
        try:
            response = await running.work
            final = replace(running.record, done=True, response=response)
        except asyncio.CancelledError:
            final = self._stopped(running.record)
        except Exception as error:
            status = to_status(error, operation_id)
            if row_of(error).hidden:
                _log.error("operation failed", operation=operation_id, exc_info=error)
            final = replace(running.record, done=True, error_code=status.code, error_message=status.message)
        ended.set()
        await saving
        try:
            await self._save(final)
        except Exception as error:
            _log.error("operation could not be kept", operation=operation_id, exc_info=error)
        running.record = final

    def _stopped(self, record: OperationRecord) -> OperationRecord:
        if self._closing:
            return _failed(record, grpc.StatusCode.ABORTED, "the server was shut down")
        return _failed(record, grpc.StatusCode.CANCELLED, "it was cancelled")

    async def _save_now_and_then(
        self, running: _Running, saved: OperationRecord, ended: asyncio.Event
    ) -> None:
        """Progress outlives the server, roughly. Never cancelled: nothing may be saved after the end."""
        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _SAVE_SECONDS)
            if running.record is not saved and not ended.is_set():
                saved = running.record
                try:
                    await self._save(saved)
                except Exception as error:  # the end is kept all the same
                    _log.warning("progress could not be kept", operation=saved.operation_id, exc_info=error)

    async def _save(self, record: OperationRecord) -> None:
        await self._workers.writes.run(self._store.save_operation, record)


def _refuse_elsewhere(record: OperationRecord) -> None:
    if not record.done:
        name = f"operations/{record.operation_id}"
        raise WrongState(f"{name!r} runs on another server: ask that one", kind="operation", name=name)


def _failed(record: OperationRecord, code: grpc.StatusCode, message: str) -> OperationRecord:
    return replace(record, done=True, error_code=code.value[0], error_message=message)
