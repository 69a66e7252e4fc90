"""Which positions and components take the fine-tuned weights, and what that makes of the answers."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from circuits.errors import InvalidProbe
from circuits.grafting.router import Component, Graft, grafted
from circuits.lab import Lab, Passes, scored
from engines.architectures import ModelSpec

_BEST = 5


class Positions(enum.Enum):
    """FE: the tokens of the first entity, the subject. LT: the last token, where the answer begins to be said, and
    the answer's own tokens where the whole of it is scored."""

    PRE = "pre"  # nowhere: the model as it was
    SFT = "sft"  # everywhere: the fine-tuned model
    FE = "fe"
    LT = "lt"
    FE_LT = "fe_lt"
    NOT_FE = "not_fe"
    NOT_LT = "not_lt"
    COMPLEMENT = "complement"  # all but FE and LT


@dataclass(frozen=True, slots=True)
class Scheme:
    """A row of the table. `layers`: None for all."""

    positions: Positions
    components: tuple[Component, ...] = tuple(Component)
    layers: tuple[int, ...] | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """How it is called."""
        return self.name or self.positions.value


@dataclass(frozen=True, slots=True)
class GraftCase:
    """A prompt with the subject's positions, and the answer, in tokens."""

    prompt: tuple[int, ...]
    subject: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def row(self) -> list[int]:
        """Prompt and answer."""
        return [*self.prompt, *self.answer]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Case by case. Of the answer's first token: probability, rank (0 the best), and how far its logit is above the
    best other token's; of the whole answer: log-probability."""

    scheme: Scheme
    probability: tuple[float, ...]
    rank: tuple[int, ...]
    margin: tuple[float, ...]
    log_probability: tuple[float, ...]

    @property
    def top5(self) -> list[bool]:
        """As the paper counts."""
        return [rank < _BEST for rank in self.rank]


MAIN = tuple(Scheme(positions) for positions in Positions)


def component_schemes(layers: int) -> list[Scheme]:
    """At FE and LT: O and FFN together and apart, attention, and O and FFN by quarters of the layers."""
    both, where = (Component.OUTPUT, Component.FFN), Positions.FE_LT
    found = [
        Scheme(where, both, name="o_ffn"),
        Scheme(where, (Component.OUTPUT,), name="o"),
        Scheme(where, (Component.FFN,), name="ffn"),
        Scheme(where, (Component.ATTENTION, *both), name="attention_o_ffn"),
        Scheme(where, (Component.ATTENTION,), name="attention"),
    ]
    bounds = [layers * quarter // 4 for quarter in range(5)]
    for quarter, (first, past) in enumerate(pairwise(bounds), 1):
        chosen = tuple(range(first, past))
        found += [
            Scheme(where, (component,), chosen, f"{component.value}_quarter{quarter}") for component in both
        ]
    return found


def grafting_cost(lab: Lab, cases: int, schemes: int) -> Passes:
    """Of `graft_all`: a pass of both models counts as one."""
    return Passes(forward=-(-cases // lab.rows) * schemes)


def graft_all(
    lab: Lab, tuned: ModelSpec, cases: Sequence[GraftCase], schemes: Sequence[Scheme] = MAIN
) -> list[Outcome]:
    """Each scheme over the cases; the lab's model is the one as it was."""
    return [outcome(lab, [(scheme, tuned)], cases) for scheme in schemes]


def hybrid(
    lab: Lab, task: ModelSpec, relation: ModelSpec, cases: Sequence[GraftCase], name: str = "hybrid"
) -> Outcome:
    """Two tunings in one: the task's at FE and LT, and over it at LT the relation's O and FFN in the upper half."""
    upper = tuple(range(lab.layers // 2, lab.layers))
    over = Scheme(Positions.LT, (Component.OUTPUT, Component.FFN), upper, name)
    return outcome(lab, [(Scheme(Positions.FE_LT), task), (over, relation)], cases)


def outcome(lab: Lab, grafts: Sequence[tuple[Scheme, ModelSpec]], cases: Sequence[GraftCase]) -> Outcome:
    """Grafts on top of each other; the last one names the outcome."""
    probability, rank, margin, log_probability = [], [], [], []
    for start in range(0, len(cases), lab.rows):
        part = cases[start : start + lab.rows]
        made = [
            Graft(donor, places(part, scheme.positions), scheme.components, scheme.layers)
            for scheme, donor in grafts
            if scheme.positions is not Positions.PRE
        ]
        with torch.no_grad(), grafted(lab.spec, made):
            logits = lab.run([case.row for case in part])
        for at, case in enumerate(part):
            last, first = logits[at, len(case.prompt) - 1].float(), case.answer[0]
            own = last[first]
            others = last.clone()
            others[first] = -torch.inf
            probability.append(float(last.softmax(-1)[first]))
            rank.append(int((last > own).sum()))
            margin.append(float(own - others.max()))
            log_probability.append(float(scored(logits[at], case.row, len(case.prompt)).sum()))
    return Outcome(grafts[-1][0], tuple(probability), tuple(rank), tuple(margin), tuple(log_probability))


def places(cases: Sequence[GraftCase], positions: Positions) -> Tensor:
    """[cases, longest]: where the fine-tuned weights are."""
    found = torch.zeros(len(cases), max(len(case.row) for case in cases), dtype=torch.bool)
    for at, case in enumerate(cases):
        last = len(case.prompt) - 1
        if last in case.subject:
            raise InvalidProbe("prompt", "ends with its subject: first entity and last token are the same")
        entity, end = (
            _marked(found.shape[1], case.subject),
            _marked(found.shape[1], range(last, len(case.row))),
        )
        found[at] = {
            Positions.PRE: torch.zeros_like(entity),
            Positions.SFT: torch.ones_like(entity),
            Positions.FE: entity,
            Positions.LT: end,
            Positions.FE_LT: entity | end,
            Positions.NOT_FE: ~entity,
            Positions.NOT_LT: ~end,
            Positions.COMPLEMENT: ~(entity | end),
        }[positions]
    return found


def _marked(length: int, chosen: Collection[int]) -> Tensor:
    found = torch.zeros(length, dtype=torch.bool)
    found[list(chosen)] = True
    return found
