"""Reading facts. Every read sees one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select

from kb_store.errors import InvalidInput, NotFound
from kb_store.model import Condition, Fact, FactRevision, FilterOp, Page
from kb_store.sql.backend import Backend
from kb_store.sql.lookups import chunks, find_by_id, many_by_id
from kb_store.sql.mutations import fact_name
from kb_store.sql.prepared import Prepared
from kb_store.sql.rows import FACT_COLUMNS, REVISION_COLUMNS, Stored, revision_from_row, stored_from_row
from kb_store.sql.tables import fact_revisions, facts, namespaces
from kb_store.validation import check_integer, check_text, is_id

FILTER_COLUMNS: dict[str, ColumnElement[Any]] = {
    "subject": facts.c.subject,
    "relation": facts.c.relation,
    "object": facts.c.object,
    "source": facts.c.source,
    "fact_id": facts.c.fact_id,
}

_NAMESPACE_REVISION = Prepared(select(namespaces.c.revision).where(namespaces.c.id == bindparam("namespace")))


def _namespace_revision(connection: Connection, namespace: str) -> int:
    found = (
        _NAMESPACE_REVISION.run(connection, {"namespace": namespace}).scalar() if is_id(namespace) else None
    )
    if found is None:
        raise NotFound("namespace", ascii(f"namespaces/{namespace}")[1:-1])
    revision: int = found
    return revision


class FactReading(Backend):
    """The contract's FactReader."""

    def _find(self, connection: Connection, namespace: str, fact_id: str) -> Stored:
        found = find_by_id(connection, namespace, fact_id) if is_id(namespace) and is_id(fact_id) else None
        if found is None:
            raise NotFound("fact", fact_name(namespace, fact_id))
        return found

    def get_fact(self, namespace: str, fact_id: str) -> Fact:
        """The fact at its newest revision, deleted or not."""
        with self._reading() as connection:
            return self._find(connection, namespace, fact_id).fact

    def get_facts(self, namespace: str, fact_ids: Sequence[str]) -> tuple[Fact, ...]:
        """In the order asked; NotFound names the first that is missing."""
        with self._reading() as connection:
            found = many_by_id(connection, namespace, filter(is_id, fact_ids)) if is_id(namespace) else {}
        for fact_id in fact_ids:
            if fact_id not in found:
                raise NotFound("fact", fact_name(namespace, fact_id))
        return tuple(found[fact_id].fact for fact_id in fact_ids)

    def list_facts(
        self,
        namespace: str,
        conditions: Sequence[Condition] = (),
        *,
        limit: int,
        after: int = 0,
        show_deleted: bool = False,
    ) -> Page:
        """In creation order, by row number."""
        statement = (
            select(*FACT_COLUMNS)
            .where(facts.c.namespace == namespace, facts.c.row > check_integer("after", after))
            .order_by(facts.c.row)
            .limit(check_integer("limit", limit, minimum=1) + 1)
        )
        if not show_deleted:
            statement = statement.where(facts.c.delete_time.is_(None))
            for each in conditions:
                if each.field == "subject" and each.op is FilterOp.EQUAL:
                    statement = self._dialect.by_subject(statement, each.value)
        statement = statement.where(*map(self._criterion, conditions))
        with self._reading() as connection:
            revision = _namespace_revision(connection, namespace)
            found = [stored_from_row(row) for row in connection.execute(statement)]
        more = len(found) > limit
        page = found[:limit]
        return Page(tuple(fact for _, fact in page), page[-1].row if more else None, revision)

    def _criterion(self, condition: Condition) -> ColumnElement[bool]:
        column = FILTER_COLUMNS.get(condition.field)
        if column is None:
            raise InvalidInput(
                "filter", f"no field {condition.field!r}; there are {', '.join(FILTER_COLUMNS)}"
            )
        value = check_text("filter", condition.value, "max_filter_length", self.limits.max_filter_length)
        if condition.op is FilterOp.EQUAL:
            return column == value
        if condition.op is FilterOp.NOT_EQUAL:
            return column != value
        return self._dialect.contains(column, value)

    def list_revisions(
        self, namespace: str, fact_id: str, *, limit: int, before: int = 0
    ) -> tuple[FactRevision, ...]:
        """Newest first."""
        check_integer("before", before)
        with self._reading() as connection:
            stored = self._find(connection, namespace, fact_id)
            statement = (
                select(*REVISION_COLUMNS)
                .join_from(facts, fact_revisions, facts.c.row == fact_revisions.c.row)
                .where(fact_revisions.c.row == stored.row)
                .order_by(fact_revisions.c.revision.desc())
                .limit(check_integer("limit", limit, minimum=1))
            )
            if before:
                statement = statement.where(fact_revisions.c.revision < before)
            return tuple(revision_from_row(row) for row in connection.execute(statement))

    def facts_by_row(self, namespace: str, rows: Sequence[int]) -> dict[int, Fact]:
        """Live facts of this namespace only, whatever an index says."""
        found: dict[int, Fact] = {}
        with self._reading() as connection:
            for chunk in chunks(rows):
                here = (
                    facts.c.row.in_(chunk),
                    facts.c.namespace == namespace,
                    facts.c.delete_time.is_(None),
                )
                statement = select(*FACT_COLUMNS).where(*here).order_by(facts.c.row)
                found.update(stored_from_row(row) for row in connection.execute(statement))
        return found

    def all_rows(self, namespace: str, *, batch: int) -> Iterator[list[tuple[int, Fact]]]:
        """Each batch is a snapshot of its own, so that a long rebuild holds up no checkpoint."""
        after = 0
        while True:
            statement = (
                select(*FACT_COLUMNS)
                .where(facts.c.namespace == namespace, facts.c.row > after, facts.c.delete_time.is_(None))
                .order_by(facts.c.row)
                .limit(check_integer("batch", batch, minimum=1))
            )
            with self._reading() as connection:
                found: list[tuple[int, Fact]] = [
                    stored_from_row(row) for row in connection.execute(statement)
                ]
            if not found:
                return
            yield found
            after = found[-1][0]
