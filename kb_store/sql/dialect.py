"""What differs between SQL engines. A new backend brings a `Dialect`; everything else here is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Select
from sqlalchemy.exc import DBAPIError

from kb_store.errors import StoreError

# Of live facts: those that are valid then.
HOLDING = "(valid_from IS NULL OR valid_from <= {moment}) AND (valid_to IS NULL OR valid_to > {moment})"

# Row number, subject and aliases as their columns hold them.
TextRow = tuple[int, str, str]


class Dialect(Protocol):
    """One SQL engine."""

    @property
    def longest_name(self) -> int | None:
        """Characters of a folded name that an index entry can hold; longer ones are kept and found by so many."""
        ...

    def open_writer(self) -> Engine:
        """Must give connections whose commits are durable and whose `begin` takes the write lock at once (that of
        all processes at this database), and must raise when the engine does not grant that."""
        ...

    def open_readers(self) -> Engine:
        """Must give pooled connections that cannot write and whose transactions see one snapshot."""
        ...

    def contains(self, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
        """Must match byte-exactly."""
        ...

    def live_of_relations(
        self, connection: Connection, namespace: str, keys: Sequence[tuple[str, str]]
    ) -> Iterable[Any]:
        """Must give FACT_COLUMNS of the live facts of each (subject, relation), by an index, byte-exactly."""
        ...

    def by_subject(self, statement: Select[*tuple[Any, ...]], subject: str) -> Select[*tuple[Any, ...]]:
        """A hint that this statement on live facts asks for one subject."""
        ...

    def remove_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """Must take these rows out of the full text. Each is in it, with exactly these texts."""
        ...

    def add_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """Must put these rows into the full text. None of them is in it."""
        ...

    def smallest_names(
        self, connection: Connection, namespace: str, grams: Sequence[str]
    ) -> Iterable[tuple[str, str | None]]:
        """Must give, for each gram, the first folded name of the namespace in byte order that is not before it,
        by one index probe each."""
        ...

    def rows_with_words(
        self, connection: Connection, namespace: str, words: Sequence[str], limit: int
    ) -> list[int]:
        """Must give at most `limit` rows whose names hold all these folded words; rows of other namespaces may be
        among them."""
        ...

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
        """Must give those of the rows of `rows_with_words` that are live facts of the namespace, and valid at the
        moment if there is one; `limit` are enough. None: there are more than `among` rows to be looked at."""
        ...

    def announce(self, connection: Connection) -> None:
        """Must tell other processes at this database, when the transaction commits, that the outbox has grown."""
        ...

    def watch(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Must call `heard` soon after other processes have written to the outbox, until the returned function is
        called, which waits until no call is under way."""
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
