"""What all parts of the SQL store stand on: the writer, the readers, the limits and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from kb_store.errors import StoreClosed, StoreUnavailable
from kb_store.model import Limits
from kb_store.quotas import UNLIMITED, FactQuotas
from kb_store.sql.dialect import Dialect
from kb_store.sql.migrate import migrate
from kb_store.sql.mutations import Mutator
from kb_store.sql.writer import Writer

DEFAULT_RETENTION = timedelta(days=30)
REQUESTS_KEPT = timedelta(hours=24)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


class Backend:
    """An open database."""

    def __init__(
        self,
        dialect: Dialect,
        limits: Limits | None = None,
        *,
        retention: timedelta = DEFAULT_RETENTION,
        clock: Clock = utc_now,
        quotas: FactQuotas = UNLIMITED,
    ) -> None:
        self.limits = limits or Limits()
        self._quotas = quotas
        self._dialect = dialect
        self._clock = clock
        self._retention = retention
        self._mutator = Mutator(self.limits, retention)
        self._closed = False
        self._write_engine = dialect.open_writer()
        try:
            migrate(self._write_engine)
        except BaseException:
            self._write_engine.dispose()
            raise
        self._read_engine = dialect.open_readers()
        self._writer = Writer(self._write_engine, dialect)
        self._stop_watching = dialect.watch(self._writer.tell)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection on one snapshot that holds every acknowledged write."""
        if self._closed:
            raise StoreClosed("the store is closed")
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except NoneFree as error:
            raise StoreUnavailable("no connection for reading was free: try again") from error
        except DBAPIError as error:
            known = self._dialect.translate(error)
            if known is None:
                raise
            raise known from error

    def close(self) -> None:
        """Finishes what was submitted, then refuses with StoreClosed."""
        self._stop_watching()
        self._writer.close()
        self._closed = True
        self._read_engine.dispose()
        self._write_engine.dispose()
