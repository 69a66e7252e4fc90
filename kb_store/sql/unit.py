"""A unit of work: the changes of one request in one namespace, written with everything that belongs to them.

Facts, revisions, names, full text, outbox and audit rows are gathered and written in few statements; the
namespace's revision and the counters follow in `finish`. Nothing here knows why a fact changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from kb_store.errors import NotFound, QuotaExceeded
from kb_store.model import Action, Content, Context, Fact
from kb_store.quotas import UNLIMITED, FactQuotas
from kb_store.sql.audit_chain import append
from kb_store.sql.dialect import Dialect, TextRow
from kb_store.sql.prepared import Prepared
from kb_store.sql.review_rows import count_waiting
from kb_store.sql.rows import (
    Stored,
    content_values,
    dump_list,
    fact_etag,
    load_list,
    new_fact_id,
    new_uid,
    optional_micros,
    to_micros,
)
from kb_store.sql.tables import counters, fact_names, fact_revisions, facts, namespaces, outbox
from kb_store.text import fold_names

_FACT_KEYS = [column.name for column in facts.c]
_CHANGED_KEYS = [
    key for key in _FACT_KEYS if key not in ("row", "namespace", "fact_id", "uid", "create_time")
]
_REVISION_KEYS = [column.name for column in fact_revisions.c]

_OPEN = Prepared(
    select(
        namespaces.c.revision,
        namespaces.c.live_count,
        namespaces.c.multi_valued,
        counters.c.last_row,
        counters.c.last_sequence,
    ).where(namespaces.c.id == bindparam("namespace"))
)
_INSERT_FACT = Prepared(insert(facts), _FACT_KEYS)
_UPDATE_FACT = Prepared(
    update(facts).where(facts.c.row == bindparam("which")).values({k: bindparam(k) for k in _CHANGED_KEYS})
)
_SUPERSEDE = Prepared(
    update(fact_revisions)
    .where(fact_revisions.c.row == bindparam("which"), fact_revisions.c.revision == bindparam("before"))
    .values(superseded_at=bindparam("now"))
)
_INSERT_REVISION = Prepared(insert(fact_revisions), _REVISION_KEYS)
_INSERT_NAME = Prepared(insert(fact_names), [column.name for column in fact_names.c])
_DELETE_NAME = Prepared(
    fact_names.delete().where(
        fact_names.c.namespace == bindparam("namespace"),
        fact_names.c.folded_name == bindparam("folded_name"),
        fact_names.c.row == bindparam("row"),
    )
)
_INSERT_OUTBOX = Prepared(insert(outbox), [column.name for column in outbox.c])
_FINISH_NAMESPACE = Prepared(
    update(namespaces)
    .where(namespaces.c.id == bindparam("namespace"))
    .values(revision=bindparam("now_revision"), live_count=bindparam("now_live"))
)
_FINISH_COUNTERS = Prepared(
    update(counters).values(last_row=bindparam("row"), last_sequence=bindparam("sequence"))
)


def write_audit(
    connection: Connection,
    context: Context,
    now: datetime,
    action: str,
    namespace: str,
    target: str,
    namespace_revision: int,
) -> None:
    """One line of the audit log, for what is not a fact's own mutation."""
    row = {
        "recorded_at": to_micros(now),
        "principal": context.principal,
        "action": action,
        "namespace": namespace,
        "target": target,
        "namespace_revision": namespace_revision,
        "request_id": context.request_id,
    }
    append(connection, [row])


def _text_row(stored: Stored) -> TextRow:
    content = stored.fact.content
    return stored.row, content.subject, dump_list(content.aliases)


class Unit:
    """Changes to facts of one namespace, within the writer's transaction."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        namespace: str,
        context: Context,
        now: datetime,
        *,
        audit_each: bool = True,
        quotas: FactQuotas = UNLIMITED,
    ) -> None:
        found = _OPEN.run(connection, {"namespace": namespace}).one_or_none()
        if found is None:
            raise NotFound("namespace", f"namespaces/{namespace}")
        self.connection = connection
        self.namespace = namespace
        self.context = context
        self.now = now
        self.revision: int = found[0]
        self.multi_valued = frozenset(load_list(found[2]))
        self.dialect = dialect
        self._now_micros = to_micros(now)
        self._audit_each = audit_each
        self._first_revision = self.revision
        self._live_count: int = found[1]
        self.most_facts = quotas.of(namespace)
        self._last_row: int = found[3]
        self._last_sequence: int = found[4]
        self._audit: list[dict[str, Any]] = []
        self._reset()

    def _reset(self) -> None:
        self._inserts: list[dict[str, Any]] = []
        self._updates: list[dict[str, Any]] = []
        self._touched: set[int] = set()
        self._revisions: list[dict[str, Any]] = []
        self._text_out: list[TextRow] = []
        self._text_in: list[TextRow] = []
        self._names_out: list[dict[str, Any]] = []
        self._names_in: list[dict[str, Any]] = []
        self._outbox: list[dict[str, Any]] = []

    def create(self, content: Content, fact_id: str) -> Stored:
        """Adds a fact; the caller has made sure that the id is free."""
        self._require_room()
        uid = new_uid()
        self.revision += 1
        self._last_row += 1
        self._live_count += 1
        fact = Fact(
            namespace=self.namespace,
            fact_id=fact_id or self._made_id(uid),
            uid=uid,
            content=content,
            revision=1,
            namespace_revision=self.revision,
            etag=fact_etag(uid, 1, None),
            create_time=self.now,
            update_time=self.now,
        )
        values = self._values(fact)
        values["row"] = self._last_row
        self._inserts.append(values)
        stored = Stored(self._last_row, fact)
        self._record(stored, Action.CREATE, values)
        self._enter_text(stored)
        return stored

    def _made_id(self, uid: str) -> str:
        return new_fact_id(uid)

    def change(
        self,
        old: Stored,
        action: Action,
        content: Content,
        *,
        delete_time: datetime | None = None,
        purge_time: datetime | None = None,
    ) -> Stored:
        """Gives a fact a new revision. `old` must be its state in this transaction."""
        if old.row in self._touched:
            self.flush()
        before = old.fact
        if before.deleted and delete_time is None:
            self._require_room()
        self.revision += 1
        revision = before.revision + 1
        fact = Fact(
            namespace=self.namespace,
            fact_id=before.fact_id,
            uid=before.uid,
            content=content,
            revision=revision,
            namespace_revision=self.revision,
            etag=fact_etag(before.uid, revision, optional_micros(delete_time)),
            create_time=before.create_time,
            update_time=self.now,
            delete_time=delete_time,
            purge_time=purge_time,
        )
        stored = Stored(old.row, fact)
        values = self._values(fact)
        values |= {"which": old.row, "before": before.revision, "now": self._now_micros}
        self._updates.append(values)
        self._record(stored, action, values)
        self._live_count += before.deleted - fact.deleted
        names = (before.content.subject, before.content.aliases)
        if before.deleted or fact.deleted or names != (content.subject, content.aliases):
            if not before.deleted:
                self._leave_text(old)
            if not fact.deleted:
                self._enter_text(stored)
        return stored

    def waiting(self) -> int:
        """How many rows of the namespace wait for approval."""
        return count_waiting(self.connection, self.namespace)

    def _require_room(self) -> None:
        if self.most_facts is not None and self._live_count >= self.most_facts:
            raise QuotaExceeded(self.namespace, self.most_facts, self._live_count)

    def _values(self, fact: Fact) -> dict[str, Any]:
        """All columns but `row`, with the content alike for fact and revision."""
        values = content_values(fact.content)
        values.update(
            namespace=self.namespace,
            fact_id=fact.fact_id,
            uid=fact.uid,
            revision=fact.revision,
            namespace_revision=fact.namespace_revision,
            create_time=self._now_micros if fact.revision == 1 else to_micros(fact.create_time),
            update_time=self._now_micros,
            delete_time=optional_micros(fact.delete_time),
            purge_time=optional_micros(fact.purge_time),
        )
        return values

    def _record(self, stored: Stored, action: Action, values: Mapping[str, Any]) -> None:
        row, fact = stored
        self._touched.add(row)
        self._last_sequence += 1
        self._revisions.append(
            {
                **values,
                "row": row,
                "action": action.value,
                "principal": self.context.principal,
                "recorded_at": self._now_micros,
                "superseded_at": None,
            }
        )
        self._outbox.append(
            {
                "sequence": self._last_sequence,
                "namespace": self.namespace,
                "row": row,
                "namespace_revision": fact.namespace_revision,
            }
        )
        if self._audit_each:
            self._audit.append(
                {
                    "recorded_at": self._now_micros,
                    "principal": self.context.principal,
                    "action": f"fact.{action.value}",
                    "namespace": self.namespace,
                    "target": fact.fact_id,
                    "namespace_revision": fact.namespace_revision,
                    "request_id": self.context.request_id,
                }
            )

    def _names(self, stored: Stored) -> list[dict[str, Any]]:
        content = stored.fact.content
        longest = self.dialect.longest_name
        names = dict.fromkeys(name[:longest] for name in fold_names(content.subject, content.aliases))
        return [{"namespace": self.namespace, "folded_name": name, "row": stored.row} for name in names]

    def _enter_text(self, stored: Stored) -> None:
        self._text_in.append(_text_row(stored))
        self._names_in += self._names(stored)

    def _leave_text(self, stored: Stored) -> None:
        self._text_out.append(_text_row(stored))
        self._names_out += self._names(stored)

    def flush(self) -> None:
        """Writes what was gathered, so that lookups see it."""
        if not self._touched:
            return
        connection = self.connection
        if self._text_out:
            self.dialect.remove_text(connection, self.namespace, self._text_out)
        _DELETE_NAME.run_many(connection, self._names_out)
        _INSERT_FACT.run_many(connection, self._inserts)
        _UPDATE_FACT.run_many(connection, self._updates)
        _SUPERSEDE.run_many(connection, self._updates)
        _INSERT_REVISION.run_many(connection, self._revisions)
        _INSERT_NAME.run_many(connection, self._names_in)
        if self._text_in:
            self.dialect.add_text(connection, self.namespace, self._text_in)
        _INSERT_OUTBOX.run_many(connection, self._outbox)
        self._reset()

    def finish(self) -> int:
        """Writes the rest and returns the namespace's revision, which is unchanged when nothing changed."""
        self.flush()
        append(self.connection, self._audit)
        self._audit = []
        if self.revision != self._first_revision:
            _FINISH_NAMESPACE.run(
                self.connection,
                {"namespace": self.namespace, "now_revision": self.revision, "now_live": self._live_count},
            )
            _FINISH_COUNTERS.run(self.connection, {"row": self._last_row, "sequence": self._last_sequence})
        return self.revision
