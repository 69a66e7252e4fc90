"""SQLite: WAL, synchronous FULL, one writing connection, readers that see snapshots."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ColumnElement, Connection, Engine, Select, create_engine, event, func
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from kb_store.errors import StorageFull, StoreError, StoreUnavailable
from kb_store.sql.dialect import HOLDING, TextRow
from kb_store.sql.rows import FACT_COLUMNS
from kb_store.sql.tables import facts

_BUSY_SECONDS = 30
_READER_CONNECTIONS = 8
_READER_OVERFLOW = 56
_FULL_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_PASSING_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SYNCHRONOUS_FULL = 2

# The index keeps no copy of the texts: to forget a row it must be told what the row said.
_REMOVE_TEXT = "INSERT INTO facts_fts(facts_fts, rowid, subject, aliases) VALUES ('delete', ?, ?, ?)"
_LIVE_INDEX = "facts_live_by_relation"
_LIVE_OF_RELATIONS = (
    f"SELECT {', '.join(f'facts.{column.name}' for column in FACT_COLUMNS)} "  # noqa: S608 - our own names
    f"FROM json_each(?) AS wanted CROSS JOIN facts INDEXED BY {_LIVE_INDEX} "
    "WHERE facts.namespace = ? AND facts.subject = wanted.value ->> 0 AND facts.relation = wanted.value ->> 1 "
    "AND facts.delete_time IS NULL"
)
_REMOVE_NAMESPACE_TEXT = (
    "INSERT INTO facts_fts(facts_fts, rowid, subject, aliases) "
    "SELECT 'delete', row, subject, aliases FROM facts WHERE namespace = ? AND delete_time IS NULL"
)
_ADD_TEXT = "INSERT INTO facts_fts(rowid, subject, aliases) VALUES (?, ?, ?)"
_SMALLEST_FROM = """
SELECT grams.value, (
    SELECT folded_name FROM fact_names
    WHERE namespace = ?1 AND folded_name >= grams.value ORDER BY folded_name LIMIT 1
) FROM json_each(?2) AS grams
"""
_ROWS_MATCHING = "SELECT rowid FROM facts_fts WHERE facts_fts MATCH ?1 LIMIT ?2 OFFSET ?3"
# CROSS: the planner, left alone, would look for all the rows before it gives the first.
_FACTS_MATCHING = f"""
SELECT facts.row FROM (SELECT rowid FROM facts_fts WHERE facts_fts MATCH ?1 LIMIT ?2) AS hits
CROSS JOIN facts ON facts.row = hits.rowid
WHERE facts.namespace = ?3 AND delete_time IS NULL AND (?4 IS NULL OR {HOLDING.format(moment="?4")}) LIMIT ?5
"""  # noqa: S608 - our own rule
# With rank 1 the index is compared with the texts themselves.
_CHECK_TEXT = "INSERT INTO facts_fts(facts_fts, rank) VALUES ('integrity-check', 1)"


class SqliteDialect:
    """One database file."""

    longest_name: int | None = None

    def __init__(self, path: Path) -> None:
        self._url = URL.create("sqlite+pysqlite", database=str(path))

    def open_writer(self) -> Engine:
        """A single connection that commits durably; raises when the file system does not allow WAL."""
        engine = self._engine(pool_size=1, max_overflow=0)

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None
            _set(connection, "journal_mode", "wal", "wal")
            _set(connection, "synchronous", "FULL", _SYNCHRONOUS_FULL)
            _set(connection, "foreign_keys", "ON", 1)
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA temp_store = MEMORY")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def open_readers(self) -> Engine:
        """A pool of connections that refuse to write."""
        engine = self._engine(pool_size=_READER_CONNECTIONS, max_overflow=_READER_OVERFLOW)

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None
            _set(connection, "query_only", "ON", 1)
            connection.execute("PRAGMA cache_size = -16384")
            connection.execute("PRAGMA mmap_size = 1073741824")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        return engine

    def _engine(self, *, pool_size: int, max_overflow: int) -> Engine:
        return create_engine(
            self._url,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=max_overflow,
            hide_parameters=True,  # errors are logged, and logs hold no fact texts
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False, "cached_statements": 512},
        )

    def contains(self, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
        """LIKE would fold ASCII case; instr does not."""
        return func.instr(column, value) > 0

    def live_of_relations(
        self, connection: Connection, namespace: str, keys: Sequence[tuple[str, str]]
    ) -> Iterable[Any]:
        """One index probe for each key; the planner, left alone, would read the whole namespace."""
        if not keys:
            return ()
        return connection.exec_driver_sql(
            _LIVE_OF_RELATIONS, (json.dumps(keys, ensure_ascii=False), namespace)
        ).all()

    def by_subject(self, statement: Select[*tuple[Any, ...]], subject: str) -> Select[*tuple[Any, ...]]:
        """Without statistics the planner prefers the index that is in the right order, and reads it whole."""
        return statement.with_hint(facts, f"INDEXED BY {_LIVE_INDEX}", "sqlite")

    def remove_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """Forgets these rows."""
        connection.exec_driver_sql(_REMOVE_TEXT, list(texts))

    def add_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """Plain values: reading the texts from the facts row by row takes eight times as long."""
        connection.exec_driver_sql(_ADD_TEXT, list(texts))

    def remove_namespace_text(self, connection: Connection, namespace: str) -> None:
        """In one statement, also for a million facts."""
        connection.exec_driver_sql(_REMOVE_NAMESPACE_TEXT, (namespace,))

    def smallest_names(
        self, connection: Connection, namespace: str, grams: Sequence[str]
    ) -> Iterable[tuple[str, str | None]]:
        """One probe of the table's own order for each."""
        found = connection.exec_driver_sql(_SMALLEST_FROM, (namespace, json.dumps(grams)))
        return [(gram, name) for gram, name in found]

    def rows_with_words(
        self, connection: Connection, namespace: str, words: Sequence[str], limit: int
    ) -> list[int]:
        """The full text knows no namespaces: of a word that is frequent elsewhere, rows here may be left out."""
        asked = (_query(words), limit, 0)
        return list(connection.exec_driver_sql(_ROWS_MATCHING, asked).scalars())

    def facts_with_words(
        self,
        connection: Connection,
        namespace: str,
        words: Sequence[str],
        limit: int,
        *,
        among: int,
        moment: int | None,
    ) -> list[int] | None:
        """Counting first: it takes a tenth of the time of looking facts up."""
        query = _query(words)
        if connection.exec_driver_sql(_ROWS_MATCHING, (query, 1, among)).first() is not None:
            return None
        asked = (query, among, namespace, moment, limit)
        return list(connection.exec_driver_sql(_FACTS_MATCHING, asked).scalars())

    def announce(self, connection: Connection) -> None:
        """Nobody else is there: one process at a time has the file."""

    def watch(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Nobody else writes."""
        return lambda: None

    def translate(self, error: DBAPIError) -> StoreError | None:
        """Full disks, also where SQLite meets them in the shared-memory file; and a lock that somebody else keeps."""
        if _code(error) in _FULL_CODES:
            return StorageFull("no space left for the database; reading goes on, writing needs space")
        if primary_code(error) in _PASSING_CODES:
            return StoreUnavailable("the database is busy: try again, with the same request_id")
        return None

    def check(self, connection: Connection) -> list[str]:
        """Pages, indexes, foreign keys, and the full text against the facts."""
        wrong = [
            f"integrity_check: {message}"
            for (message,) in connection.exec_driver_sql("PRAGMA integrity_check")
            if message != "ok"
        ]
        wrong += [
            f"foreign key of {table} row {row} points at a missing row of {parent}"
            for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")
        ]
        try:
            connection.exec_driver_sql(_CHECK_TEXT)
        except DBAPIError as error:
            wrong.append(f"the full-text index disagrees with the facts: {error.orig}")
        return wrong


def _query(words: Sequence[str]) -> str:
    return " AND ".join(f'"{word}"' for word in words)


def primary_code(error: DBAPIError) -> int:
    """What went wrong, in plain: the lowest byte of an extended code such as SQLITE_BUSY_SNAPSHOT. 0: not SQLite's."""
    return _code(error) & 0xFF


def _code(error: DBAPIError) -> int:
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code


def _set(connection: sqlite3.Connection, pragma: str, value: str, expected: object) -> None:
    connection.execute(f"PRAGMA {pragma} = {value}")
    (found,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    if found != expected:
        raise StoreError(f"SQLite refused {pragma} = {value} (it is {found!r})", pragma=pragma, value=value)
