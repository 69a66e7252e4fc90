"""A choice of nodes made better: some go, as many others come, and what serves the answers better stays.

What a node is worth by its slope holds near the choice that it was measured at; most of what a choice lacks shows only
when something else is there. So every proposal is tried, and taken only if the answers are likelier with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuits.discovery.gates import look
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import Case, StandIns
from circuits.lab import Lab

_MOST = 8  # nodes that are exchanged together


def exchanged(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns, alive: Tensor, looks: int
) -> Tensor:
    """As many nodes [sources], the embedding among them. Proposals are of two kinds, by turns when one gets nowhere:
    the nodes that promise most for those that seem to matter least, at once; or first the former come, and then it
    is seen what matters least beside them."""
    most = min(_MOST, int(alive.sum()) - 1)  # as many come as can go
    if looks == 0 or most == 0:
        return alive
    value, slopes = look(lab, graph, cases, instead, alive)
    size, in_two = most, False
    avoided: set[int] = set()
    wider, there = None, slopes
    for _ in range(looks - 1):
        coming = _best(slopes, ~alive, size, avoided)
        if in_two and wider is None:
            wider = _with(alive, coming)
            _, there = look(lab, graph, cases, instead, wider)
            continue
        if wider is None:
            trial = _with(_without(alive, slopes, len(coming)), coming)
        else:
            trial, wider = _without(wider, there, len(coming)), None
        found, there = look(lab, graph, cases, instead, trial)
        if found > value:
            alive, value, slopes, size = trial, found, there, min(most, 2 * size)
            avoided.clear()
        elif size > 1:
            size //= 2
        else:
            avoided.update(coming.tolist())
            in_two, size = not in_two, max(1, most // 2)
    return alive


def _best(slopes: Tensor, among: Tensor, count: int, avoided: set[int]) -> Tensor:
    free = among.clone()
    free[list(avoided)] = False
    return slopes.masked_fill(~free, -torch.inf).topk(min(count, int(free.sum()))).indices


def _with(nodes: Tensor, coming: Tensor) -> Tensor:
    found = nodes.clone()
    found[coming] = True
    return found


def _without(nodes: Tensor, slopes: Tensor, count: int) -> Tensor:
    """Less those that seem to matter least."""
    there = nodes.clone()
    there[0] = False  # the embedding is no matter of choice
    worst = slopes.masked_fill(~there, torch.inf).topk(min(count, int(there.sum())), largest=False).indices
    found = nodes.clone()
    found[worst] = False
    return found
