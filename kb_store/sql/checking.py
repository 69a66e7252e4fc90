"""Does the database agree with itself? The engine's own checks, then what our tables promise each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, and_, except_, func, or_, select

from kb_store.sql.audit_chain import verify
from kb_store.sql.backend import Backend
from kb_store.sql.tables import counters, fact_names, fact_revisions, facts, namespaces, outbox

_SHOWN = 5


def _live() -> Any:
    return facts.c.delete_time.is_(None)


def _newest_revisions() -> Select[Any]:
    """Facts whose newest revision does not say what the fact says."""
    same = and_(
        *(
            fact_revisions.c[name].is_not_distinct_from(facts.c[name])
            for name in (
                "subject",
                "relation",
                "object",
                "aliases",
                "source",
                "valid_from",
                "valid_to",
                "namespace_revision",
                "delete_time",
                "purge_time",
            )
        ),
        fact_revisions.c.superseded_at.is_(None),
    )
    joined = facts.outerjoin(
        fact_revisions,
        and_(fact_revisions.c.row == facts.c.row, fact_revisions.c.revision == facts.c.revision),
    )
    return select(facts.c.row).select_from(joined).where(or_(fact_revisions.c.row.is_(None), ~same))


def _gaps_in_history() -> Select[Any]:
    """Facts whose revisions are not exactly 1..n, each but the last superseded."""
    return (
        select(facts.c.row)
        .join_from(facts, fact_revisions, facts.c.row == fact_revisions.c.row)
        .group_by(facts.c.row, facts.c.revision)
        .having(
            or_(
                func.count() != facts.c.revision,
                func.min(fact_revisions.c.revision) != 1,
                func.max(fact_revisions.c.revision) != facts.c.revision,
                func.count(fact_revisions.c.superseded_at) != facts.c.revision - 1,
            )
        )
    )


def _names_without_live_fact() -> Select[Any]:
    joined = fact_names.outerjoin(
        facts, and_(facts.c.row == fact_names.c.row, facts.c.namespace == fact_names.c.namespace, _live())
    )
    return select(fact_names.c.row).select_from(joined).where(facts.c.row.is_(None))


def _live_without_name() -> CompoundSelect[Any]:
    # fact_names is keyed by namespace and name: its rows are collected once.
    return except_(select(facts.c.row).where(_live()), select(fact_names.c.row))


def _numbers_ahead(connection: Connection) -> Iterator[str]:
    last_row, last_sequence = connection.execute(select(counters.c.last_row, counters.c.last_sequence)).one()
    highest_row = connection.execute(select(func.max(facts.c.row))).scalar() or 0
    highest_entry = connection.execute(select(func.max(outbox.c.sequence))).scalar() or 0
    if highest_row > last_row:
        yield f"fact row {highest_row} is above the counter {last_row}"
    if highest_entry > last_sequence:
        yield f"outbox entry {highest_entry} is above the counter {last_sequence}"


def _namespace_figures(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        select(
            namespaces.c.id,
            namespaces.c.revision,
            namespaces.c.live_count,
            func.count(facts.c.row).filter(_live()),
            func.coalesce(func.max(facts.c.namespace_revision), 0),
        )
        .select_from(namespaces.outerjoin(facts, facts.c.namespace == namespaces.c.id))
        .group_by(namespaces.c.id, namespaces.c.revision, namespaces.c.live_count)
    )
    for name, revision, live_count, counted, newest in rows:
        if live_count != counted:
            yield f"namespace {name!r} counts {live_count} live facts and has {counted}"
        if newest > revision:
            yield f"namespace {name!r} is at revision {revision} and has a fact of revision {newest}"


def _agreement(connection: Connection) -> Iterator[str]:
    for title, statement in (
        ("facts that differ from their newest revision", _newest_revisions()),
        ("facts with gaps in their history", _gaps_in_history()),
        ("names of facts that are not live", _names_without_live_fact()),
        ("live facts without a name", _live_without_name()),
    ):
        rows = [row for (row,) in connection.execute(statement.limit(_SHOWN + 1))]
        if rows:
            more = " and more" if len(rows) > _SHOWN else ""
            yield f"{title}: rows {', '.join(map(str, rows[:_SHOWN]))}{more}"
    yield from _numbers_ahead(connection)
    yield from _namespace_figures(connection)
    yield from (f"audit log: {problem}" for problem in verify(connection).problems)


class Checking(Backend):
    """The contract's `check`."""

    def check(self) -> list[str]:
        """What is wrong, in sentences. Takes the writer's turn, so that nothing changes meanwhile."""

        def work(connection: Connection) -> list[str]:
            return [*self._dialect.check(connection), *_agreement(connection)]

        return self._writer.submit(work, keep=False).result()
