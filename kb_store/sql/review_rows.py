"""Between rows of `reviews` and `kb_store.reviews.Review`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, bindparam, func, insert, select

from kb_store.model import ConflictPolicy, Content, Context, ImportRow
from kb_store.reviews import Flag, Review, ReviewState
from kb_store.sql.lookups import chunks
from kb_store.sql.prepared import Prepared
from kb_store.sql.rows import content_values, dump_list, load_list, to_micros, to_time, uid_after
from kb_store.sql.tables import reviews

_INSERT = Prepared(insert(reviews), [column.name for column in reviews.c])
FIND = Prepared(
    select(*reviews.c).where(
        reviews.c.namespace == bindparam("namespace"), reviews.c.review_id == bindparam("review_id")
    )
)


def content_digest(content: Content, fact_id: str) -> str:
    """The same for rows that say the same."""
    parts = json.dumps([content_values(content), fact_id], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def held_digests(connection: Connection, namespace: str, digests: Iterable[str]) -> set[str]:
    """Those of these digests that a held row has."""
    return {row.content_digest for row in held_rows(connection, namespace, digests, reviews.c.content_digest)}


def held_rows(
    connection: Connection, namespace: str, digests: Iterable[str], *columns: Column[Any]
) -> Iterator[Any]:
    """These columns of the held rows that have one of these digests."""
    for chunk in chunks(digests):
        yield from connection.execute(
            select(*columns).where(
                reviews.c.namespace == namespace,
                reviews.c.content_digest.in_(chunk),
                reviews.c.state == ReviewState.HELD.value,
            )
        )


def new_row(
    row: ImportRow,
    flags: tuple[Flag, ...],
    conflicts: tuple[str, ...],
    *,
    namespace: str,
    import_id: str,
    policy: ConflictPolicy,
    context: Context,
    now: datetime,
) -> dict[str, Any]:
    """The columns of a row that is held from now on, but for its id."""
    return {
        "namespace": namespace,
        **content_values(row.content),
        "fact_id": row.fact_id,
        "policy": policy.value,
        "flags": dump_list([flag.value for flag in flags]),
        "conflicts": dump_list(conflicts),
        "content_digest": content_digest(row.content, row.fact_id),
        "import_id": import_id,
        "line": row.line,
        "principal": context.principal,
        "create_time": to_micros(now),
        "state": ReviewState.HELD.value,
        "decided_by": "",
        "decide_time": None,
        "written": "",
    }


def insert_rows(connection: Connection, namespace: str, rows: Sequence[dict[str, Any]]) -> None:
    """Holds them, under ids that follow all others of the namespace: pages of reviews are in the order of their ids."""
    last: str | None = connection.execute(
        select(func.max(reviews.c.review_id)).where(reviews.c.namespace == namespace)
    ).scalar_one()
    uid = (last or "").upper()
    for row in rows:
        uid = uid_after(uid)
        row["review_id"] = uid.lower()
    _INSERT.run_many(connection, rows)


def count_waiting(connection: Connection, namespace: str) -> int:
    """How many rows are held."""
    statement = select(func.count()).where(
        reviews.c.namespace == namespace, reviews.c.state == ReviewState.HELD.value
    )
    waiting: int = connection.execute(statement).scalar_one()
    return waiting


def review_from_row(row: Any) -> Review:
    """From all columns of `reviews`, in their order."""
    value = dict(zip((column.name for column in reviews.c), row, strict=True))

    def when(name: str) -> datetime | None:
        return None if value[name] is None else to_time(value[name])

    return Review(
        namespace=value["namespace"],
        review_id=value["review_id"],
        content=Content(
            value["subject"],
            value["relation"],
            value["object"],
            load_list(value["aliases"]),
            value["source"],
            when("valid_from"),
            when("valid_to"),
        ),
        fact_id=value["fact_id"],
        policy=ConflictPolicy(value["policy"]),
        flags=tuple(map(Flag, load_list(value["flags"]))),
        conflicts=load_list(value["conflicts"]),
        import_id=value["import_id"],
        line=value["line"],
        principal=value["principal"],
        create_time=to_time(value["create_time"]),
        state=ReviewState(value["state"]),
        decided_by=value["decided_by"],
        decide_time=when("decide_time"),
        written=value["written"],
    )
