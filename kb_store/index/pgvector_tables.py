"""The tables of the pgvector index, and the right to change them.

One process at a time has the right: a lock of its session, which falls with its connection. It changes the index
through that same connection, so one that has lost the right cannot change anything by mistake.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL

from kb_store.errors import StoreError, StoreUnavailable
from kb_store.sql.postgres_news import CHANNEL

_KEEPALIVE: dict[str, Any] = {
    "application_name": "interleaf index",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


class VectorTables:
    """Tables of one embedder: another embedder has others, so that old and new servers can run side by side."""

    def __init__(self, url: URL, embedder: str, dimension: int) -> None:
        mark = hashlib.sha256(f"{embedder}/{dimension}".encode()).hexdigest()[:12]
        self.vectors, self.parts, self.state = (
            f"vectors_{mark}",
            f"vector_parts_{mark}",
            f"vector_state_{mark}",
        )
        self.dimension = dimension
        self._key = f"interleaf index {mark} "
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[Any] | None = None
        self._leading = False
        self._using = threading.RLock()

    def lead(self) -> bool:
        """Tries to get the right to change the index, or finds out whether it is still there."""
        with self._using:
            connection = self._connect()
            if not self._leading:
                lock = "SELECT pg_try_advisory_lock(hashtextextended(%s || current_schema(), 0))"
                self._leading = bool(self._one(connection, lock, (self._key,)))
            return self._leading

    @contextmanager
    def changing(self) -> Iterator[psycopg.Connection[Any]]:
        """A transaction of the one who has the right; others are told when it is over."""
        with self._using:
            connection = self._connect()
            if not self._leading:
                raise StoreUnavailable("another process keeps the index: try again")
            with self._guarded(), connection.transaction():
                yield connection
                connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))

    @contextmanager
    def asking(self) -> Iterator[psycopg.Connection[Any]]:
        """The same connection, for those who only look, or ask for something to be made again."""
        with self._using, self._guarded():
            yield self._connect()

    def close(self) -> None:
        """Gives the right up."""
        with self._using:
            self._forget()

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            with self._guarded():
                connection = psycopg.connect(self._conninfo, autocommit=True, **_KEEPALIVE)
                self._connection = connection
                self._make(connection)
        elif self._connection.closed:
            self._forget()
            return self._connect()
        return self._connection

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        """In the schema of the facts; one process at a time."""
        if self._one(connection, "SELECT to_regtype('vector') IS NULL", ()):
            self._forget()
            raise StoreError(
                "the database has no pgvector: an administrator of it must say CREATE EXTENSION vector",
                extension="vector",
            )
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (self._key,))
            for statement in (
                f"CREATE TABLE IF NOT EXISTS {self.state} (id int PRIMARY KEY CHECK (id = 1), "
                "sequence bigint NOT NULL, next_part bigint NOT NULL)",
                f"INSERT INTO {self.state} VALUES (1, 0, 1) ON CONFLICT DO NOTHING",
                f'CREATE TABLE IF NOT EXISTS {self.parts} (namespace text COLLATE "C" PRIMARY KEY, '
                "part bigint NOT NULL, damaged boolean NOT NULL DEFAULT false)",
                f'CREATE TABLE IF NOT EXISTS {self.vectors} (part bigint, "row" bigint, '
                f'embedding vector({self.dimension}) NOT NULL, PRIMARY KEY (part, "row"))',
            ):
                connection.execute(statement)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._forget()
            raise StoreUnavailable(
                "the index in the database cannot be reached: try again",
                sqlstate=getattr(error, "sqlstate", None) or "none",
            ) from error

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._leading = None, False

    def _one(self, connection: psycopg.Connection[Any], statement: str, values: tuple[object, ...]) -> Any:
        with self._guarded():
            row = connection.execute(statement, values).fetchone()
        return None if row is None else row[0]
