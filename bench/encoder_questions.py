"""What `bench.encoder` asks: for each cell, questions about stored facts or about facts that are not stored.

Subjects and objects are always of the held-out side. Phrasings and relations are on the side that the cell says;
every phrasing of a held-out relation is unseen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.answers import says
from bench.encoder_world import LARGEST_SUBJECT, Invented, InventedWorld
from editors.kv.phrases import PhraseBank, Phrasing, Relation
from kb_store.scoring import Question

_LONG_NAME = 3  # tokens
_ATTEMPTS = 20
_NUMBER = re.compile(r"[^\w]*\d")
_NAME_KINDS = frozenset(("person", "company", "museum", "airport", "place", "creature", "mountain", "sea"))
_DATE_KINDS = frozenset(("date",))
Phrasings = Callable[[Relation], Sequence[Phrasing]]


@dataclass(frozen=True, slots=True)
class Case:
    """A question. `objects` must all be said; for an absent fact it holds what would have been the answer."""

    cell: str
    prompt: str
    objects: tuple[str, ...]
    facts: tuple[Invented, ...]
    chat: bool = False

    @property
    def subject(self) -> str:
        """Of the fact that is asked for first."""
        return self.facts[0].subject

    @property
    def relation(self) -> str:
        """Of the fact that is asked for first: questions about one relation are hit or missed together."""
        return self.facts[0].relation.name


def names_nothing(phrasing: Phrasing, relation: Relation) -> bool:
    """Whether a phrasing shares no telling word, inflected or compounded, with the relation's name."""
    text = f"{phrasing.user or ''} {phrasing.text}".replace("{s}", " ")
    return "{r}" not in text and "{R}" not in text and Question(text).relation_cover(relation.name) == 0


class Asker:
    """Draws the questions of every cell from one world."""

    def __init__(self, world: InventedWorld, bank: PhraseBank, tokenizer: Any, seed: int) -> None:
        self._world, self._bank, self._seed = world, bank, seed
        self._tokenizer = tokenizer
        self._whole = [fact for subject in world.subjects for fact in subject.facts]
        self._frames = {chat: [p for p in bank.frames if p.chat == chat] for chat in (False, True)}

    def present(self, count: int) -> dict[str, list[Case]]:
        """The cells whose facts are stored, `count` questions each (fewer where the world has no more)."""
        whole = self._whole
        trained = [fact for fact in whole if fact.relation.split == "train"]
        unseen = [fact for fact in whole if fact.relation.split == "held_out"]
        large = [
            fact
            for subject in self._world.subjects
            if len(subject.facts) == LARGEST_SUBJECT
            for fact in subject.facts
        ]
        drawn: dict[str, tuple[Iterable[Invented], Phrasings]] = {
            "right_seen": (trained, _seen_text),
            "right_phrasing": (trained, _unseen_text),
            "right_relation": (unseen, _unseen_text),
            "right_relation_named": (unseen, lambda _: self._frames[False]),
            "right_chat": (whole, _unseen_chat),
            "right_no_relation_words": (whole, _unseen_wordless),
            "same_subject": (large, _unseen_text),
            "near_duplicate": (dict.fromkeys(self._world.with_rivals), _unseen_text),
        }
        values: dict[str, Callable[[Invented], bool]] = {
            "numbers": _is_number,
            "dates": _is_date,
            "long_names": self._is_long_name,
        }
        cases = {cell: self._draw(cell, list(facts), how, count) for cell, (facts, how) in drawn.items()}
        for cell, fits in values.items():
            facts = [fact for fact in whole if fits(fact)]
            # Dates are few: once they have been asked for in every unseen phrasing, the others follow.
            cases[cell] = self._draw(cell, facts, _unseen_text, count)
            cases[cell] += self._draw(cell, facts, _seen_text, count - len(cases[cell]))
        return cases | {"two_facts": self._two_facts(count)}

    def absent(self, count: int) -> dict[str, list[Case]]:
        """The cells whose facts are not stored while rivals are."""
        missing = [subject.missing for subject in self._world.subjects if subject.missing]
        return {
            "absent_same_subject": self._draw("absent_same_subject", missing, self._unseen_or_named, count),
            "absent_same_relation": self._draw(
                "absent_same_relation", list(self._world.unknown), self._unseen_or_named, count
            ),
        }

    def _unseen_or_named(self, relation: Relation) -> Sequence[Phrasing]:
        """Half of them name the relation, so that the relations of stored rivals are told apart by more."""
        natural = _unseen_text(relation)
        rng = random.Random(f"{self._seed}/{relation.name}")
        return [*natural, *rng.sample(self._frames[False], len(natural))]

    def _draw(self, cell: str, facts: list[Invented], phrasings: Phrasings, count: int) -> list[Case]:
        """Each fact once before any is asked for again, in another phrasing."""
        rng = random.Random(f"{self._seed}/{cell}")
        rng.shuffle(facts)
        waiting = []
        for fact in facts:
            known = list(phrasings(fact.relation))
            rng.shuffle(known)
            waiting.append((fact, known))
        cases: list[Case] = []
        while len(cases) < count and waiting:
            waiting = [(fact, known) for fact, known in waiting if known]
            cases += [_case(cell, fact, known.pop()) for fact, known in waiting[: count - len(cases)]]
        return cases

    def _two_facts(self, count: int) -> list[Case]:
        """Two relations of a subject, or one relation of two subjects, in one question."""
        rng = random.Random(f"{self._seed}/two_facts")
        cases: list[Case] = []
        several = [subject for subject in self._world.subjects if len(subject.facts) > 1]
        if not several:
            return []
        by_relation: dict[str, list[Invented]] = {}
        for fact in self._whole:
            by_relation.setdefault(fact.relation.name, []).append(fact)
        for _ in range(_ATTEMPTS * count):
            if len(cases) == count:
                break
            if rng.random() < 0.5:
                one, two = rng.sample(rng.choice(several).facts, 2)
                template, chat = rng.choice(_TWO_RELATIONS)
            else:
                one = rng.choice(self._whole)
                two = rng.choice(by_relation[one.relation.name])
                template, chat = rng.choice(_TWO_SUBJECTS)
            if says(one.object, two.object) or says(two.object, one.object):
                continue
            prompt = template.format(s=one.subject, t=two.subject, r=one.relation.name, q=two.relation.name)
            cases.append(Case("two_facts", prompt, (one.object, two.object), (one, two), chat))
        return cases

    def _is_long_name(self, fact: Invented) -> bool:
        if fact.relation.object_kind not in _NAME_KINDS:
            return False
        return len(self._tokenizer(" " + fact.object, add_special_tokens=False).input_ids) >= _LONG_NAME


_TWO_RELATIONS = (
    ("What are the {r} and the {q} of {s}?", True),
    ("Tell me the {r} of {s}, and the {q} too.", True),
    ("I need two things about {s}: the {r} and the {q}.", True),
    ("Question: What are the {r} and the {q} of {s}?\nAnswer:", False),
    ("The {r} and the {q} of {s} are", False),
)
_TWO_SUBJECTS = (
    ("What is the {r} of {s}, and what is the {r} of {t}?", True),
    ("Compare the {r} of {s} with that of {t}.", True),
    ("Question: What is the {r} of {s} and of {t}?\nAnswer:", False),
    ("For {s} and for {t} the {r} is, in this order,", False),
)


def _case(cell: str, fact: Invented, phrasing: Phrasing) -> Case:
    user, text = phrasing.filled(fact.subject, fact.relation.name, fact.object)
    return Case(cell, user if phrasing.chat else text, (fact.object,), (fact,), phrasing.chat)


def _text(phrasings: Sequence[Phrasing]) -> list[Phrasing]:
    return [phrasing for phrasing in phrasings if not phrasing.chat]


def _seen_text(relation: Relation) -> Sequence[Phrasing]:
    return _text(relation.train_phrasings) if relation.split == "train" else ()


def _unseen(relation: Relation) -> Sequence[Phrasing]:
    if relation.split == "train":
        return relation.held_out_phrasings
    return (*relation.train_phrasings, *relation.held_out_phrasings)


def _unseen_text(relation: Relation) -> Sequence[Phrasing]:
    return _text(_unseen(relation))


def _unseen_chat(relation: Relation) -> Sequence[Phrasing]:
    return [phrasing for phrasing in _unseen(relation) if phrasing.chat]


def _unseen_wordless(relation: Relation) -> Sequence[Phrasing]:
    return [phrasing for phrasing in _unseen_text(relation) if names_nothing(phrasing, relation)]


def _is_date(fact: Invented) -> bool:
    return fact.relation.object_kind in _DATE_KINDS


def _is_number(fact: Invented) -> bool:
    """A number, with its unit where it has one; not a name with digits in it."""
    return not _is_date(fact) and _NUMBER.match(fact.object) is not None
