"""What differs between SQL engines. A new backend brings a `Dialect`; everything else here is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine
from sqlalchemy.exc import DBAPIError

from kb_store.errors import StoreError


class Dialect(Protocol):
    """One SQL engine."""

    def open_writer(self) -> Engine:
        """Must give connections whose commits are durable and whose `begin` takes the write lock at once, and
        must raise when the engine does not grant that."""
        ...

    def open_readers(self) -> Engine:
        """Must give pooled connections that cannot write and whose transactions see one snapshot."""
        ...

    def contains(self, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
        """Must match byte-exactly."""
        ...

    def remove_text(self, connection: Connection, rows: Sequence[int]) -> None:
        """Must take these rows out of the full text; called before their facts change. Each is in it."""
        ...

    def add_text(self, connection: Connection, rows: Sequence[int]) -> None:
        """Must put these rows, as their facts are now, into the full text. None of them is in it."""
        ...

    def remove_namespace_text(self, connection: Connection, namespace: str) -> None:
        """Must take every live fact of a namespace out of the full text."""
        ...

    def translate(self, error: DBAPIError) -> StoreError | None:
        """The store's own error behind an engine's, where there is one. StorageFull must be told apart."""
        ...

    def check(self, connection: Connection) -> list[str]:
        """Must verify the engine's own structures, on the writer's connection; sentences on what is wrong."""
        ...
