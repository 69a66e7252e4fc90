"""The training world: invented and real subjects, many relations, natural phrasings, confusable candidates.

Everything is drawn from a random generator, so a seed names a world. Held-out subjects, objects, phrasings and
relations never appear in training.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from editors.kv.contract import FactText
from editors.kv.phrases import PhraseBank, Phrasing, Relation
from editors.kv.problems import Problem, Question


@dataclass(frozen=True, slots=True)
class RealRelation:
    """True facts and how people speak of them; given from outside."""

    name: str
    phrasings: tuple[Phrasing, ...]
    facts: tuple[tuple[str, str], ...]  # subject, object


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what training shows."""

    facts: int = 48
    questions: int = 32
    absent: float = 0.4
    chat: float = 0.3  # of steps
    frames: float = 0.25  # of questions: phrasings that name the relation
    context: float = 0.2  # of questions: an unrelated sentence stands before
    real: float = 0.3  # of subjects
    counterfactual: float = 0.5  # of real facts
    near_duplicate: float = 0.2  # of invented subjects
    candidates: tuple[int, ...] = (1, 2, 4, 8, 8, 16, 16, 32)


@dataclass(frozen=True, slots=True)
class Slice:
    """What to draw from: the training side, or the held-out side of each axis."""

    held_out_subjects: bool = False
    held_out_objects: bool = False
    held_out_phrasings: bool = False
    held_out_relations: bool = False
    chat: bool | None = None  # None: by the mix
    frames: float | None = None
    absent: float | None = None
    real: float | None = None
    candidates: int | None = None


TRAINING = Slice()


@dataclass(frozen=True, slots=True)
class _Drawn:
    fact: FactText
    phrasings: tuple[Phrasing, ...]


class World:
    """Draws problems."""

    def __init__(
        self, bank: PhraseBank, tokenizer: Any, real: Sequence[RealRelation] = (), mix: Mix | None = None
    ):
        self._bank, self._real, self.mix = bank, tuple(real), mix or Mix()
        self._render: Callable[..., str] = tokenizer.apply_chat_template
        self._turn_end = _turn_end(tokenizer)

    def problem(
        self, rng: random.Random, view: Slice = TRAINING, facts_rng: random.Random | None = None
    ) -> Problem:
        """Facts with many same-subject and same-relation rivals, and questions about them.

        With a generator of their own the facts stay the same while the questions change.
        """
        mix = self.mix
        drawn = self._facts(facts_rng or rng, view)
        chat = view.chat if view.chat is not None else rng.random() < mix.chat
        absent = mix.absent if view.absent is None else view.absent
        facts = tuple(item.fact for item in drawn)
        questions = []
        for _ in range(mix.questions):
            asked = rng.randrange(len(drawn))
            missing = rng.random() < absent
            size = view.candidates or rng.choice(mix.candidates)
            questions.append(
                self._question(
                    rng, view, drawn[asked], asked, chat, self._rivals(rng, facts, asked, size, missing)
                )
            )
        return Problem(facts, tuple(questions))

    def pairs(self, rng: random.Random, count: int) -> list[tuple[str, FactText]]:
        """Questions with their facts, for the closed-form start."""
        found: list[tuple[str, FactText]] = []
        while len(found) < count:
            problem = self.problem(rng, Slice(absent=0.0, chat=rng.random() < 0.15))
            found += [(question.prompt, problem.facts[question.asked]) for question in problem.questions]
        return found[:count]

    def _facts(self, rng: random.Random, view: Slice) -> list[_Drawn]:
        relations = self._bank.relations_of("held_out" if view.held_out_relations else "train")
        real_share = self.mix.real if view.real is None else view.real
        drawn: list[_Drawn] = []
        taken: set[tuple[str, str]] = set()
        subjects: list[tuple[str, str]] = []  # kind, name
        while len(drawn) < self.mix.facts:
            if self._real and rng.random() < real_share:
                item = self._real_fact(rng)
            else:
                item = self._invented_fact(rng, view, relations, subjects)
            key = (item.fact.subject, item.fact.relation)
            if key not in taken:
                taken.add(key)
                drawn.append(item)
        return drawn

    def _invented_fact(
        self, rng: random.Random, view: Slice, relations: Sequence[Relation], subjects: list[tuple[str, str]]
    ) -> _Drawn:
        bank = self._bank
        if subjects and rng.random() < 0.55:
            kind, subject = rng.choice(subjects)
            relation = rng.choice([r for r in relations if r.subject_kind == kind])
        else:
            relation = rng.choice(relations)
            kind = relation.subject_kind
            twins = [name for k, name in subjects if k == kind]
            if twins and rng.random() < self.mix.near_duplicate:
                subject = bank.near_duplicate(rng.choice(twins), rng)
            else:
                subject = bank.subject(kind, rng, held_out=view.held_out_subjects)
            subjects.append((kind, subject))
        spoken = bank.object(relation.object_kind, rng, held_out=view.held_out_objects)
        phrasings = relation.held_out_phrasings if view.held_out_phrasings else relation.train_phrasings
        return _Drawn(FactText("", subject, relation.name, spoken), tuple(phrasings))

    def _real_fact(self, rng: random.Random) -> _Drawn:
        relation = rng.choice(self._real)
        subject, spoken = rng.choice(relation.facts)
        if rng.random() < self.mix.counterfactual:
            spoken = rng.choice(relation.facts)[1]
        return _Drawn(FactText("", subject, relation.name, spoken), relation.phrasings)

    def _rivals(
        self, rng: random.Random, facts: Sequence[FactText], asked: int, size: int, missing: bool
    ) -> tuple[int, ...]:
        """The most confusable candidates first: of the same subject, then of the same relation, then any."""
        wanted = facts[asked]
        others = [i for i in range(len(facts)) if i != asked]
        rng.shuffle(others)
        same_subject = [i for i in others if facts[i].subject == wanted.subject]
        same_relation = [i for i in others if facts[i].relation == wanted.relation]
        hard = list(dict.fromkeys([*same_subject, *same_relation]))[: max(1, size * 3 // 4)]
        ordered = list(dict.fromkeys([*hard, *others]))
        if missing:
            return tuple(ordered[:size])
        return (asked, *ordered[: size - 1])

    def _question(
        self,
        rng: random.Random,
        view: Slice,
        drawn: _Drawn,
        asked: int,
        chat: bool,
        candidates: tuple[int, ...],
    ) -> Question:
        fact = drawn.fact
        frames = self.mix.frames if view.frames is None else view.frames
        options = [p for p in drawn.phrasings if p.chat == chat]
        if not options or rng.random() < frames:
            options = [p for p in self._bank.frames if p.chat == chat]
        phrasing = rng.choice(options)
        user, start = phrasing.filled(fact.subject, fact.relation, fact.object)
        if chat:
            head: str = self._render(
                [{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True
            )
            closing = "." + self._turn_end if rng.random() < 0.7 else ""
            after = "" if closing else self._after(rng)
            return Question(head + start, user, asked, candidates, after, closing)
        if rng.random() < self.mix.context:
            start = f"{rng.choice(self._bank.sentences)} {start}"
        return Question(start, start, asked, candidates, self._after(rng))

    def _after(self, rng: random.Random) -> str:
        """Ordinary text behind an object: the rest of the sentence, or another one."""
        if rng.random() < 0.5:
            return rng.choice(self._bank.continuations)
        return f". {rng.choice(self._bank.sentences)}"


def _turn_end(tokenizer: Any) -> str:
    """What ends an assistant's turn, read off the template itself."""
    marker = "\u2603"
    if not getattr(tokenizer, "chat_template", None):
        return ""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": marker}], tokenize=False
    )
    return text.rsplit(marker, 1)[1].rstrip("\n")
