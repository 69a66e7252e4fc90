"""The audit log's chain in SQL: appended to in the transaction of the change, and followed.

One writer at a time, on every engine: what is read as the head stays the head until the transaction commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from kb_store.audit import AuditEntry, AuditHead, AuditVerdict, chained, walk
from kb_store.sql.prepared import Prepared
from kb_store.sql.tables import audit, audit_head

_BATCH = 10_000
ENTRY_COLUMNS = (
    audit.c.id,
    audit.c.recorded_at,
    audit.c.principal,
    audit.c.action,
    audit.c.namespace,
    audit.c.target,
    audit.c.namespace_revision,
    audit.c.request_id,
)
_HEAD = Prepared(select(audit_head.c.last_id, audit_head.c.digest))
_INSERT = Prepared(insert(audit), [column.name for column in audit.c])
_MOVE_HEAD = Prepared(update(audit_head).values(last_id=bindparam("now_id"), digest=bindparam("now_digest")))


def append(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds entries (columns but `id` and `digest`), each chained to the one before, within the writer's transaction."""
    if not rows:
        return
    head = read_head(connection)
    number, digest, made = head.entry_id, head.digest, []
    for row in rows:
        number += 1
        entry = AuditEntry(entry_id=number, **row)
        digest = chained(digest, entry)
        made.append({**row, "id": number, "digest": digest})
    _INSERT.run_many(connection, made)
    _MOVE_HEAD.run(connection, {"now_id": number, "now_digest": digest})


def read_head(connection: Connection) -> AuditHead:
    """As the log keeps it."""
    number, digest = _HEAD.run(connection, {}).one()
    return AuditHead(number, digest)


def verify(connection: Connection, expected: AuditHead | None = None) -> AuditVerdict:
    """The whole log as this connection sees it."""
    return walk(_entries(connection), read_head(connection), expected)


def _entries(connection: Connection) -> Iterator[tuple[AuditEntry, str]]:
    after = -1
    while True:
        statement = (
            select(*ENTRY_COLUMNS, audit.c.digest)
            .where(audit.c.id > after)
            .order_by(audit.c.id)
            .limit(_BATCH)
        )
        rows = connection.execute(statement).all()
        if not rows:
            return
        for row in rows:
            *values, digest = row
            yield AuditEntry(*values), digest
        after = rows[-1][0]
