"""HeadMap's search (Algorithm 1): layer by layer, the heads whose silence costs a task most, given those before.

A head is silenced by zeroing what it read, before the output projection, at every position. The loss is that of the
answers alone, as each case's mean over its tokens. Variants of a layer share passes.
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
from circuits.interventions import Change, Part, Site, replaced
from circuits.lab import Lab, Passes, scored

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


def locating_cost(lab: Lab, cases: int, layers: int | None = None) -> Passes:
    """Of `locate_heads`."""
    chosen = lab.layers if layers is None else layers
    return Passes(forward=-(-cases // lab.rows) + chosen * -(-cases * lab.spec.heads // lab.rows))


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
    plain = [float(loss) for loss in _losses(lab, [(case, None) for case in cases], {}, 0)]
    losses = torch.full((lab.layers, lab.spec.heads), torch.nan)
    found: dict[int, tuple[int, ...]] = dict(before or {})
    for layer in chosen:
        variants = [(case, head) for head in range(lab.spec.heads) for case in cases]
        each = torch.stack(list(_losses(lab, variants, found if conditioned else {}, layer)))
        losses[layer] = each.view(lab.spec.heads, len(cases)).mean(1)
        found[layer] = tuple(sorted(losses[layer].topk(per_layer).indices.tolist()))
    return HeadMap(found, losses, sum(plain) / len(plain), conditioned)


def random_heads(lab: Lab, located: Located, draw: random.Random) -> Located:
    """As many of each layer: the other control."""
    return {
        layer: tuple(sorted(draw.sample(range(lab.spec.heads), len(each)))) for layer, each in located.items()
    }


def easiest(lab: Lab, cases: Sequence[Case], count: int) -> list[Case]:
    """Those that the model answers with the lowest loss: what the search is made with."""
    losses = [float(loss) for loss in _losses(lab, [(case, None) for case in cases], {}, 0)]
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
    for start in range(0, len(cases), lab.rows):
        part = cases[start : start + lab.rows]
        with silenced(lab, heads):
            logits = lab.run([case.row for case in part])
        for at, case in enumerate(part):
            first = len(case.prompt)
            losses.append(-float(scored(logits[at], case.row, first).mean()))
            said = logits[at, first - 1 : len(case.row) - 1].argmax(-1).tolist()
            right += said == list(case.answer)
    return Silenced(sum(losses) / len(losses), right / len(cases))


def _losses(
    lab: Lab, variants: Sequence[tuple[Case, int | None]], before: Located, layer: int
) -> Iterator[Tensor]:
    """One by one: each case with its head of the layer silent too."""
    earlier = [_silent(lab, other, _mask(lab, heads)) for other, heads in before.items()]
    for start in range(0, len(variants), lab.rows):
        part = variants[start : start + lab.rows]
        own = torch.stack([_mask(lab, () if head is None else (head,)) for _, head in part])
        with replaced(lab.spec, [*earlier, _silent(lab, layer, own[:, None])]):
            logits = lab.run([case.row for case, _ in part])
        for at, (case, _) in enumerate(part):
            yield -scored(logits[at], case.row, len(case.prompt)).mean().cpu()


def _silent(lab: Lab, layer: int, where: Tensor) -> Change:
    return Change(Site(Part.HEADS, layer), torch.zeros((), device=lab.device), where)


def _mask(lab: Lab, heads: Collection[int]) -> Tensor:
    found = torch.zeros(lab.spec.heads, dtype=torch.bool)
    found[list(heads)] = True
    return found
