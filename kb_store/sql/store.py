"""The SQL store as a whole, and how to open one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from kb_store.errors import InvalidInput, StoreError
from kb_store.model import Limits
from kb_store.sql.auditing import AuditKeeping
from kb_store.sql.backend import DEFAULT_RETENTION, Clock, utc_now
from kb_store.sql.checking import Checking
from kb_store.sql.lexical import LexicalSearching
from kb_store.sql.namespacing import NamespaceKeeping
from kb_store.sql.queues import OperationKeeping, OutboxKeeping
from kb_store.sql.reading import FactReading
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
    Checking,
):
    """Implements `kb_store.contract.Store` on a SQL database."""


def open_store(
    url_or_path: str | Path,
    limits: Limits | None = None,
    *,
    retention: timedelta = DEFAULT_RETENTION,
    clock: Clock = utc_now,
) -> SqlStore:
    """Opens a database, makes it when it is not there, and brings its schema up to date.

    A path, or a URL such as `sqlite:///data/facts.db`. Deleted facts are kept for `retention`.
    """
    path = _sqlite_path(url_or_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return SqlStore(SqliteDialect(path), limits, retention=retention, clock=clock)
    except DBAPIError as error:
        raise StoreError(f"cannot open the database {path}: {error.orig}", path=str(path)) from error


def _sqlite_path(url_or_path: str | Path) -> Path:
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        path = str(url_or_path)
    else:
        try:
            url = make_url(url_or_path)
        except ArgumentError:
            raise InvalidInput("database", "is not a URL") from None
        if url.get_backend_name() != "sqlite":
            raise InvalidInput(
                "database", f"has no backend for {url.get_backend_name()!r}: use sqlite:///PATH"
            )
        path = url.database or ""
    if path in ("", ":memory:"):
        raise InvalidInput("database", "must be a file: a store that forgets cannot acknowledge writes")
    return Path(path)
