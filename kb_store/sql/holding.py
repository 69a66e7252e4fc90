"""Which rows of an import are held back, and putting them aside in the import's own transaction."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from kb_store.errors import QuotaExceeded
from kb_store.flags import text_flags
from kb_store.model import ConflictPolicy, Content, ImportRow, RowFailure
from kb_store.reviews import Flag, Quarantine
from kb_store.sql.mutations import corrected_by, said_by
from kb_store.sql.review_rows import held_digests, insert_rows, new_row
from kb_store.sql.rows import Stored
from kb_store.sql.unit import Unit


class Neighbours(Protocol):
    """The facts that rows may meet."""

    def by_id(self, fact_id: str) -> Stored | None:
        """Of this id, deleted or not."""
        ...

    def group(self, content: Content) -> list[Stored]:
        """Live, of the same subject and relation."""
        ...


def split_off(
    unit: Unit,
    rows: Sequence[ImportRow],
    known: Neighbours,
    quarantine: Quarantine,
    *,
    import_id: str,
    policy: ConflictPolicy,
) -> tuple[list[ImportRow], int, list[RowFailure]]:
    """The rows that may be written, how many were put aside, and refusals of those for which there was no room.

    A row that says what is stored is written (it changes nothing); one that waits already waits once. Of a namespace
    as many rows may wait as it may have facts.
    """
    objects: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        objects[row.content.subject, row.content.relation].add(row.content.object)
    free: list[ImportRow] = []
    made = []
    for row in rows:
        content = row.content
        if _changes_nothing(row, known):
            free.append(row)
            continue
        conflicts = _conflicts(unit, row, known, policy)
        flags = [*text_flags(content)]
        if conflicts:
            flags.append(Flag.CONTRADICTS_STORED)
        if content.relation not in unit.multi_valued and len(objects[content.subject, content.relation]) > 1:
            flags.append(Flag.CONTRADICTS_FILE)
        if not flags and quarantine is not Quarantine.ALL:
            free.append(row)
            continue
        made.append(
            new_row(
                row,
                tuple(flags) or (Flag.NOT_FLAGGED,),
                conflicts,
                namespace=unit.namespace,
                import_id=import_id,
                policy=policy,
                context=unit.context,
                now=unit.now,
            )
        )
    held_already = held_digests(unit.connection, unit.namespace, [row["content_digest"] for row in made])
    room = math.inf if unit.most_facts is None else unit.most_facts - unit.waiting()
    fresh: dict[str, dict[str, Any]] = {}
    failures = []
    for each in made:
        digest = each["content_digest"]
        if digest in held_already or digest in fresh:
            continue
        if len(fresh) < room:
            fresh[digest] = each
        else:
            failures.append(RowFailure(each["line"], QuotaExceeded.reason, _no_room(unit)))
    insert_rows(unit.connection, unit.namespace, list(fresh.values()))
    return free, len(fresh), failures


def _no_room(unit: Unit) -> str:
    return (
        f"as many rows of namespace {unit.namespace!r} wait for approval as may (quotas.max_facts = "
        f"{unit.most_facts}): decide about some, or have the quota raised"
    )


def _changes_nothing(row: ImportRow, known: Neighbours) -> bool:
    same = known.by_id(row.fact_id)
    if same is not None:
        return not same.fact.deleted and same.fact.content == row.content
    return any(stored.fact.content == row.content for stored in known.group(row.content))


def _conflicts(unit: Unit, row: ImportRow, known: Neighbours, policy: ConflictPolicy) -> tuple[str, ...]:
    """Ids of the live facts that the row would be written over, and of those that say another object where the
    relation has one."""
    content, group = row.content, known.group(row.content)
    same = known.by_id(row.fact_id)
    if same is None and policy is ConflictPolicy.REPLACE:
        # With an id of its own the same for another time is another fact where the relation has several.
        apart = row.fact_id and content.relation in unit.multi_valued
        same = said_by(group, content) if apart else corrected_by(group, content)
    found = [same.fact] if same is not None and not same.fact.deleted else []
    if content.relation not in unit.multi_valued:
        found += [stored.fact for stored in group if stored.fact.content.object != content.object]
    return tuple(dict.fromkeys(fact.fact_id for fact in found))
