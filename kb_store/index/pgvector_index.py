"""`KeptIndex` on pgvector: one index in the database for all processes at it.

Each namespace has a part, which is searched exactly while it is small and through an HNSW graph of its own when it
has grown: no namespace's vectors are met on the way to another's. Vectors have length 1, so the inner product is
the cosine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kb_store.contract import Vectors
from kb_store.errors import StoreError, StoreUnavailable
from kb_store.index.contract import Filling
from kb_store.index.pgvector_tables import VectorTables
from kb_store.sql.postgres import PostgresDialect

_MOST_CANDIDATES = 1000  # pgvector's own bound


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """exact_limit: vectors up to which a namespace is searched exhaustively. The rest is HNSW's: neighbours kept of
    each vector, candidates looked at when one is added, and when one is sought (at least as many as are wanted)."""

    exact_limit: int = 20_000
    neighbours: int = 16
    build_candidates: int = 64
    search_candidates: int = 300


def _text(vector: Vectors) -> str:
    """As pgvector reads it; nine digits are the whole number."""
    return "[" + ",".join(f"{value:.9g}" for value in vector.tolist()) + "]"


class PgVectorIndex:
    """Whoever leads changes it, everybody searches it."""

    lost = False  # the tables are there or are made; what they lack is found by counting

    def __init__(
        self, url: URL, *, dimension: int, embedder: str, settings: GraphSettings | None = None
    ) -> None:
        self.dimension = dimension
        self.embedder = embedder
        self.settings = settings or GraphSettings()
        self._tables = VectorTables(url, embedder, dimension)
        self._dialect = PostgresDialect(url)
        self.damaged: frozenset[str] = frozenset()
        self._sequence = 0
        self._tidied = False
        self._refresh()
        self._readers = self._open_readers()

    def _open_readers(self) -> Engine:
        engine = self._dialect.open_readers()

        @event.listens_for(engine, "connect")
        def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
            # The first statement loads the library, whose settings the second one sets.
            connection.execute("SELECT '[1]'::vector")
            connection.execute(f"SET hnsw.ef_search = {self.settings.search_candidates}")
            # Whoever wants more rows than there are candidates gets them; pgvector before 0.8 has no such setting.
            connection.execute(
                "SELECT set_config(name, 'strict_order', false) FROM pg_settings WHERE name = 'hnsw.iterative_scan'"
            )
            connection.commit()

        return engine

    def close(self) -> None:
        """Lets another process lead."""
        self._tables.close()
        self._readers.dispose()

    # --- looking --------------------------------------------------------------------------------------------

    def _read(
        self, statement: str, values: dict[str, object], *, namespace: str, wanted: int = 0
    ) -> list[Any]:
        """Runs a statement about the namespace's part, in one snapshot; nothing for an unknown namespace."""
        try:
            with self._readers.connect() as connection:
                which = f"SELECT part FROM {self._tables.parts} WHERE namespace = %(namespace)s"
                part = connection.exec_driver_sql(which, {"namespace": namespace}).scalar()
                if part is None:
                    return []
                if wanted > self.settings.search_candidates:
                    # Equal vectors, as those of a history, are near nobody else: fewer candidates end among them.
                    most = min(wanted, _MOST_CANDIDATES)
                    connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {most}")
                # The part stands in the statement as a number: an index of one part alone can only be chosen so.
                made = statement.format(vectors=self._tables.vectors, part=int(part))
                return list(connection.exec_driver_sql(made, values).all())
        except PoolTimeout as error:
            raise StoreUnavailable(
                "all connections to the index in the database are busy: try again"
            ) from error
        except DBAPIError as error:
            known = self._dialect.translate(error)
            if known is None:
                raise
            raise known from error

    def search(self, namespace: str, vector: Vectors, *, limit: int) -> list[tuple[int, float]]:
        """(row, cosine), best first; an unknown namespace is empty."""
        statement = (
            'SELECT "row", -(embedding <#> %(vector)s::vector) FROM {vectors} WHERE part = {part} '
            "ORDER BY embedding <#> %(vector)s::vector LIMIT %(limit)s"
        )
        found = self._read(
            statement, {"vector": _text(vector), "limit": limit}, namespace=namespace, wanted=limit
        )
        return [(row, float(cosine)) for row, cosine in found]

    def similarities(self, namespace: str, vector: Vectors, rows: Sequence[int]) -> dict[int, float]:
        """The cosines of rows found by other means; rows that are not in the index are left out."""
        statement = (
            'SELECT "row", -(embedding <#> %(vector)s::vector) FROM {vectors} '
            'WHERE part = {part} AND "row" = ANY(%(rows)s::bigint[])'
        )
        found = self._read(statement, {"vector": _text(vector), "rows": list(rows)}, namespace=namespace)
        return {row: float(cosine) for row, cosine in found}

    def rows(self, namespace: str) -> frozenset[int]:
        """Every row in the index."""
        found = self._read('SELECT "row" FROM {vectors} WHERE part = {part}', {}, namespace=namespace)
        return frozenset(row for (row,) in found)

    def total(self) -> int:
        """None: what is changed is saved."""
        return 0

    def count(self, namespace: str) -> int:
        """Number of rows."""
        found = self._read("SELECT count(*) FROM {vectors} WHERE part = {part}", {}, namespace=namespace)
        return int(found[0][0]) if found else 0

    def namespaces(self) -> frozenset[str]:
        """Every namespace that has a part."""
        with self._tables.asking() as connection:
            found = connection.execute(f"SELECT namespace FROM {self._tables.parts}").fetchall()
        return frozenset(name for (name,) in found)

    def describe(self, namespace: str) -> dict[str, str | int | float]:
        """Kind and count; empty for an unknown one."""
        count = self.count(namespace)
        if not count:
            return {}
        grown = "SELECT to_regclass('{vectors}_{part}') IS NOT NULL"
        found = self._read(grown, {}, namespace=namespace)
        return {"kind": "pgvector,HNSW" if found and found[0][0] else "pgvector,exact", "count": count}

    def applied_sequence(self) -> int:
        """As of when `lead` was asked last."""
        return self._sequence

    @property
    def saved_sequence(self) -> int:
        """What is noted is durable."""
        return self._sequence

    # --- keeping --------------------------------------------------------------------------------------------

    def lead(self) -> bool:
        """Whether this process changes the index; what others noted is known afterwards."""
        leading = self._tables.lead()
        if leading and not self._tidied:
            with self._tables.changing() as connection:
                self._remove_unused(connection)
            self._tidied = True
        self._refresh()
        return leading

    def _remove_unused(self, connection: psycopg.Connection[Any]) -> None:
        """Parts of no namespace: their filling was interrupted, or failed."""
        tables = self._tables
        unused = (
            f"SELECT part FROM generate_series(1, (SELECT next_part FROM {tables.state})) AS made(part) "
            f"WHERE part NOT IN (SELECT part FROM {tables.parts}) "
            f"AND EXISTS (SELECT FROM {tables.vectors} AS vectors WHERE vectors.part = made.part)"
        )
        for (part,) in connection.execute(unused).fetchall():
            _Part(tables, part).remove(connection)

    def _refresh(self) -> None:
        tables = self._tables
        with tables.asking() as connection:
            state = connection.execute(f"SELECT sequence FROM {tables.state}").fetchone()
            doubted = connection.execute(f"SELECT namespace FROM {tables.parts} WHERE damaged")
            self.damaged = frozenset(name for (name,) in doubted)
        self._sequence = 0 if state is None else state[0]

    def apply(
        self, namespace: str, *, remove: Sequence[int], rows: Sequence[int], vectors: Vectors, sequence: int
    ) -> None:
        """Removes, then adds or replaces, then notes the sequence."""
        with self._tables.changing() as connection:
            part = self._part(connection, namespace, make=bool(rows))
            if part is not None:
                _Part(self._tables, part).change(connection, remove, rows, vectors)
            self._note(connection, sequence)

    def note(self, sequence: int) -> None:
        """Everything up to this outbox entry is in the index."""
        with self._tables.changing() as connection:
            self._note(connection, sequence)

    def _note(self, connection: psycopg.Connection[Any], sequence: int) -> None:
        now = f"UPDATE {self._tables.state} SET sequence = greatest(sequence, %s) RETURNING sequence"
        found = connection.execute(now, (sequence,)).fetchone()
        self._sequence = sequence if found is None else found[0]

    def _part(self, connection: psycopg.Connection[Any], namespace: str, *, make: bool) -> int | None:
        which = f"SELECT part FROM {self._tables.parts} WHERE namespace = %s"
        found = connection.execute(which, (namespace,)).fetchone()
        if found is not None:
            return int(found[0])
        if not make:
            return None
        part = self._next_part(connection)
        insert = f"INSERT INTO {self._tables.parts} (namespace, part) VALUES (%s, %s)"
        connection.execute(insert, (namespace, part))
        return part

    def _next_part(self, connection: psycopg.Connection[Any]) -> int:
        state = self._tables.state
        found = connection.execute(
            f"UPDATE {state} SET next_part = next_part + 1 RETURNING next_part"
        ).fetchone()
        if found is None:
            raise StoreError("the index in the database has lost its state: drop its tables")
        return int(found[0])

    def drop(self, namespace: str) -> None:
        """Forgets the namespace."""
        with self._tables.changing() as connection:
            part = self._part(connection, namespace, make=False)
            if part is not None:
                connection.execute(f"DELETE FROM {self._tables.parts} WHERE part = %s", (part,))
                _Part(self._tables, part).remove(connection)
        self.damaged -= {namespace}

    def distrust(self, namespace: str) -> None:
        """Notes in the database that the namespace must be made again: whoever leads does it."""
        with self._tables.asking() as connection, connection.transaction():
            doubt = (
                f"INSERT INTO {self._tables.parts} (namespace, part, damaged) VALUES (%s, %s, true) "
                "ON CONFLICT (namespace) DO UPDATE SET damaged = true"
            )
            connection.execute(doubt, (namespace, self._next_part(connection)))
        self.damaged |= {namespace}

    def restart_at(self, sequence: int, namespaces: Iterable[str]) -> None:
        """Forgets everything; these namespaces are to be made again."""
        for namespace in self.namespaces():
            self.drop(namespace)
        for namespace in namespaces:
            self.distrust(namespace)
        self.note(sequence)

    def new_partition(self) -> Filling:
        """A part that no namespace has yet."""
        with self._tables.changing() as connection:
            self._remove_unused(connection)
            return _Part(self._tables, self._next_part(connection))

    def install(self, namespace: str, partition: Filling) -> None:
        """Readers see the old part until this commits, and the new one afterwards."""
        if not isinstance(partition, _Part):
            raise TypeError("a partition of another index")
        with self._tables.changing() as connection:
            old = self._part(connection, namespace, make=False)
            connection.execute(f"DELETE FROM {self._tables.parts} WHERE namespace = %s", (namespace,))
            if len(partition):
                insert = f"INSERT INTO {self._tables.parts} (namespace, part) VALUES (%s, %s)"
                connection.execute(insert, (namespace, partition.part))
            if old is not None:
                _Part(self._tables, old).remove(connection)
        self.damaged -= {namespace}

    def save(self) -> None:
        """All is saved; gives namespaces that have outgrown exact search their graphs."""
        tables, chosen = self._tables, self.settings
        with tables.asking() as connection:
            sizes = connection.execute(
                f"SELECT part FROM {tables.vectors} JOIN {tables.parts} USING (part) GROUP BY part "
                f"HAVING count(*) > %s AND to_regclass('{tables.vectors}_' || part) IS NULL",
                (chosen.exact_limit,),
            ).fetchall()
        for (part,) in sizes:
            with tables.changing() as connection:
                connection.execute(
                    f"CREATE INDEX IF NOT EXISTS {tables.vectors}_{int(part)} ON {tables.vectors} "
                    f"USING hnsw (embedding vector_ip_ops) WITH (m = {chosen.neighbours}, "
                    f"ef_construction = {chosen.build_candidates}) WHERE part = {int(part)}"
                )


class _Part:
    """The vectors of one namespace."""

    def __init__(self, tables: VectorTables, part: int) -> None:
        self.part = part
        self._tables = tables

    def __len__(self) -> int:
        with self._tables.asking() as connection:
            statement = f"SELECT count(*) FROM {self._tables.vectors} WHERE part = %s"
            found = connection.execute(statement, (self.part,)).fetchone()
        return 0 if found is None else int(found[0])

    def apply(self, remove: Sequence[int], rows: Sequence[int], vectors: Vectors) -> None:
        """In a transaction of its own."""
        with self._tables.changing() as connection:
            self.change(connection, remove, rows, vectors)

    def change(
        self,
        connection: psycopg.Connection[Any],
        remove: Sequence[int],
        rows: Sequence[int],
        vectors: Vectors,
    ) -> None:
        """Removes, then adds or replaces."""
        table = self._tables.vectors
        if remove:
            gone = f'DELETE FROM {table} WHERE part = %s AND "row" = ANY(%s::bigint[])'
            connection.execute(gone, (self.part, list(remove)))
        if rows:
            add = (
                f'INSERT INTO {table} (part, "row", embedding) VALUES (%s, %s, %s) '
                'ON CONFLICT (part, "row") DO UPDATE SET embedding = excluded.embedding'
            )
            with connection.cursor() as cursor:
                cursor.executemany(
                    add, [(self.part, row, _text(vector)) for row, vector in zip(rows, vectors, strict=True)]
                )

    def remove(self, connection: psycopg.Connection[Any]) -> None:
        """With its graph."""
        connection.execute(f"DROP INDEX IF EXISTS {self._tables.vectors}_{self.part}")
        connection.execute(f"DELETE FROM {self._tables.vectors} WHERE part = %s", (self.part,))
