"""Between table rows and the values of `kb_store.model`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from ulid import ULID

from kb_store.model import Action, Content, Fact, FactRevision, Namespace, RelationExamples
from kb_store.sql.tables import fact_revisions, facts, namespaces

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Ten characters of a ULID are time; within a millisecond the rest counts up from a number drawn by chance.
_TIME_LENGTH = 10

FACT_COLUMNS = (
    facts.c.row,
    facts.c.namespace,
    facts.c.fact_id,
    facts.c.uid,
    facts.c.subject,
    facts.c.relation,
    facts.c.object,
    facts.c.aliases,
    facts.c.source,
    facts.c.valid_from,
    facts.c.valid_to,
    facts.c.revision,
    facts.c.namespace_revision,
    facts.c.create_time,
    facts.c.update_time,
    facts.c.delete_time,
    facts.c.purge_time,
)

# The same columns for a past revision, then what is known of the revision itself.
REVISION_COLUMNS = (
    facts.c.row,
    facts.c.namespace,
    facts.c.fact_id,
    facts.c.uid,
    fact_revisions.c.subject,
    fact_revisions.c.relation,
    fact_revisions.c.object,
    fact_revisions.c.aliases,
    fact_revisions.c.source,
    fact_revisions.c.valid_from,
    fact_revisions.c.valid_to,
    fact_revisions.c.revision,
    fact_revisions.c.namespace_revision,
    facts.c.create_time,
    fact_revisions.c.recorded_at,
    fact_revisions.c.delete_time,
    fact_revisions.c.purge_time,
    fact_revisions.c.action,
    fact_revisions.c.principal,
)

NAMESPACE_COLUMNS = (
    namespaces.c.id,
    namespaces.c.uid,
    namespaces.c.display_name,
    namespaces.c.multi_valued,
    namespaces.c.revision,
    namespaces.c.live_count,
    namespaces.c.version,
    namespaces.c.create_time,
    namespaces.c.update_time,
    namespaces.c.relation_examples,
)


class Stored(NamedTuple):
    """A fact and its row number."""

    row: int
    fact: Fact


def to_micros(moment: datetime) -> int:
    """Exact: no floating point on the way."""
    return (moment - _EPOCH) // _MICROSECOND


def optional_micros(moment: datetime | None) -> int | None:
    """The same, for times that may be missing."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def to_time(micros: int) -> datetime:
    """The aware UTC time of a column."""
    return _EPOCH + timedelta(microseconds=micros)


def optional_time(micros: int | None) -> datetime | None:
    """The same, for times that may be missing."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def dump_list(items: Sequence[str]) -> str:
    """JSON, readable in any script, so that the full text can read it as it is."""
    return json.dumps(list(items), ensure_ascii=False) if items else "[]"


def load_list(text: str) -> tuple[str, ...]:
    """The inverse of `dump_list`."""
    return () if text == "[]" else tuple(json.loads(text))


def dump_examples(described: Sequence[RelationExamples]) -> str:
    """JSON."""
    return json.dumps([[item.relation, item.examples] for item in described], ensure_ascii=False)


@lru_cache(maxsize=256)
def load_examples(text: str) -> tuple[RelationExamples, ...]:
    """The inverse of `dump_examples`. Kept: each question reads it, and it hardly changes."""
    return tuple(RelationExamples(relation, tuple(examples)) for relation, examples in json.loads(text))


def new_uid() -> str:
    """Sortable by time, never given twice."""
    return str(ULID())


def uid_after(last: str) -> str:
    """A new one that sorts behind this one, also after the clock was set back. Empty: behind nothing."""
    uid = new_uid()
    if uid > last:
        return uid
    later = ULID.from_str(last).milliseconds + 1
    return str(ULID.from_bytes(later.to_bytes(6, "big") + os.urandom(10)))


def new_fact_id(uid: str) -> str:
    """A name for a fact whose creator gave none."""
    return (uid[:_TIME_LENGTH] + uid[-_TIME_LENGTH:]).lower()


def _etag(*parts: object) -> str:
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).hexdigest()


def fact_etag(uid: str, revision: int, delete_micros: int | None) -> str:
    """Differs whenever the fact does."""
    return _etag(uid, revision, delete_micros)


def stored_from_row(row: Any) -> Stored:
    """From FACT_COLUMNS (or the first of REVISION_COLUMNS)."""
    (number, namespace, fact_id, uid, subject, relation, object_, aliases, source, start, end) = row[:11]
    revision, namespace_revision, created, updated, deleted, purged = row[11:17]
    content = Content(
        subject, relation, object_, load_list(aliases), source, optional_time(start), optional_time(end)
    )
    fact = Fact(
        namespace,
        fact_id,
        uid,
        content,
        revision,
        namespace_revision,
        fact_etag(uid, revision, deleted),
        to_time(created),
        to_time(updated),
        optional_time(deleted),
        optional_time(purged),
    )
    return Stored(number, fact)


def revision_from_row(row: Any) -> FactRevision:
    """From REVISION_COLUMNS."""
    fact = stored_from_row(row).fact
    return FactRevision(fact, Action(row[17]), row[18], fact.update_time)


def namespace_from_row(row: Any) -> Namespace:
    """From NAMESPACE_COLUMNS."""
    identity, uid, display_name, multi_valued, revision, live_count, version, created, updated, *later = row
    return Namespace(
        identity,
        display_name,
        frozenset(load_list(multi_valued)),
        revision,
        live_count,
        _etag(uid, version),
        to_time(created),
        to_time(updated),
        # Answers that were kept for retries before there was such a column lack it.
        load_examples(later[0]) if later else (),
    )


def content_values(content: Content) -> dict[str, Any]:
    """The columns that `facts` and `fact_revisions` share."""
    return {
        "subject": content.subject,
        "relation": content.relation,
        "object": content.object,
        "aliases": dump_list(content.aliases),
        "source": content.source,
        "valid_from": optional_micros(content.valid_from),
        "valid_to": optional_micros(content.valid_to),
    }
