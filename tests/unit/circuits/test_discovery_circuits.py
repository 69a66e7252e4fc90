"""Circuits: chosen within their budget, pruned, judged against random ones, written as data and drawn."""

from __future__ import annotations

import json
import random
from xml.etree import ElementTree

import pytest
import torch

from circuits.discovery.choosing import Budget, discover, discovery_cost
from circuits.discovery.circuit import Circuit, above, among, pruned, strongest
from circuits.discovery.exchange import exchanged
from circuits.discovery.gates import look, looking_cost
from circuits.discovery.graph import Graph
from circuits.discovery.judging import behave, judge, judging_cost, random_like
from circuits.discovery.picture import picture
from circuits.discovery.scoring import Case, Method, exact_edges, score_edges, stand_ins
from circuits.errors import Cancelled
from circuits.interventions import Ablation
from circuits.lab import Meter, Passes
from tests.unit.circuits.labs import tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.slow_reference import reference_logits

CASES = [Case((10, 72, 101, 33, 7), (150, 99)), Case((45, 60, 3, 81), (17,))]
SMALL = Graph(layers=2, heads=4, kv_heads=2, parallel=False)


def test_names_and_counts_of_a_graph_with_shared_keys() -> None:
    assert [SMALL.node_name(at) for at in range(SMALL.nodes)] == [
        "input",
        *["L0H0", "L0H1", "L0H2", "L0H3", "MLP0"],
        *["L1H0", "L1H1", "L1H2", "L1H3", "MLP1"],
        "output",
    ]
    names = [SMALL.port_name(at) for at in range(SMALL.ports)]
    assert names[:9] == [
        *["L0H0.q", "L0H1.q", "L0H2.q", "L0H3.q"],
        *["L0G0.k", "L0G1.k", "L0G0.v", "L0G1.v", "MLP0"],
    ]
    assert names[-1] == "output"
    # Layer 0: attention reads the input, the MLP heads too; layer 1 reads them all; so does the output.
    assert int(SMALL.possible.sum()) == 8 * 1 + 5 + 8 * 6 + 10 + 11
    parallel = Graph(layers=2, heads=4, kv_heads=2, parallel=True)
    assert int(parallel.possible.sum()) == 8 + 1 + 8 * 6 + 6 + 11
    shared = [SMALL.node_name(int(at)) for at in SMALL.readers[names.index("L1G1.v")].nonzero()]
    assert shared == ["L1H2", "L1H3"]


def test_dead_ends_are_pruned_from_both_sides() -> None:
    kept = torch.zeros_like(SMALL.possible)
    names = [SMALL.port_name(at) for at in range(SMALL.ports)]

    def keep(source: int, port: str) -> None:
        kept[source, names.index(port)] = True

    keep(0, "L0H1.q")
    keep(SMALL.head(0, 1), "MLP1")
    keep(SMALL.mlp(1), "output")
    way = kept.clone()
    keep(SMALL.head(0, 2), "MLP1")  # nothing reaches it
    keep(0, "L1G0.k")  # leads nowhere
    keep(SMALL.mlp(0), "L1H3.q")  # both
    assert torch.equal(pruned(SMALL, kept), way)
    circuit = Circuit(SMALL, way, way.float())
    assert circuit.as_json()["nodes"] == ["input", "L0H1", "MLP1", "output"]
    assert circuit.node_count == 4
    assert circuit.edge_count == 3
    assert torch.equal(circuit.rest.bool(), SMALL.possible & ~way)
    kept[0, names.index("L0H1.q")] = False
    assert not pruned(SMALL, kept).any()
    everything = among(SMALL, torch.ones(SMALL.nodes, dtype=torch.bool))
    assert torch.equal(everything, SMALL.possible)


def test_edges_are_chosen_by_count_or_threshold() -> None:
    scores = torch.randn(SMALL.sources, SMALL.ports, generator=torch.Generator().manual_seed(1))
    kept = strongest(SMALL, scores, 30)
    assert 0 < int(kept.sum()) <= 30
    assert torch.equal(pruned(SMALL, kept), kept)
    least = scores.abs()[kept].min()
    assert int((scores.abs()[SMALL.possible] >= least).sum()) <= 30
    assert bool((scores[above(SMALL, scores, 0.5)] >= 0.5).all())
    assert torch.equal(strongest(SMALL, scores, 10**6), pruned(SMALL, SMALL.possible))


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "gptj", "llama"])
def test_a_circuit_found_keeps_more_than_random_ones_of_its_size(kind: str) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    # What the model itself says is what there is to keep.
    prompts = [case.prompt for case in CASES]
    cases = [
        Case(prompt, (int(reference_logits(lab.model, list(prompt))[-1].argmax()),)) for prompt in prompts
    ]
    instead = stand_ins(lab, graph, Ablation.MEAN, [(9, 8, 7, 6, 5), (100, 101, 102)])
    budget = Budget(nodes=0.5, edges=0.3, rounds=3, steps=3, exchanges=6)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        circuit = discover(lab, graph, cases, instead, budget)
    assert meter.done == discovery_cost(len(cases), budget)
    assert circuit.nodes_share <= 0.5
    assert circuit.edges_share <= 0.3
    assert torch.equal(pruned(graph, circuit.kept), circuit.kept)
    with lab.metered(Meter()) as meter:
        found = judge(lab, circuit, cases, instead, randoms=5)
    assert meter.done == judging_cost(lab, len(cases), 5)
    assert found.model.first_rank == (0, 0)
    assert found.model.hits() == found.model.whole_hits() == [True, True]
    assert found.circuit.mean > sum(each.mean for each in found.random) / 5
    assert found.faithfulness is not None
    assert found.completeness is not None
    assert found.faithfulness > found.completeness
    # The whole graph as a circuit is the model, and leaves nothing.
    everything = judge(lab, Circuit(graph, graph.possible, graph.possible.float()), cases, instead, 1)
    assert everything.faithfulness == pytest.approx(1)
    assert everything.completeness == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("how", list(Ablation))
@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "gptj", "llama"])
def test_a_circuit_is_found_in_the_precision_that_servers_choose(kind: str, how: Ablation) -> None:
    """Gates and means are float32; what passes through the model stays bfloat16, where that is native."""
    lab = tiny_lab(kind)
    lab.model.to(torch.bfloat16)
    graph = Graph.of(lab.spec)
    prompts = [case.prompt for case in CASES]
    cases = [Case(prompt, (int(lab.run([list(prompt)])[0, -1].argmax()),)) for prompt in prompts]
    instead = stand_ins(lab, graph, how, [(9, 8, 7, 6, 5), (100, 101, 102)])
    circuit = discover(
        lab, graph, cases, instead, Budget(nodes=0.5, edges=0.3, rounds=2, steps=2, exchanges=4)
    )
    assert 0 < circuit.edges_share <= 0.3
    found = judge(lab, circuit, cases, instead, randoms=2)
    assert found.model.whole_hits() == [True, True]
    assert found.faithfulness is not None


def test_behaviour_counts_every_token_of_the_answer() -> None:
    lab = tiny_lab()
    graph = Graph.of(lab.spec)
    found = behave(lab, graph, CASES)
    for at, case in enumerate(CASES):
        rows = reference_logits(lab.model, case.row)[len(case.prompt) - 1 : -1]
        said = rows.log_softmax(-1)[range(len(case.answer)), case.answer]
        ranks = [int((row > row[token]).sum()) for row, token in zip(rows, case.answer, strict=True)]
        assert found.log_probability[at] == pytest.approx(float(said.sum()), abs=1e-3)
        assert (found.first_rank[at], found.worst_rank[at]) == (ranks[0], max(ranks))


def test_estimates_order_edges_as_exact_cuts_do() -> None:
    lab = tiny_lab("gpt2")
    graph = Graph.of(lab.spec)
    instead = stand_ins(lab, graph, Ablation.MEAN, [(9, 8, 7, 6, 5), (100, 101, 102)])
    edges = graph.possible.nonzero()
    chosen = edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(0))[:80]]
    pairs = [(int(source), int(port)) for source, port in chosen]
    exact = exact_edges(lab, graph, CASES, pairs, instead)
    # Random weights: a path from far away says less of one edge than the slope at the model itself.
    for method, least in ((Method.EAP, 0.75), (Method.IG_INPUTS, 0.5), (Method.IG_EDGES, 0.5)):
        scores = score_edges(lab, graph, CASES, instead, method=method, steps=8)
        both = torch.stack([torch.tensor([each[pair] for pair in pairs]) for each in (exact, scores)])
        order = both.argsort(dim=1).argsort(dim=1).float()
        assert float(torch.corrcoef(order)[0, 1]) > least


def test_a_random_circuit_has_as_many_heads_and_mlps_and_no_more_edges() -> None:
    draw = random.Random(0)
    graph = Graph(layers=5, heads=4, kv_heads=2, parallel=False)
    nodes = torch.zeros(graph.nodes, dtype=torch.bool)
    nodes[[graph.head(0, 1), graph.head(2, 3), graph.head(3, 0), graph.mlp(1), graph.mlp(4)]] = True
    circuit = Circuit(graph, among(graph, nodes), graph.possible.float())
    for _ in range(5):
        other = Circuit(graph, random_like(circuit, draw), graph.possible.float())
        assert other.edge_count <= circuit.edge_count
        kinds = [name[:3] for name in other.as_json()["nodes"]]
        assert kinds.count("MLP") <= 2
        assert len(kinds) <= 7


def test_the_picture_and_the_data_say_the_same() -> None:
    nodes = torch.zeros(SMALL.nodes, dtype=torch.bool)
    nodes[[SMALL.head(0, 1), SMALL.mlp(0), SMALL.head(1, 2)]] = True
    kept = among(SMALL, nodes)
    scores = torch.linspace(-1, 1, kept.numel()).view_as(kept)
    circuit = Circuit(SMALL, kept, scores, {"method": "eap"})
    data = json.loads(json.dumps(circuit.as_json()))
    assert data["method"] == "eap"
    assert len(data["edges"]) == circuit.edge_count
    svg = ElementTree.fromstring(picture(circuit, "<b>Title</b>"))  # noqa: S314 - our own
    said = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}title")]
    for edge in data["edges"]:
        assert f"{edge['from']} to {edge['to']}: {edge['score']:+.4f}" in said
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<b>Title</b>", *data["nodes"]} <= set(texts)
    dot = circuit.as_dot()
    assert dot.startswith("digraph")
    assert '"L0H1" -> "MLP0"' in dot


def test_a_stopped_discovery_leaves_nothing() -> None:
    lab = tiny_lab()
    graph = Graph.of(lab.spec)
    asked: list[float] = []
    meter = Meter(Passes(20, 20), asked.append, lambda: len(asked) == 5)
    with stays_as_it_is(lab.model), pytest.raises(Cancelled), lab.metered(meter):
        discover(lab, graph, CASES, budget=Budget(nodes=0.5))
    assert meter.done.total == 5


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_exchanging_nodes_makes_answers_likelier_and_keeps_their_number(kind: str) -> None:
    lab = tiny_lab(kind)
    graph = Graph.of(lab.spec)
    instead = stand_ins(lab, graph, Ablation.MEAN, [(9, 8, 7, 6, 5), (100, 101, 102)])
    alive = torch.zeros(graph.sources, dtype=torch.bool)
    alive[0] = True
    alive[torch.randperm(graph.sources - 1, generator=torch.Generator().manual_seed(0))[:8] + 1] = True
    before, _ = look(lab, graph, CASES, instead, alive)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        found = exchanged(lab, graph, CASES, instead, alive, 12)
    assert meter.done == looking_cost(len(CASES)).times(12)
    assert int(found.sum()) == int(alive.sum())
    assert bool(found[0])
    after, slopes = look(lab, graph, CASES, instead, found)
    assert after > before + 0.1
    assert torch.equal(exchanged(lab, graph, CASES, instead, alive, 0), alive)
    # A circuit of few nodes stays one of few, though many would come at once.
    for count in (1, 2, 4):
        few = torch.zeros_like(alive)
        few[:count] = True
        assert int(exchanged(lab, graph, CASES, instead, few, 6).sum()) == count
    # What `look` says is what the edges say, and its slopes are those of single gates.
    kept = among(graph, torch.cat([found, torch.ones(1, dtype=torch.bool)]))
    assert behave(lab, graph, CASES, instead, kept.float()).mean == pytest.approx(after, abs=1e-3)
    node = int((~found).nonzero()[3])
    either_side = []
    for share in (-2e-3, 2e-3):
        gates = found.float()
        gates[node] = share
        either_side.append(look(lab, graph, CASES, instead, gates)[0])
    slope = (either_side[1] - either_side[0]) / 4e-3
    assert slope == pytest.approx(float(slopes[node]), rel=0.05, abs=5e-3)
