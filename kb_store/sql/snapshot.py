"""Copies of a SQLite database that is being written to, and what a copy says of itself.

A copy is one read transaction: it holds every write that was acknowledged before it began, whole commits only, and
holds up nobody. It may be taken from another process than the one that writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from kb_store.audit import AuditHead
from kb_store.errors import InvalidInput, StoreError

_BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SpaceFigures:
    """A namespace, as far as two copies can be compared by it."""

    revision: int
    facts: int


@dataclass(frozen=True, slots=True)
class Described:
    """What a database says. `first_waiting`: its oldest outbox entry (0: none); `audit_head`: the end of its audit log
    (empty before schema 0002)."""

    schema: str
    last_sequence: int
    first_waiting: int
    audit_head: str
    namespaces: Mapping[str, SpaceFigures]

    def continues(self, sequence: int) -> bool:
        """Whether an index that has seen this much can be brought up to date from the outbox."""
        if sequence == self.last_sequence:
            return True
        return 0 < self.first_waiting <= sequence + 1 <= self.last_sequence


def sqlite_file(database: str | Path) -> Path:
    """The file behind a path or URL; StoreError when it is no SQLite database."""
    if isinstance(database, Path) or "://" not in database:
        return Path(database)
    try:
        url = make_url(database)
    except ArgumentError:
        raise InvalidInput("database", "is not a URL") from None
    if url.get_backend_name() != "sqlite":
        raise StoreError(
            f"the database is {url.get_backend_name()}: back it up and restore it with its own tools "
            "(pg_dump, pg_basebackup)"
        )
    return Path(url.database or "")


def copy_database(database: Path, target: Path) -> None:
    """Copies the whole database, the write-ahead log included, into a new file that is durable on return."""
    if not database.is_file():
        raise StoreError(f"there is no database at {database}", path=str(database))
    try:
        with (
            closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.execute("PRAGMA query_only = ON")
            copy.execute("PRAGMA synchronous = FULL")
            source.backup(copy)  # all pages in one step: in one read transaction
            # The copy is one file until somebody opens it to write.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"the database cannot be copied: {error}", path=str(database)) from error


def describe(database: Path) -> Described:
    """Reads a copy without touching it."""
    with _unchanging(database) as connection:
        schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        last = connection.execute("SELECT last_sequence FROM counters").fetchone()
        first = connection.execute("SELECT min(sequence) FROM outbox").fetchone()
        rows = connection.execute("SELECT id, revision, live_count FROM namespaces ORDER BY id")
        spaces = {name: SpaceFigures(revision, facts) for name, revision, facts in rows}
        if schema is None or last is None:
            raise StoreError(f"{database} is not a database of facts", path=str(database))
        return Described(schema[0], last[0], first[0] or 0, _audit_head(connection), spaces)


def _audit_head(connection: sqlite3.Connection) -> str:
    known = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'audit_head'"
    if connection.execute(known).fetchone() is None:
        return ""
    number, digest = connection.execute("SELECT last_id, digest FROM audit_head").fetchone()
    return str(AuditHead(number, digest))


def problems_of(database: Path) -> list[str]:
    """Damaged pages and indexes of a copy, in sentences."""
    try:
        with _unchanging(database) as connection:
            found = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    except StoreError as error:
        return [error.message]
    return [f"{database.name}: {line}" for line in found]


@contextmanager
def _unchanging(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{database.name} cannot be read: {error}", path=str(database)) from error
