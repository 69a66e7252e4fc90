"""The knowledge base of `bench.encoder`: invented subjects and objects of the phrase bank's held-out side.

A subject has one to ten facts and one relation that is never stored. Many subjects have near-namesakes, often
with the same relation; some have nothing but namesakes, who hold what is asked of them.
A larger world begins with the smaller one of its seed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.answers import says
from editors.kv.phrases import GrammarError, PhraseBank, Relation
from kb_store.model import Content
from kb_store.text import fold_name

LARGEST_SUBJECT = 10  # facts
_NAMESAKES = 0.2  # of subjects: made from the name of an earlier one
_UNKNOWN = 0.2  # of subjects: nothing stored, but namesakes hold the relation
_RECENT = 200
_ATTEMPTS = 60


@dataclass(frozen=True, slots=True)
class Invented:
    """A fact that nobody knew before; `twins` are namesakes' facts of the same relation."""

    subject: str
    relation: Relation
    object: str

    @property
    def content(self) -> Content:
        """As it is stored."""
        return Content(self.subject, self.relation.name, self.object)


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of any kind with what is stored of it, and the relation that is not."""

    name: str
    kind: str
    facts: tuple[Invented, ...]
    missing: Invented | None
    namesake: str = ""  # the earlier subject from whose name this one was made


@dataclass(frozen=True)
class InventedWorld:
    """Everything that is stored, and what is asked although it is not."""

    subjects: tuple[Subject, ...]
    facts: tuple[Invented, ...] = field(repr=False)  # in the order in which they are stored
    unknown: tuple[Invented, ...] = ()  # of subjects of whom only namesakes are stored

    def contents(self, count: int) -> list[Content]:
        """The first so many facts."""
        return [fact.content for fact in self.facts[:count]]

    @property
    def with_rivals(self) -> list[Invented]:
        """Stored facts whose relation is also stored of a namesake."""
        known = {(fact.subject, fact.relation.name): fact for fact in self.facts}
        pairs = [
            (fact, known.get((subject.namesake, fact.relation.name)))
            for subject in self.subjects
            if subject.namesake
            for fact in subject.facts
        ]
        return [fact for own, other in pairs if other is not None for fact in (own, other)]


class _Names:
    """Fresh subjects of the held-out side; a kind that has no more names left is dropped."""

    def __init__(self, bank: PhraseBank, rng: random.Random) -> None:
        self._bank, self._rng = bank, rng
        self._used: set[str] = set()
        self._recent: dict[str, list[str]] = {}
        self.relations: dict[str, list[Relation]] = {}
        for relation in bank.relations:
            self.relations.setdefault(relation.subject_kind, []).append(relation)
        self._open = list(self.relations)

    def kind(self) -> str:
        """Kinds about which more can be said come more often."""
        return self._rng.choices(self._open, weights=[len(self.relations[kind]) for kind in self._open])[0]

    def fresh(self, kind: str) -> str | None:
        """A name that was not there; None when the kind is used up."""
        for _ in range(_ATTEMPTS):
            name = self._bank.subject(kind, self._rng, held_out=True)
            if self._take(kind, name):
                return name
        if kind in self._open:
            self._open.remove(kind)
        return None

    def earlier(self, kind: str) -> str | None:
        """A recent subject of the kind."""
        recent = self._recent.get(kind)
        return self._rng.choice(recent) if recent else None

    def like(self, kind: str, name: str) -> str | None:
        """A near-duplicate of a name; None when all of them are taken, or on the other side of the split."""
        with contextlib.suppress(GrammarError):
            for _ in range(_ATTEMPTS):
                made = self._bank.near_duplicate(name, self._rng)
                if self._take(kind, made):
                    return made
        return None

    def _take(self, kind: str, name: str) -> bool:
        folded = fold_name(name)
        if not folded or folded in self._used:
            return False
        self._used.add(folded)
        recent = self._recent.setdefault(kind, [])
        recent.append(name)
        del recent[:-_RECENT]
        return True


def invented_world(bank: PhraseBank, count: int, seed: int) -> InventedWorld:
    """A world of at least `count` facts; the surplus of the last subjects is cut off."""
    rng = random.Random(f"bench/encoder/{seed}")
    names = _Names(bank, rng)
    known: dict[str, Subject] = {}
    facts: list[Invented] = []
    unknown: list[Invented] = []
    while len(facts) < count:
        for subject in _next(bank, names, known, unknown, rng):
            known[subject.name] = subject
            facts += subject.facts
    kept = facts[:count]
    # Near the cut a subject may have lost facts: it and whoever was made from it are not asked for.
    cut = {fact.subject for fact in facts[count:]} | {facts[count - 1].subject}
    asked = {fact.subject for fact in kept} - cut
    whole = tuple(subject for subject in known.values() if subject.name in asked)
    return InventedWorld(whole, tuple(kept), tuple(unknown))


def _next(
    bank: PhraseBank,
    names: _Names,
    known: dict[str, Subject],
    unknown: list[Invented],
    rng: random.Random,
) -> Iterator[Subject]:
    kind = names.kind()
    earlier = names.earlier(kind)
    if rng.random() < _UNKNOWN and (name := names.fresh(kind)):
        yield from _namesakes_only(bank, names, name, kind, unknown, rng)
    elif earlier in known and rng.random() < _NAMESAKES and (name := names.like(kind, earlier)):
        shared = rng.choice(known[earlier].facts)
        yield _subject(bank, names, name, kind, rng, shared=shared)
    elif name := names.fresh(kind):
        yield _subject(bank, names, name, kind, rng)


def _namesakes_only(
    bank: PhraseBank,
    names: _Names,
    name: str,
    kind: str,
    unknown: list[Invented],
    rng: random.Random,
) -> Iterator[Subject]:
    asked = _fact(bank, name, rng.choice(names.relations[kind]), (), rng)
    twins = [twin for _ in range(rng.randint(1, 3)) if (twin := names.like(kind, name))]
    if twins:
        unknown.append(asked)
    for twin in twins:
        yield _subject(bank, names, twin, kind, rng, shared=asked)


def _subject(
    bank: PhraseBank,
    names: _Names,
    name: str,
    kind: str,
    rng: random.Random,
    *,
    shared: Invented | None = None,
) -> Subject:
    """One to ten facts, `shared.relation` among them with another object, and a relation that is left out."""
    relations = [relation for relation in names.relations[kind] if not shared or relation != shared.relation]
    rng.shuffle(relations)
    if shared:
        relations.insert(0, shared.relation)
    wanted = rng.randint(1, min(LARGEST_SUBJECT, max(1, len(relations) - 1)))
    avoid = [shared.object] if shared else []
    facts: list[Invented] = []
    for relation in relations[:wanted]:
        facts.append(_fact(bank, name, relation, avoid, rng))
        avoid.append(facts[-1].object)
    rest = relations[wanted:]
    missing = _fact(bank, name, rest[0], avoid, rng) if rest else None
    rng.shuffle(facts)
    return Subject(name, kind, tuple(facts), missing, shared.subject if shared else "")


def _fact(
    bank: PhraseBank, subject: str, relation: Relation, avoid: Sequence[str], rng: random.Random
) -> Invented:
    """An object that cannot be mistaken for its subject or for one of `avoid`, where its kind has such."""
    value = bank.object(relation.object_kind, rng, held_out=True)
    for _ in range(_ATTEMPTS):
        if not any(says(value, other) or says(other, value) for other in (subject, *avoid)):
            break
        value = bank.object(relation.object_kind, rng, held_out=True)
    return Invented(subject, relation, value)
