"""Indexed look-ups that decide what a write does. All compare byte for byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, select

from kb_store.model import Content
from kb_store.sql.dialect import Dialect
from kb_store.sql.prepared import Prepared
from kb_store.sql.rows import FACT_COLUMNS, REVISION_COLUMNS, Stored, stored_from_row
from kb_store.sql.tables import fact_revisions, facts

T = TypeVar("T")

# Engines limit the parameters of one statement.
CHUNK = 400

_ROW = itemgetter(0)

_BY_ID = Prepared(
    select(*FACT_COLUMNS).where(
        facts.c.namespace == bindparam("namespace"), facts.c.fact_id == bindparam("fact_id")
    )
)
_AT_REVISION = Prepared(
    select(*REVISION_COLUMNS)
    .join_from(facts, fact_revisions, facts.c.row == fact_revisions.c.row)
    .where(fact_revisions.c.row == bindparam("row"), fact_revisions.c.revision == bindparam("revision"))
)


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def find_by_id(connection: Connection, namespace: str, fact_id: str) -> Stored | None:
    """The fact of this id, deleted or not."""
    row = _BY_ID.run(connection, {"namespace": namespace, "fact_id": fact_id}).one_or_none()
    return None if row is None else stored_from_row(row)


def live_of_relation(
    connection: Connection, dialect: Dialect, namespace: str, subject: str, relation: str
) -> list[Stored]:
    """The live facts of a subject's relation, oldest first."""
    rows = dialect.live_of_relations(connection, namespace, [(subject, relation)])
    return sorted(map(stored_from_row, rows), key=_ROW)


def at_revision(connection: Connection, row: int, revision: int) -> Stored | None:
    """A fact as it was."""
    found = _AT_REVISION.run(connection, {"row": row, "revision": revision}).one_or_none()
    return None if found is None else stored_from_row(found)


def rows_by_id(connection: Connection, namespace: str, fact_ids: Iterable[str]) -> Iterator[Any]:
    """FACT_COLUMNS of the facts of these ids that exist."""
    for chunk in chunks(dict.fromkeys(fact_ids)):
        statement = select(*FACT_COLUMNS).where(facts.c.namespace == namespace, facts.c.fact_id.in_(chunk))
        yield from connection.execute(statement)


def many_by_id(connection: Connection, namespace: str, fact_ids: Iterable[str]) -> dict[str, Stored]:
    """The facts of these ids that exist."""
    found = map(stored_from_row, rows_by_id(connection, namespace, fact_ids))
    return {stored.fact.fact_id: stored for stored in found}


def rows_of_relations(
    connection: Connection, dialect: Dialect, namespace: str, contents: Iterable[Content]
) -> Iterable[Any]:
    """FACT_COLUMNS of the live facts of every (subject, relation) of these contents."""
    keys = dict.fromkeys((content.subject, content.relation) for content in contents)
    return dialect.live_of_relations(connection, namespace, list(keys))


def many_live_of_relation(
    connection: Connection, dialect: Dialect, namespace: str, contents: Sequence[Content]
) -> dict[tuple[str, str], list[Stored]]:
    """The live facts of every (subject, relation) of these contents, oldest first."""
    found: defaultdict[tuple[str, str], list[Stored]] = defaultdict(list)
    rows = rows_of_relations(connection, dialect, namespace, contents)
    for stored in sorted(map(stored_from_row, rows), key=_ROW):
        found[stored.fact.content.subject, stored.fact.content.relation].append(stored)
    return found
