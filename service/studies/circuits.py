"""The studies of many questions, or of two models: circuits, located heads, what comes in with a fact, grafting."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from circuits.discovery.choosing import Budget, discover, discovery_cost
from circuits.discovery.circuit import Circuit
from circuits.discovery.graph import Graph
from circuits.discovery.judging import Judgement, judge
from circuits.discovery.scoring import Case, stand_ins
from circuits.emergence import Emergence, TellingCase, emergence, emergence_cost
from circuits.errors import InvalidProbe
from circuits.grafting.schemes import (
    MAIN,
    GraftCase,
    Outcome,
    Positions,
    component_schemes,
    graft_all,
    places,
)
from circuits.grafting.tuning import Tuning, fine_tuned, tuning_cost
from circuits.headmap import (
    HeadMap,
    Silenced,
    judge_silenced,
    locate_heads,
    locating_cost,
    longest_of,
    random_heads,
)
from circuits.interventions import Ablation
from circuits.lab import Lab, Passes
from circuits.probe import Probe, answer_tokens, place
from engines.architectures import spec_for
from engines.contract import InjectedFact, Message
from service.errors import TooLargeToTune
from service.studies.probes import builtin_probes

TEMPLATES = ("The {relation} of {subject} is", "About {subject}: the {relation} is")
_ROWS = 16
_OTHERS = 16
_RANDOM_HEADS = 3
_PLACE = re.compile(r"\{(subject|relation)\}")


@dataclass(frozen=True, slots=True)
class CircuitFound:
    """Of `CircuitAnalysis`."""

    circuit: Circuit
    judgement: Judgement
    how: Ablation


@dataclass(frozen=True, slots=True)
class CircuitAnalysis:
    """The nodes and edges that are enough for answers of a kind."""

    kind: ClassVar[str] = "circuit"
    probes: tuple[Probe, ...]
    held_out: tuple[Probe, ...]
    budget: Budget
    how: Ablation
    others: tuple[str, ...]
    randoms: int

    def cost(self, lab: Lab) -> Passes:
        """Rounds of scores, then the judgement."""
        judged = (4 + self.randoms) * _batches(len(self.held_out or self.probes))
        read = 0 if self.how is Ablation.ZERO else len(self.others) or _OTHERS
        return discovery_cost(len(self.probes), self.budget) + Passes(judged + read)

    def check(self, lab: Lab) -> None:
        """See `kinds.Analysis`."""
        _cases(lab, self.probes, "probes")
        _cases(lab, self.held_out, "held_out")
        if self.how is not Ablation.ZERO and all(len(tokens) == 1 for tokens in self._others(lab)):
            raise InvalidProbe("others", "have one token each: nothing is read off behind the first")

    def run(self, lab: Lab) -> CircuitFound:
        """See `kinds.Analysis`."""
        graph = Graph.of(lab.spec)
        cases = _cases(lab, self.probes, "probes")
        instead = stand_ins(lab, graph, self.how, self._others(lab))
        circuit = discover(lab, graph, cases, instead, self.budget)
        held_out = _cases(lab, self.held_out, "held_out") or cases
        return CircuitFound(circuit, judge(lab, circuit, held_out, instead, self.randoms), self.how)

    def _others(self, lab: Lab) -> list[list[int]]:
        return [lab.prompts.encode(text) for text in self.others or _builtin_prompts()]


@dataclass(frozen=True, slots=True)
class LocatedFound:
    """Of `LocatingAnalysis`: how the model answers with no head silent, the located ones, random ones."""

    found: HeadMap
    none: Silenced
    located: Silenced
    random: Silenced


@dataclass(frozen=True, slots=True)
class LocatingAnalysis:
    """The heads whose silence costs the answers most."""

    kind: ClassVar[str] = "located"
    probes: tuple[Probe, ...]
    held_out: tuple[Probe, ...]
    per_layer: int  # 0: a quarter of them
    conditioned: bool

    def cost(self, lab: Lab) -> Passes:
        """In each layer a row for each question, and one for each head and question; then the judgement."""
        cases = _cases(lab, self.probes, "probes")
        judged = _cases(lab, self.held_out, "held_out") or cases
        once = math.ceil(len(judged) / lab.rows_for(longest_of(judged)))
        searched = locating_cost(lab, len(cases), longest=longest_of(cases))
        return searched + Passes((2 + _RANDOM_HEADS) * once)

    def check(self, lab: Lab) -> None:
        """See `kinds.Analysis`."""
        _cases(lab, self.probes, "probes")
        _cases(lab, self.held_out, "held_out")
        if self.per_layer > lab.spec.heads:
            raise InvalidProbe("per_layer", f"the model has {lab.spec.heads} heads in each")

    def run(self, lab: Lab) -> LocatedFound:
        """See `kinds.Analysis`."""
        cases = _cases(lab, self.probes, "probes")
        count = self.per_layer or max(1, lab.spec.heads // 4)
        found = locate_heads(lab, cases, count, conditioned=self.conditioned)
        held_out = _cases(lab, self.held_out, "held_out") or cases
        draw = random.Random(0)  # noqa: S311 - to be repeatable
        by_chance = [
            judge_silenced(lab, held_out, random_heads(lab, found.heads, draw)) for _ in range(_RANDOM_HEADS)
        ]
        return LocatedFound(
            found,
            judge_silenced(lab, held_out, {}),
            judge_silenced(lab, held_out, found.heads),
            Silenced(
                sum(each.loss for each in by_chance) / _RANDOM_HEADS,
                sum(each.right for each in by_chance) / _RANDOM_HEADS,
            ),
        )


@dataclass(frozen=True, slots=True)
class EmergenceAnalysis:
    """The heads that come in when a fact is told. `telling`: the fact as a sentence."""

    kind: ClassVar[str] = "emergence"
    prompt: str | tuple[Message, ...]
    answer: str
    threshold: float
    telling: str = ""
    fact: InjectedFact | None = None

    def cost(self, lab: Lab) -> Passes:
        """A row for each head, three times."""
        return emergence_cost(lab, 1, True, self._case(lab).longest)

    def check(self, lab: Lab) -> None:
        """See `kinds.Analysis`."""
        answer_tokens(lab, self.prompt, self.answer)

    def run(self, lab: Lab) -> Emergence:
        """See `kinds.Analysis`."""
        return emergence(lab, [self._case(lab)], self.threshold)

    def _case(self, lab: Lab) -> TellingCase:
        return TellingCase(
            tuple(lab.prompts.encode(self.prompt)),
            tuple(lab.prompts.encode(self._told)),
            tuple(answer_tokens(lab, self.prompt, self.answer)),
            () if self.fact is None else (self.fact,),
        )

    @property
    def _told(self) -> str | tuple[Message, ...]:
        if isinstance(self.prompt, str):
            return f"{self.telling} {self.prompt}"
        last = replace(self.prompt[-1], content=f"{self.telling} {self.prompt[-1].content}")
        return (*self.prompt[:-1], last)


@dataclass(frozen=True, slots=True)
class GraftingFound:
    """Of `GraftingAnalysis`. left_out: facts that cannot be asked for in these prompts."""

    outcomes: list[Outcome]
    components: list[Outcome]
    losses: tuple[float, ...]
    cases: int
    left_out: int


@dataclass(frozen=True, slots=True)
class GraftingAnalysis:
    """Where a copy of the model that is tuned on facts (subject, relation, object) keeps them."""

    kind: ClassVar[str] = "grafting"
    facts: Sequence[tuple[str, str, str]]
    templates: tuple[str, ...]
    tuning: Tuning
    components: bool
    most_parameters: int

    def cost(self, lab: Lab) -> Passes:
        """Steps of training, then each scheme."""
        cases = len(self.facts) * len(self.templates)
        schemes = len(MAIN) + (len(component_schemes(lab.layers)) if self.components else 0)
        return tuning_cost(cases, self.tuning) + Passes(schemes * _batches(cases))

    def check(self, lab: Lab) -> None:
        """See `kinds.Analysis`."""
        if sum(each.numel() for each in lab.model.parameters()) > self.most_parameters:
            raise TooLargeToTune
        if not self._cases(lab)[0]:
            raise InvalidProbe("templates", "no fact can be asked for in them: they end with their subject")

    def run(self, lab: Lab) -> GraftingFound:
        """See `kinds.Analysis`."""
        cases, left_out = self._cases(lab)
        tuned = fine_tuned(lab, cases, self.tuning)
        donor = spec_for(tuned.model)
        outcomes = graft_all(lab, donor, cases)
        parts = graft_all(lab, donor, cases, component_schemes(lab.layers)) if self.components else []
        return GraftingFound(outcomes, parts, tuned.losses, len(cases), left_out)

    def _cases(self, lab: Lab) -> tuple[list[GraftCase], int]:
        found: list[GraftCase] = []
        left_out = 0
        for subject, relation, value in self.facts:
            try:
                found += [
                    _graft_case(lab, filled(text, subject, relation), subject, value)
                    for text in self.templates
                ]
            except InvalidProbe:
                left_out += 1
        return found, left_out


def filled(template: str, subject: str, relation: str) -> str:
    """A template with a fact's words; braces in these stay what they are."""
    words = {"subject": subject, "relation": relation}
    return _PLACE.sub(lambda place: words[place[1]], template)


def _graft_case(lab: Lab, prompt: str, subject: str, value: str) -> GraftCase:
    placed = place(lab, prompt, subject)
    case = GraftCase(placed.ids, placed.subject, tuple(answer_tokens(lab, prompt, value)))
    places([case], Positions.FE)  # InvalidProbe where the prompt ends with its subject
    return case


def _builtin_prompts() -> tuple[str, ...]:
    draw = random.Random(0)  # noqa: S311 - to be repeatable
    return tuple(str(probe.prompt) for _, probe in builtin_probes(1, draw)[:_OTHERS])


def _cases(lab: Lab, probes: Sequence[Probe], field: str) -> list[Case]:
    return [
        Case(
            tuple(lab.prompts.encode(probe.prompt)),
            tuple(answer_tokens(lab, probe.prompt, probe.object, f"{field}[{at}].object")),
        )
        for at, probe in enumerate(probes)
    ]


def _batches(count: int) -> int:
    return math.ceil(count / _ROWS)
