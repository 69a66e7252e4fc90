"""What edges are worth: how much of the answer's log-probability goes when an edge carries its stand-in instead.

A positive score: the edge speaks for the answer. All but `Method.EXACT` are estimates from gradients: one pass
scores every edge.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.discovery.graph import Graph
from circuits.discovery.wiring import Wiring, wired
from circuits.interventions import Ablation
from circuits.lab import Lab, Passes


class Method(enum.Enum):
    """How edges are scored. m: steps, at the middle of m parts of the path (`path`)."""

    EAP = "eap"  # the gradient at the model itself, times the difference
    IG_INPUTS = "eap_ig"  # its mean while the embedding goes from its stand-in to itself, as published
    IG_EDGES = "eap_ig_edges"  # its mean while all edges go from their stand-ins to what they carry
    EXACT = "exact"  # the edge is cut, one after the other


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt and the answer whose probability is at stake, in tokens; every token of the answer counts."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def row(self) -> list[int]:
        """Both."""
        return [*self.prompt, *self.answer]


@dataclass(frozen=True)
class StandIns:
    """What sources say elsewhere: [samples, sources, hidden] at first positions and at the others."""

    how: Ablation
    first: Tensor | None = None
    others: Tensor | None = None
    seed: int = 0

    def over(self, rows: int, positions: int) -> Tensor | None:
        """For a forward: broadcast to [sources, rows, positions, hidden]; None: nothing at all."""
        if self.first is None or self.others is None:
            return None
        if self.how is Ablation.MEAN:
            rest = self.others.mean(0).expand(positions - 1, -1, -1)
            return torch.cat([self.first.mean(0)[None], rest]).transpose(0, 1)[:, None].contiguous()
        draw = torch.Generator().manual_seed(self.seed)
        first = torch.randint(len(self.first), (rows, 1), generator=draw)
        rest = torch.randint(len(self.others), (rows, positions - 1), generator=draw)
        return torch.cat([self.first[first], self.others[rest]], dim=1).movedim(2, 0).contiguous()


ZERO = StandIns(Ablation.ZERO)


def stand_ins(
    lab: Lab, graph: Graph, how: Ablation, texts: Sequence[Sequence[int]], seed: int = 0
) -> StandIns:
    """Read off other prompts, one pass for each; the first position, where attention goes that goes nowhere, is kept
    apart. None are read for zero."""
    if how is Ablation.ZERO:
        return ZERO
    first, others = [], []
    for text in texts:
        with wired(lab.spec, graph) as wiring:
            lab.run([text])
        said = wiring.said()[:, 0].transpose(0, 1).float()
        first.append(said[:1])
        others.append(said[1:])
    return StandIns(how, torch.cat(first), torch.cat(others), seed)


def metric(logits: Tensor, cases: Sequence[Case]) -> Tensor:
    """Mean log-probability of the cases' answers."""
    # All at once: every slice of the logits would be given a gradient of their whole size.
    at = [
        (row, len(case.prompt) + nth - 1) for row, case in enumerate(cases) for nth in range(len(case.answer))
    ]
    rows, places = torch.tensor(at, device=logits.device).T
    answers = torch.tensor([token for case in cases for token in case.answer], device=logits.device)
    said = logits[rows, places].float().log_softmax(-1)
    return said.gather(1, answers[:, None]).sum() / len(cases)


@contextmanager
def running(
    lab: Lab,
    graph: Graph,
    cases: Sequence[Case],
    instead: StandIns = ZERO,
    carries: Tensor | None = None,
    *,
    gradients: bool = False,
    start: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[Tensor, Wiring]]:
    """One pass over the cases: logits, and what passed."""
    rows = [case.row for case in cases]
    width = max(map(len, rows))
    found = instead.over(len(rows), width)
    with (
        torch.set_grad_enabled(gradients),
        wired(lab.spec, graph, carries, None if found is None else found.to(lab.device), start) as wiring,
    ):
        yield lab.run(rows, gradients=gradients), wiring


def scoring_cost(method: Method, steps: int, edges: int = 0) -> Passes:
    """Of one batch of cases."""
    if method is Method.EXACT:
        return Passes(forward=1 + edges)
    if method is Method.IG_INPUTS:
        return Passes(forward=steps + 1, backward=steps)
    count = 1 if method is Method.EAP else steps
    return Passes(forward=count, backward=count)


def score_edges(
    lab: Lab,
    graph: Graph,
    cases: Sequence[Case],
    instead: StandIns = ZERO,
    *,
    method: Method = Method.IG_EDGES,
    steps: int = 5,
    carries: Tensor | None = None,
    wanted: Tensor | None = None,
) -> Tensor:
    """[sources, ports], zero where there is no edge. With `carries`, within that circuit: edges that are cut there
    are scored by what bringing them in would give. `wanted`: of the others no score is needed, it may be zero."""
    if method is Method.EXACT:
        return exact_edges(
            lab, graph, cases, [(int(s), int(p)) for s, p in graph.possible.nonzero()], instead
        )
    found = torch.zeros(graph.sources, graph.ports, device=lab.device)
    if method is Method.EAP:
        return _gradients(lab, graph, cases, instead, carries, wanted)
    whole = graph.possible.float() if carries is None else carries
    points = path(steps, instead.how)
    if method is Method.IG_EDGES:
        for share, weight in points:
            found += weight * _gradients(lab, graph, cases, instead, whole * share, wanted)
        return found
    with running(lab, graph, cases, instead, carries) as (_, wiring):
        differences = wiring.differences()
    for share, weight in points:

        def start(passing: Tensor, share: float = share) -> Tensor:
            return passing - (1 - share) * differences[0].to(passing)

        found += weight * _gradients(lab, graph, cases, instead, carries, wanted, differences, start)
    return found


def path(steps: int, how: Ablation) -> list[tuple[float, float]]:
    """Points of the way from the stand-ins (0) to what is there (1), and the weight of each: middles of equal parts.

    From nothing at all (zero ablation) they lie denser at the beginning, as a cube does: a norm makes of a little as
    much as of a lot, so that nearly all that happens there happens at once.
    """
    middles = [(step + 0.5) / steps for step in range(steps)]
    if how is not Ablation.ZERO:
        return [(middle, 1 / steps) for middle in middles]
    return [(middle**3, 3 * middle**2 / steps) for middle in middles]


def exact_edges(
    lab: Lab,
    graph: Graph,
    cases: Sequence[Case],
    edges: Sequence[tuple[int, int]],
    instead: StandIns = ZERO,
) -> Tensor:
    """[sources, ports]: these edges cut one by one, a pass each; the others' score is zero."""
    found = torch.zeros(graph.sources, graph.ports)
    with running(lab, graph, cases, instead) as (logits, _):
        whole = float(metric(logits, cases))
    carries = graph.possible.float()
    for source, port in edges:
        carries[source, port] = 0
        with running(lab, graph, cases, instead, carries) as (logits, _):
            found[source, port] = whole - float(metric(logits, cases))
        carries[source, port] = 1
    return found


def _gradients(
    lab: Lab,
    graph: Graph,
    cases: Sequence[Case],
    instead: StandIns,
    carries: Tensor | None,
    wanted: Tensor | None,
    differences: Tensor | None = None,
    start: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    with running(lab, graph, cases, instead, carries, gradients=True, start=start) as (logits, wiring):
        firsts = sorted(wiring.ports)
        slopes = lab.gradients(metric(logits, cases), [wiring.ports[first] for first in firsts])
        says = wiring.differences() if differences is None else differences
    found = torch.zeros(graph.sources, graph.ports, device=lab.device)
    edges = graph.possible if wanted is None else graph.possible & wanted.bool().cpu()
    for first, slope in zip(firsts, slopes, strict=True):
        rows, columns = _spanned(edges[:, first : first + len(slope)])
        if len(rows) and len(columns):
            # A table read in one piece is faster than one picked apart.
            picked = says[: int(rows[-1]) + 1] if 2 * len(rows) > int(rows[-1]) else says[rows]
            worth = (picked.to(slope).flatten(1) @ slope[columns].flatten(1).T).float()
            own = worth if len(picked) == len(rows) else worth[rows]
            found[rows[:, None], first + columns] = own
    return found * edges.to(found.device)


def _spanned(edges: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and the columns that have any."""
    return edges.any(1).nonzero()[:, 0], edges.any(0).nonzero()[:, 0]
