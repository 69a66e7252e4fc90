"""Whole nodes through gates: what a node says passes as far as its gate is open, and its stand-in for the rest.

That is a circuit of all edges among some nodes, run as the plain model with a few sums beside it. A gate's slope is
what all the edges of its node are worth together, without the edges: choosing nodes so takes a fraction of the time.
Where a norm follows attention that is nearly so: what a closed head would say still counts in the norm's scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from circuits.discovery.graph import Graph
from circuits.discovery.scoring import Case, StandIns, metric, path
from circuits.discovery.wiring import by_head, norm_scale
from circuits.interventions import Change, Part, Site, captured, replaced
from circuits.lab import Lab, Passes
from engines.architectures import ModelSpec

_ROWS = 20  # cases at a time


def looking_cost(cases: int) -> Passes:
    """Of `look`."""
    batches = -(-cases // _ROWS)
    return Passes(forward=batches, backward=batches)


def look(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns, gates: Tensor
) -> tuple[float, Tensor]:
    """The answers' mean log-probability with the nodes [sources] open so far, and its slope by each of them, whether
    it is open or not."""
    value, slopes = 0.0, torch.zeros(graph.sources)
    for part in in_batches(cases, _ROWS):
        rows, weight = [case.row for case in part], len(part) / len(cases)
        stood = instead.over(len(rows), max(map(len, rows)))
        own = gates.to(lab.device, torch.float32).clone().requires_grad_()
        with torch.enable_grad(), gated(lab.spec, graph, own, None if stood is None else stood.to(own)):
            said = metric(lab.run(rows, gradients=True), part)
        slopes += weight * lab.gradients(said, [own])[0].cpu()
        value += weight * float(said.detach())
    return value, slopes


def nodes_worth(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns, alive: Tensor, steps: int
) -> Tensor:
    """[sources]: what each adds to the answers' log-probability on the way from everything's stand-in to what the
    nodes that are alive [sources] say; the others stay stood in for. As many looks as steps."""
    found = torch.zeros(graph.sources)
    for share, weight in path(steps, instead.how):
        found += weight * look(lab, graph, cases, instead, alive * share)[1]
    return found


def in_batches(cases: Sequence[Case], count: int) -> list[Sequence[Case]]:
    """By length: little padding."""
    ordered = sorted(cases, key=lambda case: len(case.row))
    return [ordered[start : start + count] for start in range(0, len(ordered), count)]


@contextmanager
def gated(spec: ModelSpec, graph: Graph, gates: Tensor, stand_ins: Tensor | None = None) -> Iterator[None]:
    """Within, each source's share is what passes. gates: [sources], 0..1. stand_ins: [sources, .., hidden], broadcast
    to [sources, B, T, hidden]; None: nothing stands in. Differentiable in the gates, which are of any type: what passes
    stays the model's."""

    def stood(start: int, count: int, away: Tensor) -> Tensor | float:
        if stand_ins is None:
            return 0.0
        told: Tensor = torch.tensordot(away, stand_ins[start : start + count].to(away), 1)
        return told

    def embedded(passing: Tensor) -> Tensor:
        own = gates[:1].to(passing)
        return own[0] * passing + stood(0, 1, 1 - own)

    with ExitStack() as stack:
        stack.enter_context(replaced(spec, [Change(Site(Part.RESIDUAL, 0), embedded)]))
        read = stack.enter_context(captured(spec, [Site(Part.HEADS, at) for at in range(graph.layers)]))
        changes = []
        for layer in range(graph.layers):
            first, mlp = graph.head(layer, 0), graph.mlp(layer)

            def attention(passing: Tensor, layer: int = layer, first: int = first) -> Tensor:
                away = 1 - gates[first : first + spec.heads].to(passing)
                wrote = by_head(spec, layer, read[Site(Part.HEADS, layer)])
                gone = torch.tensordot(away, wrote, 1)
                scale = norm_scale(spec, layer, wrote, passing)
                left: Tensor = passing - (gone if scale is None else gone * scale)
                return left + stood(first, spec.heads, away)

            def wide(passing: Tensor, mlp: int = mlp) -> Tensor:
                own = gates[mlp : mlp + 1].to(passing)
                return own[0] * passing + stood(mlp, 1, 1 - own)

            changes += [Change(Site(Part.ATTENTION, layer), attention), Change(Site(Part.MLP, layer), wide)]
        stack.enter_context(replaced(spec, changes))
        yield
