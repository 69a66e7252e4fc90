"""PostgreSQL: any number of processes at one database, one of them writing at a time.

Every writing transaction begins by taking the database's one write lock, so commits have an order, sequences have
no gaps, and what a unit of work read stays true until it commits. The lock falls with the transaction, and a
transaction falls with its connection: a process that stops in the middle is thrown out by the server, and nothing
that it does afterwards can be committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Select,
    create_engine,
    event,
    func,
    literal_column,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from kb_store.errors import StorageFull, StoreError, StoreUnavailable
from kb_store.sql.postgres_news import CHANNEL, News
from kb_store.sql.postgres_words import PostgresWords
from kb_store.sql.rows import FACT_COLUMNS
from kb_store.sql.tables import facts

_READER_CONNECTIONS = 8
_READER_OVERFLOW = 8
# How long a writer waits for its turn, and how long one may think in the middle of a transaction.
_TURN_SECONDS = 30
_STALLED_SECONDS = 30
# Texts may be longer than an entry of a B-tree can be: their beginnings are indexed.
SUBJECT_INDEXED, RELATION_INDEXED = 300, 200
# Of the schema, so that several services can share a database.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('interleaf writer ' || current_schema(), 0))"
_LIVE_OF_RELATIONS = (
    f"SELECT {', '.join(f'found.{column.name}' for column in FACT_COLUMNS)} "  # noqa: S608 - our own names
    "FROM unnest(%(subjects)s::text[], %(relations)s::text[]) AS wanted(subject, relation) "
    "CROSS JOIN LATERAL (SELECT * FROM facts WHERE namespace = %(namespace)s AND delete_time IS NULL "
    f'AND left(subject, {SUBJECT_INDEXED}) = left(wanted.subject, {SUBJECT_INDEXED}) COLLATE "C" '
    f'AND left(relation, {RELATION_INDEXED}) = left(wanted.relation, {RELATION_INDEXED}) COLLATE "C" '
    'AND subject = wanted.subject COLLATE "C" AND relation = wanted.relation COLLATE "C" '
    # Without this fence the planner may read the whole namespace once in place of one probe for each key.
    "OFFSET 0) AS found"
)
_DAMAGED_INDEXES = (
    "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
    "WHERE relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready)"
)


class PostgresDialect(PostgresWords):
    """One schema of one database."""

    def __init__(self, url: URL, *, stalled_seconds: float = _STALLED_SECONDS) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._stalled = stalled_seconds

    def open_writer(self) -> Engine:
        """A single connection that commits durably; raises when the server may lose what it has confirmed."""
        engine = self._engine(pool_size=1, max_overflow=0)

        @event.listens_for(engine, "connect")
        def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
            with connection.cursor() as cursor:
                for setting, needed in (
                    ("fsync", "on"),
                    ("full_page_writes", "on"),
                    ("server_encoding", "UTF8"),
                ):
                    _require(cursor, setting, needed)
                cursor.execute(
                    "SELECT set_config('synchronous_commit', 'on', false) "
                    "WHERE current_setting('synchronous_commit') = 'off'"
                )
                cursor.execute("SET jit = off")
                for setting, seconds in (
                    ("lock_timeout", _TURN_SECONDS),
                    ("idle_in_transaction_session_timeout", self._stalled),
                ):
                    cursor.execute("SELECT set_config(%s, %s, false)", (setting, f"{int(1000 * seconds)}ms"))
            connection.commit()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(_LOCK)

        return engine

    def open_readers(self) -> Engine:
        """A pool of connections that refuse to write and see one snapshot for each transaction."""
        engine = self._engine(
            pool_size=_READER_CONNECTIONS, max_overflow=_READER_OVERFLOW, isolation_level="REPEATABLE READ"
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
            # Every statement here takes microseconds; compiling one takes a hundred milliseconds.
            connection.execute("SET jit = off")
            connection.commit()
            connection.read_only = True

        return engine

    def _engine(self, *, pool_size: int, max_overflow: int, **options: Any) -> Engine:
        return create_engine(
            self._url,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_pre_ping=True,  # a server that was restarted costs no call
            hide_parameters=True,  # errors are logged, and logs hold no fact texts
            connect_args=_CONNECT,
            **options,
        )

    def contains(self, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
        """No pattern, so nothing in the value has a meaning of its own."""
        return func.strpos(column, value) > 0

    def live_of_relations(
        self, connection: Connection, namespace: str, keys: Sequence[tuple[str, str]]
    ) -> Iterable[Any]:
        """One index probe for each key."""
        if not keys:
            return ()
        subjects, relations = zip(*keys, strict=True)
        asked = {"namespace": namespace, "subjects": list(subjects), "relations": list(relations)}
        return connection.exec_driver_sql(_LIVE_OF_RELATIONS, asked).all()

    def by_subject(self, statement: Select[*tuple[Any, ...]], subject: str) -> Select[*tuple[Any, ...]]:
        """Names what is indexed."""
        beginning = func.left(facts.c.subject, literal_column(str(SUBJECT_INDEXED)))
        return statement.where(beginning == subject[:SUBJECT_INDEXED])

    def announce(self, connection: Connection) -> None:
        """Sent by the server when it commits."""
        connection.exec_driver_sql("SELECT pg_notify(%(channel)s, '')", {"channel": CHANNEL})

    def watch(self, heard: Callable[[], None]) -> Callable[[], None]:
        """On a connection and a thread of its own."""
        return News(self._plain(), heard).close

    def _plain(self) -> str:
        """What libpq connects with. It holds the password: for no log."""
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

    def translate(self, error: DBAPIError) -> StoreError | None:
        """Full disks; and whatever passes when one tries again: lost connections, restarts, a lock in use."""
        cause = error.orig
        if isinstance(cause, psycopg.errors.DiskFull):
            return StorageFull("no space left for the database; reading goes on, writing needs space")
        if error.connection_invalidated or isinstance(cause, _PASSING):
            return StoreUnavailable(
                "the database cannot be reached or is busy: try again, with the same request_id",
                sqlstate=getattr(cause, "sqlstate", None) or "none",
            )
        return None

    def check(self, connection: Connection) -> list[str]:
        """Indexes that cannot be used, and the words against the facts. Foreign keys are the server's own care."""
        wrong = [
            f"index {name} is not valid: REINDEX it"
            for (name,) in connection.exec_driver_sql(_DAMAGED_INDEXES)
        ]
        return [*wrong, *self.check_words(connection)]


# A host that is gone must not be waited for longer than this.
_CONNECT: dict[str, Any] = {
    "application_name": "interleaf",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)


def _require(cursor: psycopg.Cursor[Any], setting: str, needed: str) -> None:
    found = cursor.execute("SELECT current_setting(%s)", (setting,)).fetchone()
    if found is None or found[0] != needed:
        state = None if found is None else found[0]
        raise StoreError(
            f"PostgreSQL has {setting} = {state}: a store that forgets cannot acknowledge writes, set it to {needed}",
            setting=setting,
        )
