"""The SQL store as a whole, and how to open one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from kb_store.errors import InvalidInput, StoreError
from kb_store.model import Limits
from kb_store.quotas import UNLIMITED, FactQuotas
from kb_store.sql.auditing import AuditKeeping
from kb_store.sql.backend import DEFAULT_RETENTION, Clock, utc_now
from kb_store.sql.checking import Checking
from kb_store.sql.dialect import Dialect
from kb_store.sql.lexical import LexicalSearching
from kb_store.sql.namespacing import NamespaceKeeping
from kb_store.sql.queues import OperationKeeping, OutboxKeeping
from kb_store.sql.reading import FactReading
from kb_store.sql.reviewing import Reviewing
from kb_store.sql.sqlite import SqliteDialect
from kb_store.sql.writing import FactWriting


class SqlStore(
    FactReading,
    FactWriting,
    NamespaceKeeping,
    OutboxKeeping,
    OperationKeeping,
    LexicalSearching,
    AuditKeeping,
    Reviewing,
    Checking,
):
    """Implements `kb_store.contract.Store` on a SQL database."""


def open_store(
    url_or_path: str | Path,
    limits: Limits | None = None,
    *,
    retention: timedelta = DEFAULT_RETENTION,
    clock: Clock = utc_now,
    quotas: FactQuotas = UNLIMITED,
) -> SqlStore:
    """Opens a database, makes it when it is not there, and brings its schema up to date.

    A path, or a URL such as `sqlite:///data/facts.db` or `postgresql://user:password@host/database` (where the
    database must exist). Deleted facts are kept for `retention`.
    """
    dialect, name = _dialect(url_or_path)
    try:
        return SqlStore(dialect, limits, retention=retention, clock=clock, quotas=quotas)
    except DBAPIError as error:
        raise StoreError(f"cannot open the database {name}: {error.orig}", database=name) from error


def _dialect(url_or_path: str | Path) -> tuple[Dialect, str]:
    """The engine's dialect, and the database's name without anything secret."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return _sqlite(str(url_or_path))
    try:
        url = make_url(url_or_path)
    except ArgumentError:
        raise InvalidInput("database", "is not a URL") from None
    if url.get_backend_name() == "sqlite":
        return _sqlite(url.database or "")
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgres(url)
    raise InvalidInput(
        "database",
        f"has no backend for {url.drivername!r}: use sqlite:///PATH or postgresql://USER@HOST/NAME",
    )


def _sqlite(path: str) -> tuple[Dialect, str]:
    if path in ("", ":memory:"):
        raise InvalidInput("database", "must be a file: a store that forgets cannot acknowledge writes")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return SqliteDialect(Path(path)), path


def _postgres(url: URL) -> tuple[Dialect, str]:
    try:
        from kb_store.sql.postgres import PostgresDialect
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise InvalidInput("database", 'needs psycopg: pip install "interleaf[postgres]"') from None
    return PostgresDialect(url), f"{url.database} at {url.host or 'the local socket'}"
