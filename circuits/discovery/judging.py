"""Whether a circuit does what the model does: alone, without it, and against random circuits of its size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.discovery.circuit import Circuit, among
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import ZERO, Case, StandIns, running
from circuits.lab import Lab, Passes, scored


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a graph with some of its edges answers, case by case."""

    log_probability: tuple[float, ...]  # of the whole answer
    first_rank: tuple[int, ...]  # of the answer's first token, 0 the best
    worst_rank: tuple[int, ...]  # of the token of the answer that ranks worst

    @property
    def mean(self) -> float:
        """Log-probability."""
        return sum(self.log_probability) / len(self.log_probability)

    def hits(self, among_best: int = 10) -> list[bool]:
        """By the first token, as the paper counts."""
        return [rank < among_best for rank in self.first_rank]

    def whole_hits(self, among_best: int = 10) -> list[bool]:
        """Every token of the answer among the best, each after the right ones before it."""
        return [rank < among_best for rank in self.worst_rank]


@dataclass(frozen=True, slots=True)
class Judgement:
    """faithfulness: what of the model's log-probability above the cut graph's the circuit has, 1 being all of it.
    completeness: what the model without the circuit still has of it, 0 being nothing. None where the model has
    nothing above the cut graph."""

    model: Behaviour
    circuit: Behaviour
    rest: Behaviour
    nothing: Behaviour
    random: tuple[Behaviour, ...]

    @property
    def faithfulness(self) -> float | None:
        """Of the circuit alone."""
        return self._part(self.circuit)

    @property
    def completeness(self) -> float | None:
        """Of the rest."""
        return self._part(self.rest)

    def _part(self, of: Behaviour) -> float | None:
        whole = self.model.mean - self.nothing.mean
        return (of.mean - self.nothing.mean) / whole if whole > 0 else None


def judging_cost(lab: Lab, cases: int, randoms: int) -> Passes:
    """Of `judge`."""
    return Passes(forward=-(-cases // lab.rows) * (4 + randoms))


def judge(
    lab: Lab,
    circuit: Circuit,
    cases: Sequence[Case],
    instead: StandIns = ZERO,
    randoms: int = 3,
    seed: int = 0,
) -> Judgement:
    """On cases that the circuit was not found with, if it is to mean anything."""
    graph, draw = circuit.graph, random.Random(seed)
    return Judgement(
        behave(lab, graph, cases, instead),
        behave(lab, graph, cases, instead, circuit.carries),
        behave(lab, graph, cases, instead, circuit.rest),
        behave(lab, graph, cases, instead, torch.zeros(graph.sources, graph.ports)),
        tuple(behave(lab, graph, cases, instead, random_like(circuit, draw).float()) for _ in range(randoms)),
    )


def behave(
    lab: Lab, graph: Graph, cases: Sequence[Case], instead: StandIns = ZERO, carries: Tensor | None = None
) -> Behaviour:
    """The answers' probabilities and ranks over these edges."""
    said, first, worst = [], [], []
    for start in range(0, len(cases), lab.rows):
        part = cases[start : start + lab.rows]
        with running(lab, graph, part, instead, carries) as (logits, _):
            for at, case in enumerate(part):
                said.append(float(scored(logits[at], case.row, len(case.prompt)).sum()))
                ranks = _ranks(logits[at], case)
                first.append(ranks[0])
                worst.append(max(ranks))
    return Behaviour(tuple(said), tuple(first), tuple(worst))


def random_like(circuit: Circuit, draw: random.Random) -> Tensor:
    """Edges between as many random heads and as many random MLPs, and of them no more than the circuit has."""
    graph = circuit.graph
    mlps = {graph.mlp(layer) for layer in range(graph.layers)}
    heads = [node for node in range(1, graph.sources) if node not in mlps]
    chosen = circuit.nodes.nonzero().flatten().tolist()
    nodes = torch.zeros(graph.nodes, dtype=torch.bool)
    for kind in (heads, sorted(mlps)):
        nodes[draw.sample(kind, len(set(chosen) & set(kind)))] = True
    kept = among(graph, nodes)
    edges = kept.nonzero().tolist()
    for source, port in draw.sample(edges, max(0, len(edges) - circuit.edge_count)):
        kept[source, port] = False
    return kept


def _ranks(logits: Tensor, case: Case) -> list[int]:
    rows = logits[len(case.prompt) - 1 : len(case.row) - 1]
    own = rows.gather(1, torch.tensor(case.answer, device=rows.device)[:, None])
    return [int(count) for count in (rows > own).sum(-1)]
