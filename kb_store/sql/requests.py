"""Retries that are safe: what a request_id was answered with is kept in the transaction that did the work."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from kb_store.errors import NotFound, RequestIdReused
from kb_store.model import Context, WriteResult
from kb_store.sql.lookups import at_revision
from kb_store.sql.prepared import Prepared
from kb_store.sql.rows import Stored, to_micros
from kb_store.sql.tables import requests
from kb_store.validation import check_text

MAX_REQUEST_ID_LENGTH = 128
MAX_PRINCIPAL_LENGTH = 512

_FIND = Prepared(
    select(requests.c.digest, requests.c.result).where(requests.c.request_id == bindparam("request_id"))
)
_INSERT = Prepared(insert(requests), [column.name for column in requests.c])


def check_context(context: Context) -> None:
    """Ids come from outside: they are texts like any other."""
    check_text("request_id", context.request_id, "max_request_id_length", MAX_REQUEST_ID_LENGTH)
    check_text("principal", context.principal, "max_principal_length", MAX_PRINCIPAL_LENGTH)


def digest_of(context: Context, request: object) -> str:
    """The caller's digest of the request or, where it gives none, one of what it asks for."""
    return context.request_digest or hashlib.sha256(repr(request).encode("utf-8", "replace")).hexdigest()


def earlier_answer(connection: Connection, context: Context, digest: str) -> Any | None:
    """The answer that this request_id was given; RequestIdReused when it was a different request."""
    if not context.request_id:
        return None
    found = _FIND.run(connection, {"request_id": context.request_id}).one_or_none()
    if found is None:
        return None
    if found[0] != digest:
        raise RequestIdReused(context.request_id)
    return json.loads(found[1])


def keep_answer(
    connection: Connection, context: Context, digest: str, namespace: str, answer: Any, now: datetime
) -> None:
    """Remembers the answer (anything JSON holds) under the request_id, if there is one."""
    if context.request_id and not context.validate_only:
        row = {
            "request_id": context.request_id,
            "namespace": namespace,
            "digest": digest,
            "result": json.dumps(answer, separators=(",", ":")),
            "create_time": to_micros(now),
        }
        _INSERT.run(connection, row)


def refer(stored: list[Stored], namespace_revision: int) -> dict[str, Any]:
    """A write's result as references to revisions, which do not change."""
    return {
        "revision": namespace_revision,
        "facts": [(row, fact.revision) for row, fact in stored],
    }


def replay(connection: Connection, answer: dict[str, Any]) -> WriteResult:
    """The result that `refer` referred to."""
    facts = []
    for row, revision in answer["facts"]:
        stored = at_revision(connection, row, revision)
        if stored is None:
            raise NotFound("fact", f"of the earlier answer (row {row}), which is gone for good")
        facts.append(stored.fact)
    return WriteResult(tuple(facts), answer["revision"], replayed=True)
