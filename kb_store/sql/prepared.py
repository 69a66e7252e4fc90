"""Statements compiled once and run with plain tuples: the hot path of writing.

SQLAlchemy processes the parameters of each execution; for a hundred thousand rows that costs more than
SQLite itself. All our values are texts and integers, which drivers take as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ClauseElement, Connection, CursorResult

Row = Mapping[str, Any]


class Prepared:
    """One statement; parameters are given by the names of its columns and bind parameters."""

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def _compile(self, connection: Connection) -> tuple[str, tuple[str, ...] | None]:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self._statement.compile(
                dialect=dialect, column_keys=list(self._columns) if self._columns else None
            )
            order = getattr(compiled, "positiontup", None)
            found = self._compiled[dialect.name] = (
                str(compiled),
                tuple(order) if order is not None else None,
            )
        return found

    def run(self, connection: Connection, row: Row) -> CursorResult[*tuple[Any, ...]]:
        """Executes once."""
        sql, order = self._compile(connection)
        if order is None:
            return connection.exec_driver_sql(sql, dict(row))
        return connection.exec_driver_sql(sql, tuple([row[name] for name in order]))

    def run_many(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Executes once for each row; nothing for none."""
        sql, order = self._compile(connection)
        if order is None:
            parameters: Any = [dict(row) for row in rows]
        elif len(order) == 1:
            parameters = [(row[order[0]],) for row in rows]
        else:
            parameters = list(map(itemgetter(*order), rows))
        if len(parameters) == 1:  # many at once cost more than one, where they travel
            connection.exec_driver_sql(sql, parameters[0])
        elif parameters:
            connection.exec_driver_sql(sql, parameters)
