"""Which heads come in when a fact is told: in the prompt, as injected key/value tokens, or not at all.

A head belongs to an answer when the answer's log-probability falls without it (zero ablation, at every position) by
at least a threshold. Compared are the same question and answer in three conditions, so that what differs is where
the fact is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.discovery.scoring import Case
from circuits.errors import InvalidProbe
from circuits.interventions import Change, Head, Part, Site, replaced
from circuits.lab import Lab, Passes, batches
from engines.contract import InjectedFact


class Told(enum.Enum):
    """Where the fact stands."""

    NOWHERE = "nowhere"
    PROMPT = "prompt"
    TOKENS = "tokens"  # injected


@dataclass(frozen=True, slots=True)
class TellingCase:
    """A question by itself and behind the fact as text, the fact as tokens, and the answer that the fact gives."""

    plain: tuple[int, ...]
    told: tuple[int, ...]
    answer: tuple[int, ...]
    facts: tuple[InjectedFact, ...] = ()

    @property
    def longest(self) -> int:
        """The tokens of the longer of both, with the answer."""
        return max(len(self.plain), len(self.told)) + len(self.answer)


@dataclass(frozen=True)
class Emergence:
    """Mean over the cases, by condition. worth: [L, H], how much of the answer's log-probability goes without each
    head. log_probability: with all heads."""

    worth: Mapping[Told, Tensor]
    log_probability: Mapping[Told, float]
    threshold: float

    def heads(self, told: Told) -> list[Head]:
        """Those that belong to the answer, the dearest first."""
        return self._chosen(self.worth[told], self.worth[told] >= self.threshold)

    def entering(self, told: Told) -> list[Head]:
        """Those of them that do not belong to it where the fact is told nowhere."""
        known = self.worth[Told.NOWHERE] >= self.threshold
        return self._chosen(self.worth[told], (self.worth[told] >= self.threshold) & ~known)

    def shared(self) -> list[Head]:
        """Those that come in both ways: what reading a prompt and reading injected facts have in common."""
        in_tokens = set(self.entering(Told.TOKENS)) if Told.TOKENS in self.worth else set()
        return [head for head in self.entering(Told.PROMPT) if head in in_tokens]

    @staticmethod
    def _chosen(worth: Tensor, mask: Tensor) -> list[Head]:
        found = [Head(int(layer), int(head)) for layer, head in mask.nonzero()]
        return sorted(found, key=lambda head: -float(worth[head.layer, head.head]))


def emergence_cost(lab: Lab, cases: int, with_tokens: bool, longest: int = 0) -> Passes:
    """Of `emergence`, for cases of so many tokens, the fact's text and the answer among them."""
    heads = lab.layers * lab.spec.heads
    return Passes(forward=cases * (3 if with_tokens else 2) * (1 + -(-heads // lab.rows_for(longest))))


def emergence(lab: Lab, cases: Sequence[TellingCase], threshold: float = 0.1) -> Emergence:
    """`TOKENS` is there when every case brings facts and the model has an encoder."""
    if not cases:
        raise InvalidProbe("cases", "there are none")
    ways = [Told.NOWHERE, Told.PROMPT]
    if lab.adapter is not None and all(case.facts for case in cases):
        ways.append(Told.TOKENS)
    worth, said = {}, {}
    for told in ways:
        found = [
            _worth(
                lab,
                Case(case.told if told is Told.PROMPT else case.plain, case.answer),
                case.facts if told is Told.TOKENS else (),
            )
            for case in cases
        ]
        worth[told] = torch.stack([each for each, _ in found]).mean(0)
        said[told] = sum(whole for _, whole in found) / len(found)
    return Emergence(worth, said, threshold)


def _worth(lab: Lab, case: Case, facts: Sequence[InjectedFact]) -> tuple[Tensor, float]:
    heads = [(layer, head) for layer in range(lab.layers) for head in range(lab.spec.heads)]
    since = len(case.prompt) - 1
    with lab.injected(1, facts, since=since):
        whole = float(lab.said([case.row], [len(case.prompt)])[0].sum())
    found = torch.zeros(lab.layers, lab.spec.heads)
    for part in batches(heads, lab.rows_for(len(case.row))):
        masks = {layer: torch.zeros(len(part), 1, lab.spec.heads, dtype=torch.bool) for layer, _ in part}
        for at, (layer, head) in enumerate(part):
            masks[layer][at, 0, head] = True
        nothing = torch.zeros((), device=lab.device)
        changes = [Change(Site(Part.HEADS, layer), nothing, mask) for layer, mask in masks.items()]
        with lab.injected(len(part), facts, since=since), replaced(lab.spec, changes):
            said = lab.said([case.row] * len(part), [len(case.prompt)] * len(part))
        for (layer, head), each in zip(part, said, strict=True):
            found[layer, head] = whole - float(each.sum())
    return found, whole
