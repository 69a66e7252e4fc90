"""What the small model reads: built-in facts, invented ones, chats about both, ordinary sentences.

Only the training side of the phrase bank is used. What an encoder is measured with, held-out subjects, objects,
phrasings and relations, is unknown to the model too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from editors.kv.phrases import PhraseBank, Phrasing, Relation
from editors.kv.world import RealRelation
from scripts.small_model.vocabulary import ASSISTANT, END, USER

_ORDINARY = (2, 4)  # sentences of a document
_FACTS = (1, 4)
_READ = 0.5  # of chats: what is asked for was said just before
_ASIDE = 0.2  # of sentences: an ordinary one stands before
_FRAMED = 0.35  # of sentences: the relation is called by its name


@dataclass(frozen=True, slots=True)
class _Fact:
    subject: str
    relation: str
    object: str
    phrasings: tuple[Phrasing, ...]


class SmallText:
    """Documents, one after another, as a random generator has them: the same state, the same text."""

    def __init__(self, bank: PhraseBank, real: Sequence[RealRelation]) -> None:
        self._bank, self._real = bank, tuple(real)
        self._kinds: dict[str, list[Relation]] = {}
        for relation in bank.relations_of("train"):
            self._kinds.setdefault(relation.subject_kind, []).append(relation)
        self._weights = [len(known) ** 0.5 for known in self._kinds.values()]
        self._shares: dict[Callable[[random.Random], str], float] = {
            self._about_invented: 0.4,
            self._about_real: 0.3,
            self._chat: 0.2,
            self._ordinary: 0.1,
        }

    def document(self, rng: random.Random) -> str:
        """One document, with the mark that ends it."""
        (draw,) = rng.choices(list(self._shares), list(self._shares.values()))
        return draw(rng) + END

    def _about_invented(self, rng: random.Random) -> str:
        """Facts about a subject, then some of them once more in other words: what was said can be found again."""
        facts = self._invented(rng, rng.randint(*_FACTS))
        again = rng.sample(facts, rng.randint(1, len(facts)))
        return " ".join(self._sentence(rng, fact) for fact in [*facts, *again])

    def _about_real(self, rng: random.Random) -> str:
        return " ".join(self._sentence(rng, self._true(rng)) for _ in range(rng.randint(*_FACTS)))

    def _chat(self, rng: random.Random) -> str:
        fact = self._true(rng) if rng.random() < 0.4 else rng.choice(self._invented(rng, 1))
        asked, start = self._phrasing(rng, fact, chat=True).filled(fact.subject, fact.relation, fact.object)
        if rng.random() < _READ:
            asked = f"{self._sentence(rng, fact)} {asked}"
        return f"{USER}{asked}{ASSISTANT}{start} {fact.object}."

    def _ordinary(self, rng: random.Random) -> str:
        return " ".join(rng.choice(self._bank.sentences) for _ in range(rng.randint(*_ORDINARY)))

    def _sentence(self, rng: random.Random, fact: _Fact) -> str:
        _, start = self._phrasing(rng, fact, chat=False).filled(fact.subject, fact.relation, fact.object)
        aside = f"{rng.choice(self._bank.sentences)} " if rng.random() < _ASIDE else ""
        return f"{aside}{start} {fact.object}."

    def _phrasing(self, rng: random.Random, fact: _Fact, *, chat: bool) -> Phrasing:
        own = [phrasing for phrasing in fact.phrasings if phrasing.chat == chat]
        if not own or rng.random() < _FRAMED:
            own = [phrasing for phrasing in self._bank.frames if phrasing.chat == chat]
        return rng.choice(own)

    def _invented(self, rng: random.Random, count: int) -> list[_Fact]:
        (kind,) = rng.choices(list(self._kinds), self._weights)
        known = self._kinds[kind]
        subject = self._bank.subject(kind, rng)
        return [
            _Fact(subject, item.name, self._bank.object(item.object_kind, rng), item.train_phrasings)
            for item in rng.sample(known, min(count, len(known)))
        ]

    def _true(self, rng: random.Random) -> _Fact:
        """Every relation as often as any other, so that the facts of the small ones are read many times."""
        relation = rng.choice(self._real)
        subject, value = rng.choice(relation.facts)
        return _Fact(subject, relation.name, value, relation.phrasings)
