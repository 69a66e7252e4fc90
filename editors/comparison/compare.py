"""The comparison: every contender edits every case alone; what it says, what is inside, what it spills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol

import torch

from editors.comparison.contenders import Contender, EditedState, Unedited
from editors.comparison.inside import Inside, look_inside, median_ranks
from editors.metrics.accuracy import forced_accuracy, generated_accuracy, neighbour_pairs
from editors.metrics.counterfact import CaseScore, EditCase, score_cases, summary
from editors.metrics.fluency import fluency
from editors.metrics.portability import Hop, portability
from editors.metrics.speaking import Forced
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from engines.models import Progress

# Beginnings that have nothing to do with any edit: where a new object turns up there, the edit has spilled over.
UNRELATED = (
    "The weather this morning was",
    "My favourite food is",
    "The company was founded by",
    "In the museum we saw a painting of",
    "She moved last year to",
    "The most important language for trade is",
    "He plays for the local team as a",
    "The river flows through",
)
_FLUENCY_TOKENS, _LOCALITY_TOKENS = 40, 8
_HEADS = 8  # heads that are listed: those that changed most


class Needed(Protocol):
    """Finds what of the model, as it now is, says an object behind a request's prompt."""

    def __call__(self, request: EditRequest, said: str) -> tuple[frozenset[int], frozenset[int]]:
        """Nodes and edges, by numbers that mean the same in every state of the model."""
        ...


@dataclass
class Observed:
    """What was seen of one contender, case by case."""

    scores: list[CaseScore] = field(default_factory=list)
    rates: list[dict[str, float | None]] = field(default_factory=list)
    inside: list[Inside] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    spill: list[float] = field(default_factory=list)  # log-probability of the new object on unrelated prompts
    # Shares of the unedited model's nodes and edges that are still needed.
    kept: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Plain values: `methods` as interleaf.v1.MethodComparison has them, the unedited model first."""

    methods: list[dict[str, Any]]
    cases: int


def compare(
    editable: EditableModel,
    contenders: Sequence[Contender],
    cases: Sequence[EditCase],
    progress: Progress,
    hops: Mapping[int, Sequence[Hop]] | None = None,
    needed: Needed | None = None,
) -> Comparison:
    """`hops`: by the number of the case, what follows from it. `needed`: also compares the circuits of methods that
    write weights with the unedited model's; it takes by far the longest. The model is as it was at the end."""
    plain = Unedited(editable)
    everybody: list[Contender] = [plain, *contenders]
    seen = {contender.name: Observed() for contender in everybody}
    for at, case in enumerate(cases):
        before: _Before | None = None
        whole = needed(case.request, case.true) if needed else None
        for turn, contender in enumerate(everybody):
            progress("comparing", (at + turn / len(everybody)) / len(cases))
            with contender.edited(case) as state:
                before = before or _Before.of(state, case)
                mine = seen[contender.name]
                _observe(editable, state, case, before, mine, (hops or {}).get(at, ()))
                if needed and whole and contender.writes:
                    mine.kept.append(_overlap(whole, needed(case.request, case.request.target)))
    original = seen[plain.name]
    return Comparison(
        [_summary(editable, contender, seen[contender.name], original) for contender in everybody],
        len(cases),
    )


def _overlap(
    before: tuple[frozenset[int], frozenset[int]], after: tuple[frozenset[int], frozenset[int]]
) -> tuple[float, float]:
    """The share of the nodes, and of the edges, from before that are among those from after."""
    nodes, edges = (len(then & now) / max(1, len(then)) for then, now in zip(before, after, strict=True))
    return nodes, edges


@dataclass(frozen=True, slots=True)
class _Before:
    """The unedited model, to which locality compares."""

    forced: list[Forced]
    texts: list[str]

    @classmethod
    def of(cls, state: EditedState, case: EditCase) -> _Before:
        pairs = neighbour_pairs([case])
        return cls(
            state.speaker.forced(pairs),
            state.speaker.generate([prompt for prompt, _ in pairs], _LOCALITY_TOKENS),
        )


def _observe(
    editable: EditableModel,
    state: EditedState,
    case: EditCase,
    before: _Before,
    into: Observed,
    hops: Sequence[Hop],
) -> None:
    speaker, request = state.speaker, case.request
    into.seconds.append(state.seconds)
    into.scores += score_cases(speaker, [case])
    forced = forced_accuracy(speaker, [case], before.forced)
    free = generated_accuracy(speaker, [case], before.texts, _LOCALITY_TOKENS)
    into.rates.append(
        {
            "reliability": forced.reliability,
            "generality": forced.generality,
            "locality": forced.locality,
            "reliability_free": free.reliability,
            "generality_free": free.generality,
            "locality_free": free.locality,
            "portability": portability(speaker, hops),
        }
    )
    into.said += speaker.generate([request.prompt], _FLUENCY_TOKENS)
    into.spill.append(
        fmean(each.mean for each in speaker.forced([(prompt, request.target) for prompt in UNRELATED]))
    )
    last = len(editable.prompts.encode(request.prompt)) - 1
    into.inside.append(
        look_inside(editable, request, case.true, lambda: state.view([request.prompt], [last]))
    )


def _summary(
    editable: EditableModel, contender: Contender, seen: Observed, original: Observed
) -> dict[str, Any]:
    ranks = median_ranks(seen.inside)
    probabilities = torch.stack([each.probabilities for each in seen.inside]).mean(0)
    readings = [
        {
            "layer": layer,
            "rank_last": float(ranks[layer, 0]),
            "rank_subject": float(ranks[layer, 1]),
            "probability_last": float(probabilities[layer, 0]),
            "probability_subject": float(probabilities[layer, 1]),
        }
        for layer in range(len(ranks))
    ]
    return {
        "method": contender.name,
        "layers": list(contender.layers),
        "figures": _figures(contender, seen, original),
        "readings": readings,
        "heads": _heads(editable, seen, original) if contender.layers else [],
        "said": seen.said[0].strip(),
    }


def _figures(contender: Contender, seen: Observed, original: Observed) -> dict[str, float | None]:
    figures: dict[str, float | None] = dict(summary(seen.scores))
    for name in seen.rates[0]:
        known = [rates[name] for rates in seen.rates]
        values = [value for value in known if value is not None]
        figures[name] = fmean(values) if values else None
    figures["fluency"] = fluency(seen.said)
    figures["seconds"] = fmean(seen.seconds)
    figures["spill"] = fmean(now - then for now, then in zip(seen.spill, original.spill, strict=True))
    if seen.kept:
        figures["circuit_nodes_kept"] = fmean(nodes for nodes, _ in seen.kept)
        figures["circuit_edges_kept"] = fmean(edges for _, edges in seen.kept)
    if contender.layers:
        figures |= _where(contender, seen, original)
    return figures


def _where(contender: Contender, seen: Observed, original: Observed) -> dict[str, float | None]:
    """Where the new object comes up: its peak layer, the fall of its rank at the edited layer, who says it."""
    peaks = [peak(each) for each in seen.inside]
    heads = [
        float((now.heads - then.heads).clamp_min(0).sum())
        for now, then in zip(seen.inside, original.inside, strict=True)
    ]
    found: dict[str, float | None] = {"peak_layer": fmean(peaks), "head_contribution": fmean(heads)}
    if not contender.writes:
        return found
    last = contender.layers[-1]
    mlps = [_over(contender.layers, each.mlps) for each in seen.inside]
    plain = [_over(contender.layers, each.mlps) for each in original.inside]
    return found | {
        "peak_after_edit": fmean(peaks) - last,
        "jump_at_edit": fmean(jump(each, last) for each in seen.inside),
        "mlp_contribution": fmean(now - then for now, then in zip(mlps, plain, strict=True)),
    }


def peak(seen: Inside) -> int:
    """The layer after which the new object's rank at the last token falls most, in octaves."""
    octaves = seen.ranks[:, 0].double().log2()
    return int((octaves[:-1] - octaves[1:]).argmax()) + 1


def jump(seen: Inside, layer: int) -> float:
    """By how many octaves the new object's rank at the last token falls in this layer; 0 in the first one."""
    octaves = seen.ranks[:, 0].double().log2()
    return float(octaves[layer - 1] - octaves[layer]) if layer else 0.0


def _over(layers: Sequence[int], contributions: torch.Tensor) -> float:
    return float(contributions[list(layers)].sum())


def _heads(editable: EditableModel, seen: Observed, original: Observed) -> list[dict[str, Any]]:
    now = torch.stack([each.heads for each in seen.inside]).mean(0)
    then = torch.stack([each.heads for each in original.inside]).mean(0)
    changed = (now - then).abs().flatten().topk(min(_HEADS, now.numel())).indices.tolist()
    width = now.shape[1]
    found = []
    for at in changed:
        layer, head = divmod(at, width)
        found.append(
            {
                "layer": layer,
                "head": head,
                "before": float(then[layer, head]),
                "after": float(now[layer, head]),
                "tokens_before": list(original.inside[0].top_tokens(editable, layer, head)),
                "tokens_after": list(seen.inside[0].top_tokens(editable, layer, head)),
            }
        )
    return found
