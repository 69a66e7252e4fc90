"""Heads and sub-layers without their say."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.errors import InvalidIntervention
from circuits.interventions.replacing import Change, captured, replaced
from circuits.interventions.sites import Head, Node, Part, Site
from engines.architectures import ModelSpec


class Ablation(enum.Enum):
    """What stands in for what an ablated node says. Every result says which was used."""

    ZERO = "zero"  # nothing: the papers' default
    MEAN = "mean"  # what it says on average over other prompts
    RESAMPLE = "resample"  # what it says at a random position of other prompts


@dataclass(frozen=True, slots=True)
class Reference:
    """What nodes say in other prompts: site -> [samples, ...], sample i of all sites from the same position."""

    samples: Mapping[Site, Tensor]
    seed: int = 0

    def mean(self, site: Site) -> Tensor:
        """Over the samples."""
        return self._of(site).mean(0)

    def drawn(self, site: Site, rows: int, positions: int) -> Tensor:
        """One sample for each row and position, the same one at every site."""
        samples = self._of(site)
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randint(len(samples), (rows, positions), generator=generator)
        return samples[chosen.to(samples.device)]

    def _of(self, site: Site) -> Tensor:
        if site not in self.samples:
            raise InvalidIntervention(f"the reference has nothing of {site}")
        return self.samples[site]


def gather_reference(
    spec: ModelSpec,
    sites: Collection[Site],
    forwards: Iterable[Callable[[], Tensor]],
    seed: int = 0,
) -> Reference:
    """From other prompts: each callable runs a forward and returns its attention mask [B, T]; padding is left out."""
    found: dict[Site, list[Tensor]] = defaultdict(list)
    with captured(spec, sites) as seen:
        for forward in forwards:
            kept = forward().bool()
            for site in sites:
                found[site].append(seen[site].detach()[kept])
    return Reference({site: torch.cat(parts) for site, parts in found.items()}, seed)


@contextmanager
def ablated(
    spec: ModelSpec,
    nodes: Iterable[Node],
    how: Ablation = Ablation.ZERO,
    reference: Reference | None = None,
    where: Tensor | None = None,
) -> Iterator[None]:
    """Within, these nodes say nothing of their own.

    A head: what it read, before the output projection, whose bias stays (it belongs to no head). A sub-layer: all
    that it adds, its biases included; so zero is really zero. `where`: only at these rows and positions, a boolean
    broadcast to [B, T]. Mean and resample need a reference.
    """
    if how is not Ablation.ZERO and reference is None:
        raise InvalidIntervention(f"{how.value} ablation needs a reference")
    heads: dict[int, set[int]] = defaultdict(set)
    changes: list[Change] = []
    for node in nodes:
        if isinstance(node, Head):
            if not 0 <= node.head < spec.heads:
                raise InvalidIntervention(f"{node}: the model has heads 0 to {spec.heads - 1}")
            heads[node.layer].add(node.head)
        elif node.part is Part.HEADS:
            heads[node.layer].update(range(spec.heads))
        else:
            changes.append(Change(node, _stand_in(node, how, reference), where))
    for layer, chosen in heads.items():
        mask = torch.zeros(spec.heads, dtype=torch.bool)
        mask[sorted(chosen)] = True
        site = Site(Part.HEADS, layer)
        there = mask if where is None else where.cpu()[..., None] & mask
        changes.append(Change(site, _stand_in(site, how, reference), there))
    with replaced(spec, changes):
        yield


def _stand_in(site: Site, how: Ablation, reference: Reference | None) -> Callable[[Tensor], Tensor]:
    def made(passing: Tensor) -> Tensor:
        if how is Ablation.ZERO or reference is None:
            return torch.zeros_like(passing)
        if how is Ablation.MEAN:
            return reference.mean(site).to(passing).expand_as(passing)
        return reference.drawn(site, *passing.shape[:2]).to(passing)

    return made
