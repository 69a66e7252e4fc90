"""Namespaces: made, changed and deleted on the writer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, select, update

from kb_store.errors import AlreadyExists, EtagMismatch, NotFound, WrongState
from kb_store.model import Context, Namespace, RelationExamples
from kb_store.sql.backend import Backend
from kb_store.sql.requests import check_context, digest_of, earlier_answer, keep_answer
from kb_store.sql.rows import (
    NAMESPACE_COLUMNS,
    dump_examples,
    dump_list,
    namespace_from_row,
    new_uid,
    to_micros,
)
from kb_store.sql.tables import (
    counters,
    fact_names,
    fact_revisions,
    facts,
    imports,
    namespaces,
    outbox,
    reviews,
)
from kb_store.sql.unit import write_audit
from kb_store.validation import (
    check_display_name,
    check_examples,
    check_id,
    check_integer,
    check_relations,
    is_id,
)

_DISPLAY_NAME, _RELATIONS, _EXAMPLES = "display_name", "multi_valued_relations", "relation_examples"


def _name(namespace_id: str) -> str:
    return ascii(f"namespaces/{namespace_id}")[1:-1]


def _row(connection: Connection, namespace_id: str) -> Any:
    found = None
    if is_id(namespace_id):
        statement = select(*NAMESPACE_COLUMNS).where(namespaces.c.id == namespace_id)
        found = connection.execute(statement).one_or_none()
    if found is None:
        raise NotFound("namespace", _name(namespace_id))
    return found


def _check_etag(found: Namespace, etag: str) -> None:
    if etag and etag != found.etag:
        raise EtagMismatch("namespace", _name(found.namespace_id))


class NamespaceKeeping(Backend):
    """The contract's NamespaceStore."""

    def create_namespace(
        self,
        namespace_id: str,
        display_name: str,
        multi_valued: frozenset[str],
        context: Context,
        relation_examples: Collection[RelationExamples] = (),
    ) -> Namespace:
        """AlreadyExists when taken."""
        check_context(context)
        check_id("namespace_id", namespace_id)
        check_display_name(_DISPLAY_NAME, display_name, self.limits)
        relations = sorted(check_relations(_RELATIONS, multi_valued, self.limits))
        examples = dump_examples(check_examples(_EXAMPLES, relation_examples, self.limits))
        asked = ("create", namespace_id, display_name, relations)
        # Without examples as before there were any: a retry may come after an upgrade.
        digest = digest_of(context, (*asked, examples) if relation_examples else asked)

        def work(connection: Connection) -> Namespace:
            answer = earlier_answer(connection, context, digest)
            if answer is not None:
                return namespace_from_row(answer)
            taken = select(namespaces.c.id).where(namespaces.c.id == namespace_id)
            if connection.execute(taken).first() is not None:
                raise AlreadyExists("namespace", _name(namespace_id))
            now = self._clock()
            values = {
                "id": namespace_id,
                "uid": new_uid(),
                "display_name": display_name,
                "multi_valued": dump_list(relations),
                "revision": 0,
                "live_count": 0,
                "version": 1,
                "create_time": to_micros(now),
                "update_time": to_micros(now),
                "relation_examples": examples,
            }
            connection.execute(insert(namespaces), values)
            return self._answer(connection, namespace_id, "namespace.create", context, digest)

        return self._writer.submit(work, keep=not context.validate_only).result()

    def _answer(
        self, connection: Connection, namespace_id: str, action: str, context: Context, digest: str
    ) -> Namespace:
        row = _row(connection, namespace_id)
        now = self._clock()
        write_audit(connection, context, now, action, namespace_id, namespace_id, row.revision)
        keep_answer(connection, context, digest, namespace_id, list(row), now)
        return namespace_from_row(row)

    def get_namespace(self, namespace_id: str) -> Namespace:
        """NotFound when there is none."""
        with self._reading() as connection:
            return namespace_from_row(_row(connection, namespace_id))

    def list_namespaces(self, *, limit: int, after: str = "") -> tuple[Namespace, ...]:
        """Ordered by id, byte-exactly."""
        statement = select(*NAMESPACE_COLUMNS).order_by(namespaces.c.id)
        statement = statement.limit(check_integer("limit", limit, minimum=1))
        if after:
            statement = statement.where(namespaces.c.id > check_id("after", after))
        with self._reading() as connection:
            return tuple(namespace_from_row(row) for row in connection.execute(statement))

    def update_namespace(
        self,
        namespace_id: str,
        *,
        display_name: str | None,
        multi_valued: frozenset[str] | None,
        etag: str,
        context: Context,
        relation_examples: Collection[RelationExamples] | None = None,
    ) -> Namespace:
        """Changes what is not None; nothing is written when that says what is there already."""
        check_context(context)
        values: dict[str, str] = {}
        if display_name is not None:
            values["display_name"] = check_display_name(_DISPLAY_NAME, display_name, self.limits)
        if multi_valued is not None:
            relations = sorted(check_relations(_RELATIONS, multi_valued, self.limits))
            values["multi_valued"] = dump_list(relations)
        if relation_examples is not None:
            values["relation_examples"] = dump_examples(
                check_examples(_EXAMPLES, relation_examples, self.limits)
            )
        digest = digest_of(context, ("update", namespace_id, sorted(values.items()), etag))

        def work(connection: Connection) -> Namespace:
            answer = earlier_answer(connection, context, digest)
            if answer is not None:
                return namespace_from_row(answer)
            row = _row(connection, namespace_id)
            _check_etag(namespace_from_row(row), etag)
            if any(getattr(row, name) != value for name, value in values.items()):
                changed = {**values, "version": row.version + 1, "update_time": to_micros(self._clock())}
                connection.execute(update(namespaces).where(namespaces.c.id == namespace_id).values(changed))
            return self._answer(connection, namespace_id, "namespace.update", context, digest)

        return self._writer.submit(work, keep=not context.validate_only).result()

    def delete_namespace(self, namespace_id: str, *, force: bool, etag: str, context: Context) -> None:
        """Removes everything of it, and tells the index through the outbox."""
        check_context(context)
        digest = digest_of(context, ("delete", namespace_id, force, etag))

        def work(connection: Connection) -> None:
            if earlier_answer(connection, context, digest) is not None:
                return
            found = namespace_from_row(_row(connection, namespace_id))
            _check_etag(found, etag)
            if found.fact_count and not force:
                name = _name(namespace_id)
                raise WrongState(
                    f"namespace {name!r} has {found.fact_count} facts: delete them, or use force",
                    kind="namespace",
                    name=name,
                    fact_count=found.fact_count,
                )
            now = self._clock()
            self._remove(connection, namespace_id)
            write_audit(
                connection, context, now, "namespace.delete", namespace_id, namespace_id, found.revision
            )
            keep_answer(connection, context, digest, namespace_id, {"deleted": namespace_id}, now)

        return self._writer.submit(work, keep=not context.validate_only, announces=True).result()

    def _remove(self, connection: Connection, namespace_id: str) -> None:
        mine = facts.c.namespace == namespace_id
        last = connection.execute(select(counters.c.last_sequence)).scalar_one()
        place = func.row_number().over(order_by=facts.c.row)
        gone = select(
            literal(last) + place, facts.c.namespace, facts.c.row, facts.c.namespace_revision
        ).where(mine, facts.c.delete_time.is_(None))
        columns = ["sequence", "namespace", "row", "namespace_revision"]
        entries = insert(outbox).from_select(columns, gone).execution_options(preserve_rowcount=True)
        added = connection.execute(entries).rowcount
        connection.execute(counters.update().values(last_sequence=last + added))
        self._dialect.remove_namespace_text(connection, namespace_id)
        connection.execute(delete(fact_names).where(fact_names.c.namespace == namespace_id))
        rows = select(facts.c.row).where(mine)
        connection.execute(delete(fact_revisions).where(fact_revisions.c.row.in_(rows)))
        connection.execute(delete(facts).where(mine))
        connection.execute(delete(imports).where(imports.c.namespace == namespace_id))
        connection.execute(delete(reviews).where(reviews.c.namespace == namespace_id))
        # Answers to requests stay until they are too old to be repeated (they hold nothing of what facts say): what is
        # sent again must not be done to a namespace that was made anew.
        connection.execute(delete(namespaces).where(namespaces.c.id == namespace_id))
