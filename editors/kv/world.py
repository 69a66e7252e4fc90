"""The training world: invented and real subjects, many relations, natural phrasings, confusable candidates.

Everything is drawn from a random generator, so a seed names a world. Held-out subjects, objects, phrasings and
relations never appear in training.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    questions: int = 64
    absent: float = 0.4
    chat: float = 0.3  # of steps
    frames: float = 0.25  # of questions: phrasings that name the relation
    context: float = 0.2  # of questions: an unrelated sentence stands before
    real: float = 0.3  # of subjects
    counterfactual: float = 0.5  # of real facts
    near_duplicate: float = 0.2  # of invented subjects
    # How many facts a subject has. With few the choice among many facts of one subject is never learned.
    of_subject: tuple[int, ...] = (1, 2, 3, 5, 8, 12)
    shared: float = 0.6  # of the relations of a subject that its near-duplicate has too
    other_names: float = 0.25  # of invented facts: stored under another name of their relation
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
HELD_OUT = Slice(held_out_subjects=True, held_out_objects=True, held_out_relations=True, frames=0.0)


@dataclass(frozen=True, slots=True)
class _Drawn:
    fact: FactText
    phrasings: tuple[Phrasing, ...]
    relation: str  # as it is spoken of; the fact may be stored under another name


class _Invented:
    """Subjects that nobody has heard of; those of one problem remember each other."""

    def __init__(self, bank: PhraseBank, mix: Mix, view: Slice) -> None:
        self._bank, self._mix, self._view = bank, mix, view
        self._kinds: dict[str, list[Relation]] = {}
        for relation in bank.relations_of("held_out" if view.held_out_relations else "train"):
            if view.held_out_phrasings and not relation.held_out_phrasings:
                continue
            self._kinds.setdefault(relation.subject_kind, []).append(relation)
        self._weights = [len(known) ** 0.5 for known in self._kinds.values()]
        self._earlier: dict[str, list[tuple[str, list[Relation]]]] = {}

    def subject(self, rng: random.Random, wanted: int) -> list[_Drawn]:
        """One subject with that many facts, or as many as there are relations for its kind."""
        bank, view = self._bank, self._view
        (kind,) = rng.choices(list(self._kinds), self._weights)
        known = self._kinds[kind]
        earlier = self._earlier.setdefault(kind, [])
        relations = rng.sample(known, min(wanted, len(known)))
        if earlier and rng.random() < self._mix.near_duplicate:
            twin, theirs = rng.choice(earlier)
            name = bank.near_duplicate(twin, rng)
            shared = [relation for relation in theirs if rng.random() < self._mix.shared]
            relations = list(dict.fromkeys([*shared, *relations]))[: len(relations)]
        else:
            name = bank.subject(kind, rng, held_out=view.held_out_subjects)
        earlier.append((name, relations))
        return [self._fact(rng, name, relation) for relation in relations]

    def _fact(self, rng: random.Random, subject: str, relation: Relation) -> _Drawn:
        view = self._view
        spoken = self._bank.object(relation.object_kind, rng, held_out=view.held_out_objects)
        phrasings = relation.held_out_phrasings if view.held_out_phrasings else relation.train_phrasings
        stored = relation.name
        if relation.also and rng.random() < self._mix.other_names:
            stored = rng.choice(relation.also)
        return _Drawn(FactText("", subject, stored, spoken), tuple(phrasings), relation.name)


class World:
    """Draws problems."""

    def __init__(
        self, bank: PhraseBank, tokenizer: Any, real: Sequence[RealRelation] = (), mix: Mix | None = None
    ):
        self._bank, self._real, self.mix = bank, tuple(real), mix or Mix()
        self._of_subject: dict[str, list[tuple[int, str]]] = {}  # place of the relation, object
        for place, relation in enumerate(self._real):
            for subject, spoken in relation.facts:
                self._of_subject.setdefault(subject, []).append((place, spoken))
        self._render: Callable[..., str] = tokenizer.apply_chat_template
        self.chats = bool(getattr(tokenizer, "chat_template", None))  # a base model has no turns to ask in
        self._turn_end = _turn_end(tokenizer)

    def problem(self, rng: random.Random, view: Slice = TRAINING) -> Problem:
        """Facts with many same-subject and same-relation rivals, and questions about them."""
        mix = self.mix
        drawn = self._facts(rng, view)
        chat = self.chats and (view.chat if view.chat is not None else rng.random() < mix.chat)
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

    def subject(self, rng: random.Random, facts: int, *, held_out: bool = False) -> Problem:
        """One subject with as many facts as there are for it, up to `facts`; each is asked for, all are seen.

        `held_out`: an invented subject of the held-out side, with objects and relations of that side.
        """
        view = HELD_OUT if held_out else TRAINING
        if self._real and not held_out and rng.random() < self.mix.real:
            drawn = self._real_subject(rng, facts)
        else:
            drawn = _Invented(self._bank, self.mix, view).subject(rng, facts)
        everything = tuple(range(len(drawn)))
        questions = tuple(
            self._question(rng, view, item, place, self.chats and rng.random() < self.mix.chat, everything)
            for place, item in enumerate(drawn)
        )
        return Problem(tuple(item.fact for item in drawn), questions)

    def pairs(self, rng: random.Random, count: int) -> list[tuple[str, FactText]]:
        """Questions with their facts, for the closed-form start."""
        found: list[tuple[str, FactText]] = []
        while len(found) < count:
            problem = self.problem(rng, Slice(absent=0.0, chat=rng.random() < 0.15))
            found += [(question.prompt, problem.facts[question.asked]) for question in problem.questions]
        return found[:count]

    def again(
        self, rng: random.Random, questions: Sequence[Question], facts: Sequence[FactText]
    ) -> list[Question]:
        """The same questions with other candidates; the fact that is asked for may be missing now."""
        mix, known = self.mix, tuple(facts)
        drawn = ((rng.choice(mix.candidates), rng.random() < mix.absent) for _ in questions)
        return [
            replace(question, candidates=self._rivals(rng, known, question.asked, size, missing))
            for question, (size, missing) in zip(questions, drawn, strict=True)
        ]

    def _facts(self, rng: random.Random, view: Slice) -> list[_Drawn]:
        """Subjects with some facts each, until there are enough."""
        real_share = self.mix.real if view.real is None else view.real
        invented = _Invented(self._bank, self.mix, view)
        drawn: dict[tuple[str, str], _Drawn] = {}
        while len(drawn) < self.mix.facts:
            wanted = min(rng.choice(self.mix.of_subject), self.mix.facts - len(drawn))
            if self._real and rng.random() < real_share:
                found = self._real_subject(rng, wanted)
            else:
                found = invented.subject(rng, wanted)
            for item in found:
                drawn.setdefault((item.fact.subject, item.fact.relation), item)
        return list(drawn.values())

    def _real_subject(self, rng: random.Random, wanted: int) -> list[_Drawn]:
        relation = rng.choice(self._real)
        subject = rng.choice(relation.facts)[0]
        known = self._of_subject[subject]
        found = []
        for place, spoken in rng.sample(known, min(wanted, len(known))):
            relation = self._real[place]
            if rng.random() < self.mix.counterfactual:
                spoken = rng.choice(relation.facts)[1]
            fact = FactText("", subject, relation.name, spoken)
            found.append(_Drawn(fact, relation.phrasings, relation.name))
        return found

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
        user, start = phrasing.filled(fact.subject, drawn.relation, fact.object)
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


class TrainingCourse:
    """What training goes through: a problem for every number, and other candidates for every step."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._seed = world, seed

    def problem(self, number: int) -> Problem:
        """By the number alone."""
        return self._world.problem(random.Random(f"{self._seed}/{number}"))

    def again(self, questions: Sequence[Question], facts: Sequence[FactText], step: int) -> list[Question]:
        """By the step alone."""
        return self._world.again(random.Random(f"{self._seed}/again/{step}"), questions, facts)


def _turn_end(tokenizer: Any) -> str:
    """What ends an assistant's turn, read off the template itself."""
    marker = "\u2603"
    if not getattr(tokenizer, "chat_template", None):
        return ""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": marker}], tokenize=False
    )
    return text.rsplit(marker, 1)[1].rstrip("\n")
