"""The one writer: a thread that takes everything waiting, runs it in one transaction, and commits once.

Each piece of work runs under a savepoint, so that a refused one leaves no trace while its neighbours go on.
Futures resolve only after the commit. While one commit waits for the disk the next group gathers by itself;
no timer is needed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from kb_store import failpoints
from kb_store.errors import StorageFull, StoreClosed, StoreError
from kb_store.sql.dialect import Dialect

T = TypeVar("T")

MAX_GROUP = 256

BEFORE_COMMIT = failpoints.register("store.before_commit")
AFTER_COMMIT = failpoints.register("store.after_commit")
BEFORE_ACK = failpoints.register("store.before_ack")

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Job(Generic[T]):
    work: Callable[[Connection], T]
    keep: bool
    announces: bool
    future: Future[T] = field(default_factory=Future)
    result: T | None = None
    error: BaseException | None = None


class Writer:
    """Runs work one after another on the writing connection."""

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self._waiting: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="interleaf-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[Connection], T], *, keep: bool = True, announces: bool = False
    ) -> Future[T]:
        """Queues work. `keep=False` undoes what it did and keeps its result; `announces` tells the listeners."""
        job = _Job(work, keep, announces)
        with self._changed:
            if self._closed:
                raise StoreClosed("the store is closed")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Calls the listener after each commit with announcing work, on the writer's thread or that which hears of
        other processes: it must be quick and must not wait for the writer."""
        self._listeners.append(listener)

    def tell(self) -> None:
        """Calls the listeners. What one of them fails with is its own trouble."""
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                _log.exception("a commit listener failed")

    def close(self) -> None:
        """Finishes what is queued, then refuses."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _take(self) -> list[_Job[Any]]:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]

    def _run(self) -> None:
        while group := self._take():
            started = [job for job in group if job.future.set_running_or_notify_cancel()]
            try:
                self._commit(started)
            except Exception as error:  # the whole group failed: everyone in it must hear of it
                failure = self._translated(error)
                for job in started:
                    job.error = failure
            self._resolve(started)

    def _commit(self, group: list[_Job[Any]]) -> None:
        with self._engine.connect() as connection:
            with connection.begin():
                for job in group:
                    self._attempt(connection, job)
                if _anything_announced(group):
                    self._dialect.announce(connection)
                failpoints.hit(BEFORE_COMMIT)
            failpoints.hit(AFTER_COMMIT)

    def _attempt(self, connection: Connection, job: _Job[Any]) -> None:
        connection.exec_driver_sql("SAVEPOINT work")
        try:
            job.result = job.work(connection)
        except Exception as error:
            job.error = self._translated(error)
            if isinstance(job.error, StorageFull):
                # The engine may have rolled back everything by itself: no neighbour may believe it is safe.
                raise job.error from error
        if job.error is not None or not job.keep:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        connection.exec_driver_sql("RELEASE SAVEPOINT work")

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, StoreError):
            return error
        known = self._dialect.translate(error) if isinstance(error, DBAPIError) else None
        if known is None:
            _log.error("a write failed unexpectedly", exc_info=error)
            return error
        known.__cause__ = error
        return known

    def _resolve(self, group: list[_Job[Any]]) -> None:
        failpoints.hit(BEFORE_ACK)
        for job in group:
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if _anything_announced(group):
            self.tell()


def _anything_announced(group: list[_Job[Any]]) -> bool:
    return any(job.announces and job.keep and job.error is None for job in group)
