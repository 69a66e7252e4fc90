"""Dry runs of whole imports: each chunk is judged as if those before it had been committed.

The rows go, by the code of real imports, into a database of their own that ends with the run. Before each chunk it is
given what the chunk's rows may meet in the store. So the writer has nothing to do with it, and as the database is a
file without a name, memory does not grow with the rows.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, delete, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from kb_store.errors import StorageFull
from kb_store.model import ConflictPolicy, Context, ImportProgress, ImportResult, ImportRow, Limits
from kb_store.quotas import FactQuotas
from kb_store.reviews import Quarantine
from kb_store.sql.dialect import Dialect, TextRow
from kb_store.sql.imports import (
    ImportChunk,
    check_chunk,
    check_import_id,
    check_rows,
    find_progress,
    import_chunk,
)
from kb_store.sql.lookups import rows_by_id, rows_of_relations
from kb_store.sql.prepared import Prepared
from kb_store.sql.review_rows import content_digest, count_waiting, held_rows
from kb_store.sql.sqlite import SqliteDialect, primary_code
from kb_store.sql.tables import (
    audit,
    audit_head,
    counters,
    fact_names,
    fact_revisions,
    facts,
    metadata,
    namespaces,
    outbox,
    reviews,
)
from kb_store.sql.unit import Unit

# New rows are numbered from far above those of the store, which may grow meanwhile.
_LAST_ROW = 1 << 40
_WITHOUT_FILE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR})
_NOT_LOOKED_AT = (fact_revisions, fact_names, outbox, audit)


def _copying(table: Table) -> Prepared:
    """What was copied before, or changed by the rehearsal since, stays as it is."""
    return Prepared(insert(table).prefix_with("OR IGNORE"), [column.name for column in table.c])


_COPIED = {table: _copying(table) for table in (namespaces, facts, reviews)}


class _Untold(SqliteDialect):
    """SQLite without full text: nobody searches here."""

    def __init__(self) -> None:
        super().__init__(Path())

    def remove_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """There is none."""

    def add_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """None is needed."""


class _Rehearsed(Unit):
    """Facts that it makes have no ids that could be taken for ids of stored facts: refusals name them."""

    waits = 0  # rows of the namespace, most of which are not in this database

    def waiting(self) -> int:
        return self.waits

    def _made_id(self, uid: str) -> str:
        return f"(new fact {self._last_row - _LAST_ROW} of this file)"


class Rehearsal:
    """Implements `kb_store.contract.RowImporter` for the length of one import."""

    def __init__(
        self,
        source: Dialect,
        reading: Callable[[], AbstractContextManager[Connection]],
        limits: Limits,
        quotas: FactQuotas,
        clock: Callable[[], datetime],
    ) -> None:
        self._source, self._reading = source, reading
        self._limits, self._quotas, self._clock = limits, quotas, clock
        self._dialect = _Untold()
        self._held = 0
        self._engine = create_engine(
            "sqlite+pysqlite://",
            creator=lambda: sqlite3.connect("", check_same_thread=False),
            poolclass=StaticPool,
            hide_parameters=True,
        )
        # A stream that breaks off does not wait for its last chunk: whoever lets go last ends the database.
        weakref.finalize(self, self._engine.dispose)
        with self._writing() as connection:
            metadata.create_all(connection)
            connection.execute(insert(counters).values(id=1, last_row=_LAST_ROW, last_sequence=0))
            connection.execute(insert(audit_head).values(id=1, last_id=0, digest=""))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            full = isinstance(self._dialect.translate(error), StorageFull)
            if not full and primary_code(error) not in _WITHOUT_FILE:
                raise
            raise StorageFull(
                "no room for the temporary file of a dry run: it needs space in a folder that the server may write to "
                "(TMPDIR)"
            ) from error

    def import_rows(
        self,
        namespace: str,
        import_id: str,
        rows: Sequence[ImportRow],
        policy: ConflictPolicy,
        context: Context,
        *,
        quarantine: Quarantine = Quarantine.OFF,
        after: int | None = None,
    ) -> Future[ImportResult]:
        """What the store would do with the rows. The future is done."""
        future: Future[ImportResult] = Future()
        try:
            chunk = ImportChunk(namespace, import_id, rows, policy, quarantine, after)
            future.set_result(self._take(chunk, context))
        except Exception as error:
            future.set_exception(error)
        return future

    def _take(self, chunk: ImportChunk, context: Context) -> ImportResult:
        check_chunk(chunk, context)
        good, failures = check_rows(chunk.rows, self._limits)
        met, waiting = self._met_by(chunk, good)
        with self._writing() as connection:
            for table, found in met.items():
                names = [column.name for column in table.c]
                _COPIED[table].run_many(connection, [dict(zip(names, row, strict=True)) for row in found])
            unit = _Rehearsed(
                connection,
                self._dialect,
                chunk.namespace,
                context,
                self._clock(),
                audit_each=False,
                quotas=self._quotas,
            )
            unit.waits = waiting + self._held
            result = import_chunk(unit, chunk, good, failures)
            self._held += result.held
            for unread in _NOT_LOOKED_AT:
                connection.execute(delete(unread))
        return result

    def _met_by(self, chunk: ImportChunk, rows: Sequence[ImportRow]) -> tuple[dict[Table, list[Any]], int]:
        """What these rows of the chunk may meet in the store, with all columns; and how many rows wait there."""
        namespace = chunk.namespace
        contents = [row.content for row in rows]
        with self._reading() as connection:
            met = {
                namespaces: list(connection.execute(select(namespaces).where(namespaces.c.id == namespace))),
                facts: [
                    *rows_by_id(connection, namespace, (row.fact_id for row in rows if row.fact_id)),
                    *rows_of_relations(connection, self._source, namespace, contents),
                ],
                reviews: list(held_rows(connection, namespace, _digests(chunk, rows), *reviews.c)),
            }
            limited = self._quotas.of(namespace) is not None
            return met, count_waiting(connection, namespace) if limited else 0

    def import_progress(self, namespace: str, import_id: str) -> ImportProgress:
        """Of the rehearsal: that of the store does not count."""
        check_import_id(import_id)
        with self._writing() as connection:
            return find_progress(connection, namespace, import_id)


def _digests(chunk: ImportChunk, rows: Sequence[ImportRow]) -> Iterable[str]:
    if chunk.quarantine is Quarantine.OFF:
        return ()
    return (content_digest(row.content, row.fact_id) for row in rows)
