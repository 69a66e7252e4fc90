"""The studies that run as operations: what each is asked, what it takes, what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from circuits.heads import HeadReport, HeadThresholds, heads_cost, study_heads
from circuits.interventions import Head
from circuits.knockout import (
    Curve,
    Source,
    edge_knockout,
    edge_knockout_cost,
    sublayer_knockout,
    sublayer_knockout_cost,
)
from circuits.lab import Lab, Passes
from circuits.probe import Placed, Probe, answer_tokens, place
from circuits.reading import FactReading, read_facts, reading_cost
from circuits.recall import (
    Attributes,
    Extraction,
    Mapping,
    attribute_tokens,
    attributes_rate,
    extraction,
    gradient_times_input,
    head_mappings,
    look_at_prompt,
    recall_cost,
)
from circuits.settled import head_thresholds
from engines.contract import InjectedFact, Message
from kb_store.errors import InvalidInput
from kb_store.words import FUNCTION_WORDS

_HEADS = 8


class Analysis(Protocol):
    """One study. `check` refuses what cannot be studied, without a pass."""

    kind: ClassVar[str]

    def cost(self, lab: Lab) -> Passes:
        """What it takes, at most. Of what `check` does not refuse."""
        ...

    def check(self, lab: Lab) -> None:
        """Errors of `circuits`, or InvalidInput."""
        ...

    def run(self, lab: Lab) -> Any:
        """The result."""
        ...


@dataclass(frozen=True, slots=True)
class HeadsFound:
    """Of `HeadsAnalysis`."""

    reports: list[HeadReport]
    thresholds: HeadThresholds
    placed: Placed


@dataclass(frozen=True, slots=True)
class HeadsAnalysis:
    """What every head does for an answer."""

    kind: ClassVar[str] = "heads"
    probe: Probe
    digest: str
    direct_only: bool = False

    def cost(self, lab: Lab) -> Passes:
        """One look; and one row for each head."""
        return heads_cost(lab, not self.direct_only, _length(lab, self.probe))

    def check(self, lab: Lab) -> None:
        """See Analysis."""
        _check(lab, self.probe)

    def run(self, lab: Lab) -> HeadsFound:
        """See Analysis."""
        known = head_thresholds(self.digest)
        reports, thresholds = study_heads(lab, self.probe, known, deltas=not self.direct_only)
        return HeadsFound(reports, thresholds, _placed(lab, self.probe))


@dataclass(frozen=True, slots=True)
class KnockoutFound:
    """Of `KnockoutAnalysis`."""

    edges: list[Curve]
    sublayers: list[Curve]
    placed: Placed


@dataclass(frozen=True, slots=True)
class KnockoutAnalysis:
    """Edges and sub-layers knocked out in windows of layers."""

    kind: ClassVar[str] = "knockout"
    probe: Probe
    window: int

    def cost(self, lab: Lab) -> Passes:
        """One row for each source and layer, and for each sub-layer."""
        length = _length(lab, self.probe)
        return edge_knockout_cost(lab, len(Source), length) + sublayer_knockout_cost(lab, length)

    def check(self, lab: Lab) -> None:
        """See Analysis."""
        _check(lab, self.probe)

    def run(self, lab: Lab) -> KnockoutFound:
        """See Analysis."""
        placed = _placed(lab, self.probe)
        tokens = answer_tokens(lab, self.probe.prompt, self.probe.object, "probe.object")
        edges = edge_knockout(lab, placed, tokens, window=self.window)
        return KnockoutFound(edges, sublayer_knockout(lab, placed, tokens, self.window), placed)


@dataclass(frozen=True, slots=True)
class RecallFound:
    """Of `RecallAnalysis`."""

    attributes: Attributes
    extraction: Extraction
    mappings: list[Mapping]
    gradient_input: Tensor
    placed: Placed


@dataclass(frozen=True, slots=True)
class RecallAnalysis:
    """How the attribute is recalled."""

    kind: ClassVar[str] = "recall"
    probe: Probe
    attributes: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()

    def cost(self, lab: Lab) -> Passes:
        """A look, and a pass with its way back."""
        return recall_cost()

    def check(self, lab: Lab) -> None:
        """See Analysis."""
        _check(lab, self.probe)
        if not attribute_tokens(lab, self._attributes, FUNCTION_WORDS):
            raise InvalidInput("attributes", "none of them has a word of three letters")
        for at, head in enumerate(self.heads):
            if not (0 <= head.layer < lab.layers and 0 <= head.head < lab.spec.heads):
                raise InvalidInput(
                    f"heads[{at}]", f"the model has {lab.layers} layers of {lab.spec.heads} heads"
                )

    def run(self, lab: Lab) -> RecallFound:
        """See Analysis."""
        placed = _placed(lab, self.probe)
        tokens = answer_tokens(lab, self.probe.prompt, self.probe.object, "probe.object")
        seen = look_at_prompt(lab, placed)
        wanted = attribute_tokens(lab, self._attributes, FUNCTION_WORDS)
        says = seen.direct(seen.through(0, placed.subject), 0, [tokens[0]])[..., 0]
        best = says.flatten().topk(min(_HEADS, says.numel())).indices.tolist()
        heads = self.heads or tuple(Head(*divmod(at, lab.spec.heads)) for at in best)
        return RecallFound(
            attributes_rate(lab, seen, placed, wanted, FUNCTION_WORDS),
            extraction(seen, tokens[0]),
            head_mappings(lab, seen, placed, heads),
            gradient_times_input(lab, placed, tokens),
            placed,
        )

    @property
    def _attributes(self) -> tuple[str, ...]:
        return self.attributes or (self.probe.object,)


@dataclass(frozen=True, slots=True)
class FactsAnalysis:
    """Which layers, heads and tokens read injected facts."""

    kind: ClassVar[str] = "facts"
    prompt: str | tuple[Message, ...]
    subject: str
    answer: str
    facts: Sequence[InjectedFact] = ()

    def cost(self, lab: Lab) -> Passes:
        """One pass for each layer and head that reads facts, each fact and each token."""
        return reading_cost(lab, self.facts)

    def check(self, lab: Lab) -> None:
        """See Analysis."""
        place(lab, self.prompt, self.subject)
        answer_tokens(lab, self.prompt, self.answer)

    def run(self, lab: Lab) -> FactReading:
        """See Analysis."""
        placed = place(lab, self.prompt, self.subject)
        return read_facts(lab, placed, answer_tokens(lab, self.prompt, self.answer), self.facts)


def _placed(lab: Lab, probe: Probe) -> Placed:
    return place(lab, probe.prompt, probe.subject, probe.relation)


def _length(lab: Lab, probe: Probe) -> int:
    """In tokens, with its answer."""
    return len(lab.prompts.encode(probe.prompt)) + len(answer_tokens(lab, probe.prompt, probe.object))


def _check(lab: Lab, probe: Probe) -> None:
    _placed(lab, probe)
    answer_tokens(lab, probe.prompt, probe.object, "object")
    for at, text in enumerate(probe.alternatives):
        answer_tokens(lab, probe.prompt, text, f"alternatives[{at}]")
