"""Edges of every family: the graph adds up, cuts are what the slow reference says, scores are their estimates."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from circuits.discovery.circuit import among
from circuits.discovery.gates import gated, nodes_worth
from circuits.discovery.graph import Graph
from circuits.discovery.scoring import (
    Case,
    Method,
    StandIns,
    exact_edges,
    metric,
    running,
    score_edges,
    scoring_cost,
    stand_ins,
)
from circuits.discovery.wiring import wired
from circuits.interventions import Ablation, Change, Head, Part, Site, ablated, replaced
from circuits.lab import Lab, Meter
from tests.unit.circuits.labs import tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.slow_reference import reference_logits
from tests.unit.engines.tiny_models import CONFIGS, LAYERS

KINDS = sorted(CONFIGS)
CASES = [Case((10, 72, 101, 33, 7), (150, 99)), Case((45, 60, 3, 81), (17,))]
TEXTS = [(9, 8, 7, 6, 5), (100, 101, 102)]
CLOSE = {"atol": 3e-4, "rtol": 1e-4}


def put(lab: Lab, graph: Graph, how: Ablation) -> StandIns:
    return stand_ins(lab, graph, how, TEXTS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_untouched_is_the_model_and_its_sources_add_up(kind: str) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    expected = [reference_logits(lab.model, case.row) for case in CASES]
    with stays_as_it_is(lab.model):
        for gradients in (False, True):
            with running(lab, graph, CASES, gradients=gradients) as (logits, wiring):
                for at, case in enumerate(CASES):
                    assert torch.allclose(logits[at, : len(case.row)], expected[at], **CLOSE)
        with wired(lab.spec, graph) as wiring, torch.no_grad():
            lab.run([CASES[0].row])
        said = wiring.said()
        assert len(said) == graph.sources == 1 + LAYERS * (lab.spec.heads + 1)
        assert graph.possible.shape == (graph.sources, graph.ports)
        # What is nobody's are biases of output projections.
        nobody = sum(
            (
                bias
                for layer in range(LAYERS)
                if (bias := getattr(lab.spec.output(layer), "bias", None)) is not None
            ),
            torch.zeros(lab.spec.hidden),
        )
        last = [0.0]

        def note(module: Any, args: Any) -> None:
            last[0] = args[0]

        handle = lab.spec.final_norm.register_forward_pre_hook(note)
        with torch.no_grad():
            lab.run([CASES[0].row])
        handle.remove()
        assert torch.allclose(said.sum(0) + nobody, last[0], **CLOSE)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", list(Ablation))
@pytest.mark.parametrize("kind", KINDS)
def test_cutting_all_of_a_node_is_ablating_it(kind: str, how: Ablation) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = put(lab, graph, how)
    # Nothing later reads what the last layer's heads say but the MLP (not if parallel) and the output.
    nodes = [(graph.mlp(1), Site(Part.MLP, 1)), (graph.mlp(LAYERS - 1), Site(Part.MLP, LAYERS - 1))]
    if lab.spec.architecture.attention_out_norm is None:
        nodes += [(graph.head(2, 3), Head(2, 3)), (graph.head(0, 1), Head(0, 1))]
    for source, node in nodes:
        carries = graph.possible.float()
        carries[source] = 0
        with stays_as_it_is(lab.model), running(lab, graph, CASES[:1], instead, carries) as (cut, _):
            pass
        if how is Ablation.ZERO:
            with ablated(lab.spec, [node]):
                expected = lab.run([CASES[0].row])
            assert torch.allclose(cut, expected, **CLOSE)
        elif isinstance(node, Site):
            there = instead.over(1, len(CASES[0].row))
            assert there is not None
            with replaced(lab.spec, [Change(node, there[source])]):
                expected = lab.run([CASES[0].row])
            assert torch.allclose(cut, expected, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_one_cut_edge_is_what_the_port_reads_without_it(kind: str) -> None:
    """By hand: the head's query, key or value computed from the residual less the source, put in its place."""
    lab = tiny_lab(kind)
    spec, graph, row = lab.spec, Graph.of(lab.spec), CASES[0].row
    layer, source = 2, 1 + spec.heads  # MLP 0 says, layer 2 reads
    with wired(spec, graph) as wiring, torch.no_grad():
        lab.run([row])
    said = wiring.said()[source]
    for port, (letter, head) in {
        1: ("query", 1),
        spec.heads: ("key", 0),
        spec.heads + 2 * spec.kv_heads - 1: ("value", spec.kv_heads - 1),
    }.items():
        carries = graph.possible.float()
        carries[source, graph.attention_ports(layer).start + port] = 0
        with stays_as_it_is(lab.model), running(lab, graph, CASES[:1], carries=carries) as (cut, _):
            pass

        modules = spec.qkv(layer)
        module = modules[0] if len(modules) == 1 else modules[["query", "key", "value"].index(letter)]
        expected = _by_hand(lab, row, layer, module, said, _features(lab, module, letter, head))
        assert torch.allclose(cut, expected, **CLOSE)


def _by_hand(lab: Lab, row: list[int], layer: int, module: Any, said: Tensor, at: slice) -> Tensor:
    """Logits when these features of the module are computed without what was said."""
    residual: list[Tensor] = []
    busy: list[int] = []

    def note(layer: Any, args: Any, kwargs: Any) -> None:
        residual.append(args[0] if args else kwargs["hidden_states"])

    def less(module: Any, args: Any, output: Tensor) -> Tensor | None:
        if busy:
            return None
        busy.append(1)
        wanted = module(lab.spec.input_norm(layer).forward(residual[0] - said))
        changed = output.clone()
        changed[..., at] = wanted[..., at]
        return changed

    hooks = [
        lab.spec.layers[layer].register_forward_pre_hook(note, with_kwargs=True),
        module.register_forward_hook(less),
    ]
    expected = lab.run([row])
    for hook in hooks:
        hook.remove()
    return expected


def _features(lab: Lab, module: Any, letter: str, head: int) -> slice:
    size, which = lab.spec.head_dim, ["query", "key", "value"].index(letter)
    kind = lab.model.config.model_type
    if kind == "gpt_neox":
        first = (head * 3 + which) * size
    elif kind == "gpt2":
        first = (which * lab.spec.heads + head) * size
    else:
        first = head * size
    return slice(first, first + size)


@pytest.mark.parametrize("kind", KINDS)
def test_eap_is_the_slope_of_every_edge_as_it_is_cut(kind: str) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = put(lab, graph, Ablation.MEAN)
    scores = score_edges(lab, graph, CASES, instead, method=Method.EAP)
    assert not bool(scores[~graph.possible].any())
    edges = graph.possible.nonzero()
    step = 2e-2
    for source, port in edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(3))[:12]]:
        both = []
        for sign in (1, -1):
            carries = graph.possible.float()
            carries[source, port] += sign * step
            with running(lab, graph, CASES, instead, carries) as (logits, _):
                both.append(float(metric(logits, CASES)))
        slope = (both[0] - both[1]) / (2 * step)
        assert float(scores[source, port]) == pytest.approx(slope, abs=5e-3, rel=2e-2)


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "gpt_neox", "gptj", "llama"])
@pytest.mark.parametrize("how", list(Ablation))
def test_scores_along_a_path_add_up_to_what_is_between_its_ends(kind: str, how: Ablation) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = put(lab, graph, how)

    def said(carries: Tensor | None = None, start: Any = None) -> float:
        with running(lab, graph, CASES, instead, carries, start=start) as (logits, _):
            return float(metric(logits, CASES))

    steps = 80
    nothing = said(torch.zeros(graph.sources, graph.ports))
    by_edges = score_edges(lab, graph, CASES, instead, steps=steps)
    assert float(by_edges.sum()) == pytest.approx(said() - nothing, rel=0.03, abs=0.05)
    if how is Ablation.ZERO:
        return
    there = instead.over(len(CASES), max(len(case.row) for case in CASES))
    assert there is not None
    without = said(start=lambda passing: there[0].expand_as(passing))
    by_inputs = score_edges(lab, graph, CASES, instead, method=Method.IG_INPUTS, steps=steps)
    assert float(by_inputs[0].sum()) == pytest.approx(said() - without, rel=0.03, abs=0.05)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_the_slope_of_an_edge_followed_to_its_cut_is_the_exact_score(kind: str) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = put(lab, graph, Ablation.MEAN)
    edges = [(0, 0), (1, graph.ports - 1), (graph.mlp(0), graph.mlp_port(2).start), (graph.mlp(1), 30)]
    edges = [(source, port) for source, port in edges if graph.possible[source, port]]
    assert len(edges) > 2
    exact = exact_edges(lab, graph, CASES, edges, instead)
    for source, port in edges:
        total, steps = 0.0, 60
        for step in range(steps):
            carries = graph.possible.float()
            carries[source, port] = (step + 0.5) / steps
            within = score_edges(lab, graph, CASES, instead, method=Method.EAP, carries=carries)
            total += float(within[source, port]) / steps
        assert total == pytest.approx(float(exact[source, port]), abs=2e-2, rel=0.05)


def test_passes_are_what_was_said_beforehand() -> None:
    lab = tiny_lab("gpt2")
    graph = Graph.of(lab.spec)
    for method in (Method.EAP, Method.IG_EDGES, Method.IG_INPUTS):
        with lab.metered(Meter()) as meter:
            score_edges(lab, graph, CASES, method=method, steps=3)
        assert meter.done == scoring_cost(method, 3)
    with lab.metered(Meter()) as meter:
        exact_edges(lab, graph, CASES, [(0, 0), (0, 1)])
    assert meter.done == scoring_cost(Method.EXACT, 1, 2)


@pytest.mark.parametrize("how", [Ablation.ZERO, Ablation.MEAN, Ablation.RESAMPLE])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97, 1.0])  # the last: every port reads the same
def test_ports_read_the_stream_less_what_is_cut(share: float, how: Ablation) -> None:
    """However few or many edges carry, in part or whole: the sum over all sources, written out."""
    lab = tiny_lab("gpt2")  # with biases, which are nobody's
    graph = Graph.of(lab.spec)
    draw = torch.Generator().manual_seed(4)
    carries = (torch.rand(graph.possible.shape, generator=draw) < share) * graph.possible * 0.8
    streams: dict[int, torch.Tensor] = {}
    with running(lab, graph, CASES, put(lab, graph, how), carries, gradients=True) as (logits, wiring):
        streams = {layer: wiring._seen[Site(Part.RESIDUAL, layer)] for layer in range(graph.layers)}
        differences = wiring.differences()
        slopes = lab.gradients(metric(logits, CASES), [wiring.ports[first] for first in sorted(wiring.ports)])
    for layer, stream in streams.items():
        ports, before = graph.attention_ports(layer), graph.before_attention(layer)
        for place, port in enumerate(range(ports.start, ports.stop)):
            cut = 1 - carries[:before, port]
            expected = stream - (cut[:, None, None, None] * differences[:before]).sum(0)
            assert torch.allclose(wiring.ports[ports.start][place], expected, **CLOSE)
    assert all(bool(slope.isfinite().all()) for slope in slopes)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_pass_leaves_no_memory_behind(share: float) -> None:
    """Freed when it is over, not whenever a collector comes by: what it holds grows with the square of the model."""
    lab = tiny_lab("llama")
    graph = Graph.of(lab.spec)
    draw = torch.Generator().manual_seed(4)
    carries = (torch.rand(graph.possible.shape, generator=draw) < share) * graph.possible * 0.5
    gc.disable()
    try:
        with running(lab, graph, CASES, carries=carries, gradients=True) as (logits, wiring):
            lab.gradients(metric(logits, CASES), [wiring.ports[first] for first in sorted(wiring.ports)])
            held = [weakref.ref(wiring._ledger), weakref.ref(wiring._ledger._tables), weakref.ref(wiring)]
        del logits, wiring
        assert [each() for each in held] == [None, None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("how", [Ablation.ZERO, Ablation.MEAN])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_circuits_of_whole_nodes(kind: str, how: Ablation) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = stand_ins(lab, graph, how, [(9, 8, 7, 6, 5), (100, 101, 102)])
    nodes = torch.rand(graph.nodes, generator=torch.Generator().manual_seed(3)) < 0.6
    nodes[0] = True
    if (
        lab.spec.architecture.attention_out_norm is not None
    ):  # there a silent head still counts in the norm's scale
        for layer in range(graph.layers):
            nodes[graph.head(layer, 0) : graph.mlp(layer)] = True
    kept = among(graph, nodes)
    rows = [case.row for case in CASES]
    stood = instead.over(len(rows), max(map(len, rows)))
    with stays_as_it_is(lab.model), torch.no_grad(), gated(lab.spec, graph, nodes[:-1].float(), stood):
        by_gates = lab.run(rows)
    with running(lab, graph, CASES, instead, kept.float()) as (logits, _):
        for row, case in enumerate(CASES):
            there = slice(len(case.row))
            assert torch.allclose(by_gates[row, there], logits[row, there], atol=1e-4)
    # And a node is worth what its edges are worth together.
    scores = score_edges(lab, graph, CASES, instead, steps=3, carries=kept.float(), wanted=kept)
    alive = nodes[:-1]
    worth = nodes_worth(lab, graph, CASES, instead, alive, 3)[alive]
    by_edges = (scores * kept).sum(1)[alive]
    # Near nothing at all slopes are steep, and so are rounding errors.
    assert float((worth - by_edges).abs().max()) < 2e-3 * float(by_edges.abs().max())
