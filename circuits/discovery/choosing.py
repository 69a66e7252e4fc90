"""From scores to a circuit: by rounds what is worth least goes, and the rest is looked at anew, because what a node is
worth depends on what else is left; then nodes are exchanged for better ones, and the edges among them scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.discovery.circuit import Circuit, among, pruned
from circuits.discovery.exchange import exchanged
from circuits.discovery.gates import in_batches, looking_cost, nodes_worth
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import ZERO, Case, Method, StandIns, score_edges, scoring_cost
from circuits.lab import Lab, Passes

# Edge by edge a pass holds hundreds of times what a plain one does: few at a time take no longer, and less memory.
_CASES = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """What a circuit may have, and how it is found. Shares count the whole graph's nodes and edges."""

    nodes: float = 0.1
    edges: float = 1.0
    rounds: int = 3  # from all nodes to the budget, by the same factor each
    steps: int = 3  # of a score
    exchanges: int = 30  # looks at choices of as many nodes that may be better
    method: Method = Method.IG_EDGES  # how the edges of the nodes that were chosen are scored


def discovery_cost(cases: int, budget: Budget = Budget()) -> Passes:
    """Of `discover`."""
    nodes = looking_cost(cases).times(budget.rounds * budget.steps + budget.exchanges)
    return nodes + scoring_cost(budget.method, budget.steps).times(-(-cases // _CASES))


def discover(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns = ZERO, budget: Budget = Budget()
) -> Circuit:
    """The nodes that the answers need most, with the edges among them that speak for the answers."""
    *_, last = narrowed(lab, graph, cases, instead, budget)
    return joined(lab, graph, cases, instead, budget, last)


def narrowed(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns = ZERO, budget: Budget = Budget()
) -> Iterator[Tensor]:
    """[nodes]: those that are left after each round; and at the end what the last ones were exchanged for."""
    alive = torch.ones(graph.nodes, dtype=torch.bool)
    wanted = max(2, int(budget.nodes * graph.nodes))
    for number in range(1, budget.rounds + 1):
        worth = nodes_worth(lab, graph, cases, instead, alive[:-1], budget.steps)
        worth.masked_fill_(~alive[:-1], -torch.inf)
        worth[0] = torch.inf  # the ends are no matter of choice
        count = round(graph.nodes * (wanted / graph.nodes) ** (number / budget.rounds)) - 1
        alive[:-1] = False
        alive[worth.topk(max(1, count)).indices] = True
        yield alive.clone()
    alive[:-1] = exchanged(lab, graph, cases, instead, alive[:-1], budget.exchanges)
    yield alive


def joined(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns, budget: Budget, alive: Tensor
) -> Circuit:
    """These nodes [nodes], with their edges scored, and only as many as there may be."""
    kept = among(graph, alive)
    scores = _scores(lab, graph, cases, instead, budget, kept)
    kept = _fewer(graph, kept, scores, int(budget.edges * int(graph.possible.sum())))
    facts = {
        "method": budget.method.value,
        "ablation": instead.how.value,
        "steps": budget.steps,
        "rounds": budget.rounds,
        "exchanges": budget.exchanges,
        "cases": len(cases),
    }
    return Circuit(graph, kept, scores * kept, facts)


def _scores(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns, budget: Budget, kept: Tensor
) -> Tensor:
    carries = None if torch.equal(kept, graph.possible) else kept.float()
    total = torch.zeros(graph.sources, graph.ports)
    for part in in_batches(cases, _CASES):
        found = score_edges(
            lab,
            graph,
            part,
            instead,
            method=budget.method,
            steps=budget.steps,
            carries=carries,
            wanted=kept,
        )
        total += found.cpu() * len(part) / len(cases)
    return total


def _fewer(graph: Graph, kept: Tensor, scores: Tensor, count: int) -> Tensor:
    """Only so many edges, those with the highest scores."""
    if int(kept.sum()) <= count:
        return kept
    best = scores.masked_fill(~kept, -torch.inf).flatten().topk(count).indices
    chosen = torch.zeros_like(kept).flatten()
    chosen[best] = True
    return pruned(graph, kept & chosen.view_as(kept))
