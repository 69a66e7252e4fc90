"""HeadMap's search (Algorithm 1): layer by layer, the heads whose silence costs a task most, given those before.

A head is silenced by zeroing what it read, before the output projection, at every position. The loss is that of the
answers alone, as each case's mean over its tokens. Variants of a layer share passes, and begin at that layer: what
comes before is the same for all of them.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.discovery.scoring import Case
from circuits.errors import InvalidIntervention
from circuits.interventions import Change, Part, Site, bypassed, captured, replaced
from circuits.lab import Lab, Passes, batches, scored

Located = Mapping[int, tuple[int, ...]]  # layer -> heads, in order


@dataclass(frozen=True)
class HeadMap:
    """heads: the chosen ones. losses: [L, H], the mean loss with each head silent, on top of the chosen ones of
    earlier layers where the search was conditioned; nan in layers that were not searched. plain: without any."""

    heads: Located
    losses: Tensor
    plain: float
    conditioned: bool


@dataclass(frozen=True, slots=True)
class Silenced:
    """How the model answers with heads silent. right: share of answers of which every token is the first choice."""

    loss: float
    right: float


def locating_cost(lab: Lab, cases: int, layers: int | None = None, longest: int = 0) -> Passes:
    """Of `locate_heads`, where no case has more tokens."""
    chosen, rows = lab.layers if layers is None else layers, lab.rows_for(longest)
    once = -(-cases // rows)
    return Passes(forward=once + chosen * (once - (-cases * lab.spec.heads // rows)))


def longest_of(cases: Sequence[Case]) -> int:
    """The tokens of the longest row."""
    return max((len(case.row) for case in cases), default=0)


def locate_heads(
    lab: Lab,
    cases: Sequence[Case],
    per_layer: int,
    *,
    layers: Collection[int] | None = None,
    conditioned: bool = True,
    before: Located | None = None,
) -> HeadMap:
    """`conditioned`: each layer is searched with the heads found so far silent, as the algorithm says; else each by
    itself, which is the control. `before`: heads of earlier layers that were found already: a search that goes on."""
    if not 0 < per_layer <= lab.spec.heads:
        raise InvalidIntervention(f"{per_layer} heads of a layer: the model has {lab.spec.heads} in each")
    chosen = range(lab.layers) if layers is None else sorted(set(layers))
    plain = _plain(lab, cases)
    losses = torch.full((lab.layers, lab.spec.heads), torch.nan)
    found: dict[int, tuple[int, ...]] = dict(before or {})
    at, states = 0, None
    for layer in chosen:
        states = _advanced(lab, cases, states, range(at, layer), found if conditioned else {})
        at = layer
        # A case's heads beside each other, so that little is padded.
        variants = [
            (case, state, head)
            for case, state in zip(cases, states, strict=True)
            for head in range(lab.spec.heads)
        ]
        each = torch.tensor(list(_losses(lab, variants, layer)))
        losses[layer] = each.view(len(cases), lab.spec.heads).mean(0)
        found[layer] = tuple(sorted(losses[layer].topk(per_layer).indices.tolist()))
    return HeadMap(found, losses, sum(plain) / len(plain), conditioned)


def random_heads(lab: Lab, located: Located, draw: random.Random) -> Located:
    """As many of each layer: the other control."""
    return {
        layer: tuple(sorted(draw.sample(range(lab.spec.heads), len(each)))) for layer, each in located.items()
    }


def easiest(lab: Lab, cases: Sequence[Case], count: int) -> list[Case]:
    """Those that the model answers with the lowest loss: what the search is made with."""
    losses = _plain(lab, cases)
    order = sorted(range(len(cases)), key=losses.__getitem__)
    return [cases[at] for at in order[:count]]


@contextmanager
def silenced(lab: Lab, heads: Located) -> Iterator[None]:
    """Within, these heads are silent: what the located heads are judged by."""
    with replaced(lab.spec, [_silent(lab, layer, _mask(lab, each)) for layer, each in heads.items()]):
        yield


def judge_silenced(lab: Lab, cases: Sequence[Case], heads: Located) -> Silenced:
    """On cases that the heads were not found with, if it is to mean anything."""
    losses, right = [], 0
    for part in batches(cases, lab.rows_for(longest_of(cases))):
        since = min(len(case.prompt) for case in part) - 1
        with silenced(lab, heads):
            logits = lab.run([case.row for case in part], since=since)
        for at, case in enumerate(part):
            first, row = len(case.prompt) - since, case.row[since:]
            losses.append(-float(scored(logits[at], row, first).mean()))
            said = logits[at, first - 1 : len(row) - 1].argmax(-1).tolist()
            right += said == list(case.answer)
    return Silenced(sum(losses) / len(losses), right / len(cases))


def _plain(lab: Lab, cases: Sequence[Case]) -> list[float]:
    """The loss of each case with no head silent."""
    parts = batches(cases, lab.rows_for(longest_of(cases)))
    return [loss for part in parts for loss in _run(lab, part)]


def _advanced(
    lab: Lab, cases: Sequence[Case], states: Sequence[Tensor] | None, span: range, silent: Located
) -> list[Tensor]:
    """What the layer behind the span reads of each case, [length, hidden]. states: what its first one reads; None:
    what the embedding says."""
    out, found = Site(Part.RESIDUAL, lab.layers), []
    heads = [_silent(lab, layer, _mask(lab, silent[layer])) for layer in span if layer in silent]
    others = [layer for layer in range(lab.layers) if layer not in span]
    rows = lab.rows_for(longest_of(cases))
    for start in range(0, len(cases), rows):
        part = cases[start : start + rows]
        begin = [] if states is None else [_begun(span.start, states[start : start + rows])]
        with (
            bypassed(lab.spec, others),
            replaced(lab.spec, [*begin, *heads]),
            captured(lab.spec, [out]) as seen,
        ):
            lab.run([case.row for case in part], since=min(len(case.row) for case in part) - 1)
        found += [seen[out][at, : len(case.row)].clone() for at, case in enumerate(part)]
    return found


def _losses(lab: Lab, variants: Sequence[tuple[Case, Tensor, int]], layer: int) -> Iterator[float]:
    """One by one: each case, from what this layer reads of it, with its head silent."""
    rows = lab.rows_for(longest_of([case for case, _, _ in variants]))
    for part in batches(variants, rows):
        own = torch.stack([_mask(lab, (head,)) for _, _, head in part])
        changes = [_begun(layer, [state for _, state, _ in part]), _silent(lab, layer, own[:, None])]
        with bypassed(lab.spec, range(layer)), replaced(lab.spec, changes):
            yield from _run(lab, [case for case, _, _ in part])


def _run(lab: Lab, cases: Sequence[Case]) -> list[float]:
    """The loss of each, in one pass."""
    said = lab.said([case.row for case in cases], [len(case.prompt) for case in cases])
    return [-float(each.mean()) for each in said]


def _begun(layer: int, states: Sequence[Tensor]) -> Change:
    """Of rows of different lengths, padded on the right as the lab pads them."""
    return Change(Site(Part.RESIDUAL, layer), torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True))


def _silent(lab: Lab, layer: int, where: Tensor) -> Change:
    return Change(Site(Part.HEADS, layer), torch.zeros((), device=lab.device), where)


def _mask(lab: Lab, heads: Collection[int]) -> Tensor:
    found = torch.zeros(lab.spec.heads, dtype=torch.bool)
    found[list(heads)] = True
    return found
