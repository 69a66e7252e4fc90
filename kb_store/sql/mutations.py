"""What each mutation does: the rules of ids, etags, states and conflicting relations.

A relation is single-valued unless the namespace declares it otherwise. The rule guards the door of a
(subject, relation) group: creating a fact in it, moving one into it by an update or rollback, and undeleting
one. Facts that stand in it together (added with ADD, or while the relation was multi-valued) may each be
corrected. REPLACE corrects the fact of the same object or, without one, the oldest live fact of the group.

A fact without an id that says the same object for the same time as a live one is that fact. For another time it is
another fact, with an id of its own or without, which needs ADD where the relation is single-valued.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kb_store.errors import AlreadyExists, ConflictingFact, EtagMismatch, NotFound, WrongState
from kb_store.model import (
    Action,
    ConflictPolicy,
    Content,
    CreateFact,
    DeleteFact,
    Fact,
    FactMutation,
    Limits,
    RollbackFact,
    UndeleteFact,
    UpdateFact,
)
from kb_store.sql.lookups import at_revision, find_by_id, live_of_relation
from kb_store.sql.rows import Stored
from kb_store.sql.unit import Unit
from kb_store.validation import check_changes, check_content, check_id, check_integer, is_id


def check_mutation(mutation: FactMutation, limits: Limits, prefix: str = "") -> None:
    """Everything that can be refused without looking at the store."""
    check_id(prefix + "namespace", mutation.namespace)
    if isinstance(mutation, CreateFact):
        if mutation.fact_id:
            check_id(prefix + "fact_id", mutation.fact_id)
        check_content(mutation.content, limits, prefix)
        return
    if not is_id(mutation.fact_id):
        raise NotFound("fact", fact_name(mutation.namespace, mutation.fact_id))
    if isinstance(mutation, UpdateFact):
        check_changes(mutation.changes, limits, prefix)
    elif isinstance(mutation, RollbackFact):
        check_integer(prefix + "revision", mutation.revision, minimum=1)


def fact_name(namespace: str, fact_id: str) -> str:
    """The resource's name, in letters that any output can show."""
    return ascii(f"namespaces/{namespace}/facts/{fact_id}")[1:-1]


class Mutator:
    """Applies mutations to a unit of work."""

    def __init__(self, limits: Limits, retention: timedelta) -> None:
        self._limits = limits
        self._retention = retention

    def apply(self, unit: Unit, mutation: FactMutation) -> Stored:
        """The fact as it then is, and its row."""
        unit.flush()
        if isinstance(mutation, CreateFact):
            return self._create(unit, mutation)
        current = self._current(unit, mutation)
        if isinstance(mutation, UpdateFact):
            return self._update(unit, current, mutation)
        if isinstance(mutation, DeleteFact):
            return self._delete(unit, current)
        if isinstance(mutation, UndeleteFact):
            return self._undelete(unit, current)
        return self._rollback(unit, current, mutation)

    def _current(self, unit: Unit, mutation: UpdateFact | DeleteFact | UndeleteFact | RollbackFact) -> Stored:
        name = fact_name(unit.namespace, mutation.fact_id)
        current = find_by_id(unit.connection, unit.namespace, mutation.fact_id)
        if current is None:
            raise NotFound("fact", name)
        if mutation.etag and mutation.etag != current.fact.etag:
            raise EtagMismatch("fact", name)
        return current

    def _create(self, unit: Unit, mutation: CreateFact) -> Stored:
        content, fact_id = mutation.content, mutation.fact_id
        if fact_id and find_by_id(unit.connection, unit.namespace, fact_id) is not None:
            raise AlreadyExists("fact", fact_name(unit.namespace, fact_id))
        group = live_of_relation(
            unit.connection, unit.dialect, unit.namespace, content.subject, content.relation
        )
        return place(unit, content, fact_id, group, mutation.on_conflict)

    def _update(self, unit: Unit, current: Stored, mutation: UpdateFact) -> Stored:
        _require_live(unit, current.fact)
        content = replace(current.fact.content, **check_changes(mutation.changes, self._limits))
        check_content(content, self._limits)
        return self._revise(unit, current, content, Action.UPDATE)

    def _delete(self, unit: Unit, current: Stored) -> Stored:
        _require_live(unit, current.fact)
        return unit.change(
            current,
            Action.DELETE,
            current.fact.content,
            delete_time=unit.now,
            purge_time=unit.now + self._retention,
        )

    def _undelete(self, unit: Unit, current: Stored) -> Stored:
        if not current.fact.deleted:
            name = fact_name(unit.namespace, current.fact.fact_id)
            raise WrongState(f"fact {name!r} is not deleted", kind="fact", name=name)
        self._enter(unit, current.fact.content)
        return unit.change(current, Action.UNDELETE, current.fact.content)

    def _rollback(self, unit: Unit, current: Stored, mutation: RollbackFact) -> Stored:
        past = at_revision(unit.connection, current.row, mutation.revision)
        if past is None:
            name = fact_name(unit.namespace, mutation.fact_id)
            raise NotFound("revision", f"{name}/revisions/{mutation.revision}")
        _require_live(unit, current.fact)
        return self._revise(unit, current, past.fact.content, Action.ROLLBACK)

    def _revise(self, unit: Unit, current: Stored, content: Content, action: Action) -> Stored:
        old = current.fact.content
        if content == old:
            return current
        if (content.subject, content.relation) != (old.subject, old.relation):
            self._enter(unit, content)
        return unit.change(current, action, content)

    def _enter(self, unit: Unit, content: Content) -> None:
        group = live_of_relation(
            unit.connection, unit.dialect, unit.namespace, content.subject, content.relation
        )
        require_room(unit, content, group)


def said_by(group: list[Stored], content: Content) -> Stored | None:
    """The fact that says this object for this time, be it under other aliases or from another source."""
    same = [stored for stored in group if _says(stored.fact.content, content)]
    return next((stored for stored in same if stored.fact.content == content), same[0] if same else None)


def _says(one: Content, other: Content) -> bool:
    times = (one.valid_from, one.valid_to)
    return one.object == other.object and times == (other.valid_from, other.valid_to)


def corrected_by(group: list[Stored], content: Content) -> Stored | None:
    """The fact of the same object that REPLACE gives this content: if none is of this time, the oldest."""
    of_object = (stored for stored in group if stored.fact.content.object == content.object)
    return said_by(group, content) or next(of_object, None)


def place(unit: Unit, content: Content, fact_id: str, group: list[Stored], policy: ConflictPolicy) -> Stored:
    """Creates a fact beside the live facts of its subject's relation, or in place of one of them."""
    replacing = policy is ConflictPolicy.REPLACE
    if not fact_id:
        known = corrected_by(group, content) if replacing else said_by(group, content)
        if known is not None:
            return _corrected(unit, known, content) if replacing else known
    if policy is not ConflictPolicy.ADD:
        if replacing and _others(unit, content, group):
            return _corrected(unit, corrected_by(group, content) or group[0], content)
        require_room(unit, content, group)
    return unit.create(content, fact_id)


def _corrected(unit: Unit, known: Stored, content: Content) -> Stored:
    return known if known.fact.content == content else unit.change(known, Action.REPLACE, content)


def _others(unit: Unit, content: Content, group: list[Stored]) -> list[Stored]:
    """What of the group this contradicts where the relation has one object: another, or the same for another time."""
    if content.relation in unit.multi_valued:
        return []
    return [stored for stored in group if not _says(stored.fact.content, content)]


def _require_live(unit: Unit, fact: Fact) -> None:
    if fact.deleted:
        name = fact_name(unit.namespace, fact.fact_id)
        raise WrongState(f"fact {name!r} is deleted: undelete it first", kind="fact", name=name)


def require_room(unit: Unit, content: Content, group: list[Stored]) -> None:
    """Refuses what comes into a group in which it contradicts a fact."""
    others = _others(unit, content, group)
    if others:
        raise ConflictingFact(unit.namespace, others[0].fact.fact_id)
