"""How well estimates of edges agree with cutting them, one after the other: a sample of edges, kept as they are cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from bench.kept import Kept, Row
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import Case, Method, StandIns, exact_edges, score_edges, stand_ins
from circuits.interventions import Ablation
from circuits.lab import Lab

_ESTIMATES = {"eapig": Method.IG_INPUTS, "eapig_edges": Method.IG_EDGES, "eap": Method.EAP}
_STEPS = 8  # of the estimates
_CHUNK = 50  # edges that are cut and kept together
_Edges = Sequence[tuple[int, int]]


def agreement(
    lab: Lab, graph: Graph, cases: Sequence[Case], how: Ablation, count: int, seed: str, kept: Kept
) -> dict[str, Any]:
    """spearman_*_exact, as far as there was time; None where two edges were not compared."""
    instead = stand_ins(lab, graph, how, [case.prompt for case in cases])
    edges = [(int(source), int(port)) for source, port in graph.possible.nonzero()]
    draw = random.Random(f"{seed} edges")
    chosen = draw.sample(edges, min(count, len(edges)))
    exact: list[float] = []
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        row = kept.row(f"cut {start}", partial(_cut, lab, graph, cases, part, instead))
        if row is None:
            break
        exact += row["scores"]
    found: dict[str, Any] = {"edges_compared": len(exact)}
    compared = chosen[: len(exact)]
    for name, method in _ESTIMATES.items():
        row = kept.row(
            f"estimate {name}",
            partial(_estimated, lab, graph, cases, chosen, instead, method),
        )
        key = f"spearman_{name}_exact"
        found[key] = spearman(row["scores"][: len(compared)], exact) if row and len(exact) > 1 else None
    return found


def _cut(lab: Lab, graph: Graph, cases: Sequence[Case], edges: _Edges, instead: StandIns) -> Row:
    exact = exact_edges(lab, graph, cases, edges, instead)
    return {"scores": [float(exact[edge]) for edge in edges]}


def _estimated(
    lab: Lab, graph: Graph, cases: Sequence[Case], edges: _Edges, instead: StandIns, method: Method
) -> Row:
    scores = score_edges(lab, graph, cases, instead, method=method, steps=_STEPS)
    return {"scores": [float(scores[edge]) for edge in edges]}


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Correlation of ranks; equal values share their mean rank."""
    ranks = []
    for values in (one, other):
        tensor = torch.tensor(values, dtype=torch.float64)
        below = (tensor[None] < tensor[:, None]).sum(1)
        ranks.append(below + ((tensor[None] == tensor[:, None]).sum(1) - 1) / 2)
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])
