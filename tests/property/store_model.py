"""The store in the fewest words: what tests/property compares every backend with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kb_store.errors import AlreadyExists, ConflictingFact, NotFound, StoreError, WrongState
from kb_store.model import (
    ConflictPolicy,
    Content,
    CreateFact,
    DeleteFact,
    FactMutation,
    RollbackFact,
    UndeleteFact,
    UpdateFact,
)

MULTI_VALUED = "child"
PARTS = ("subject", "relation", "object", "valid_from")

# Subject, relation, object, and from when on.
Said = tuple[str, str, str, datetime | None]


def said_of(content: Content) -> Said:
    """What makes it this fact and no other."""
    return content.subject, content.relation, content.object, content.valid_from


class Refused(Exception):
    """The model's refusal: which error the store must raise."""

    def __init__(self, error: type[StoreError]) -> None:
        super().__init__(error.__name__)
        self.error = error


@dataclass
class Entry:
    """A fact: what it said at each revision, and whether it was live."""

    history: list[tuple[Said, bool]] = field(default_factory=list)

    @property
    def said(self) -> Said:
        return self.history[-1][0]

    @property
    def live(self) -> bool:
        return self.history[-1][1]


@dataclass
class Model:
    """Facts by id in the order of creation; an id that the store is to make is made by `name_new`."""

    facts: dict[str, Entry] = field(default_factory=dict)
    revision: int = 0
    made: int = 0

    def copy(self) -> Model:
        facts = {name: Entry(list(entry.history)) for name, entry in self.facts.items()}
        return Model(facts, self.revision, self.made)

    def apply(self, mutation: FactMutation) -> str:
        """Returns the fact's id ("new-N" for one that the store names), or raises Refused."""
        if isinstance(mutation, CreateFact):
            return self._create(said_of(mutation.content), mutation.fact_id, mutation.on_conflict)
        entry = self.facts.get(mutation.fact_id)
        if entry is None:
            raise Refused(NotFound)
        if isinstance(mutation, UndeleteFact):
            if entry.live:
                raise Refused(WrongState)
            self._guard(entry, entry.said)
            self._add(entry, entry.said)
        elif isinstance(mutation, RollbackFact) and not 1 <= mutation.revision <= len(entry.history):
            raise Refused(NotFound)
        elif not entry.live:
            raise Refused(WrongState)
        elif isinstance(mutation, DeleteFact):
            self._add(entry, entry.said, live=False)
        elif isinstance(mutation, UpdateFact):
            changed = {**dict(zip(PARTS, entry.said, strict=True)), **mutation.changes}
            self.revise(entry, said_of(Content(**changed)))
        else:
            self.revise(entry, entry.history[mutation.revision - 1][0])
        return mutation.fact_id

    def _group(self, said: Said) -> list[str]:
        return [name for name, entry in self.facts.items() if entry.live and entry.said[:2] == said[:2]]

    def says(self, said: Said) -> bool:
        """Whether a live fact does."""
        return any(entry.live and entry.said == said for entry in self.facts.values())

    def _create(self, said: Said, fact_id: str, policy: ConflictPolicy) -> str:
        if fact_id in self.facts:
            raise Refused(AlreadyExists)
        group = self._group(said)
        same = [name for name in group if self.facts[name].said == said]
        if same and not fact_id:
            return same[0]
        others = [name for name in group if name not in same]
        replacing = policy is ConflictPolicy.REPLACE
        of_object = [name for name in group if self.facts[name].said[2] == said[2]]
        if replacing and of_object and not fact_id:
            return self._replace(of_object[0], said)
        if others and said[1] != MULTI_VALUED and policy is not ConflictPolicy.ADD:
            if not replacing:
                raise Refused(ConflictingFact)
            return self._replace([*same, *of_object, *others][0], said)
        if not fact_id:
            self.made += 1
            fact_id = f"new-{self.made}"
        self.facts[fact_id] = Entry()
        self._add(self.facts[fact_id], said)
        return fact_id

    def _replace(self, name: str, said: Said) -> str:
        if self.facts[name].said != said:
            self._add(self.facts[name], said)
        return name

    def revise(self, entry: Entry, said: Said) -> None:
        if said == entry.said:
            return
        if said[:2] != entry.said[:2]:
            self._guard(entry, said)
        self._add(entry, said)

    def _guard(self, moving: Entry, said: Said) -> None:
        for name in self._group(said):
            other = self.facts[name]
            if other is not moving and said[1] != MULTI_VALUED and other.said != said:
                raise Refused(ConflictingFact)

    def _add(self, entry: Entry, said: Said, *, live: bool = True) -> None:
        entry.history.append((said, live))
        self.revision += 1
