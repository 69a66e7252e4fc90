"""From results to messages: circuits, located heads, what comes in with a fact, grafting. Other way round, enums."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from circuits.discovery.choosing import Budget
from circuits.discovery.judging import Behaviour
from circuits.discovery.picture import picture as circuit_picture
from circuits.discovery.scoring import Method
from circuits.emergence import Emergence, Told
from circuits.grafting.picture import picture as grafting_picture
from circuits.grafting.schemes import Outcome
from circuits.headmap import Silenced
from circuits.interventions import Ablation, Head
from circuits.lab import Passes
from interleaf.v1 import circuits_pb2 as pb
from service.convert.facts import fact_name
from service.pictures import circuits as pictures
from service.serving.knowledge import Known
from service.studies.circuits import (
    CircuitAnalysis,
    CircuitFound,
    EmergenceAnalysis,
    GraftingAnalysis,
    GraftingFound,
    LocatedFound,
    LocatingAnalysis,
)

ABLATIONS: Mapping[int, Ablation] = {
    pb.ABLATION_UNSPECIFIED: Ablation.MEAN,
    pb.ABLATION_ZERO: Ablation.ZERO,
    pb.ABLATION_MEAN: Ablation.MEAN,
    pb.ABLATION_RESAMPLE: Ablation.RESAMPLE,
}
EDGE_SCORES: Mapping[int, Method] = {
    pb.EDGE_SCORE_UNSPECIFIED: Budget().method,
    pb.EDGE_SCORE_EAP: Method.EAP,
    pb.EDGE_SCORE_EAP_IG: Method.IG_INPUTS,
    pb.EDGE_SCORE_EAP_IG_EDGES: Method.IG_EDGES,
}
_EDGES = 20_000


def passes_message(passes: Passes) -> Any:
    """interleaf.v1.Passes."""
    return pb.Passes(forward=passes.forward, backward=passes.backward)


def head_name(head: Head) -> Any:
    """interleaf.v1.HeadName."""
    return pb.HeadName(layer=head.layer, head=head.head)


def circuit_message(analysis: CircuitAnalysis, found: CircuitFound, passes: Passes) -> Any:
    """interleaf.v1.CircuitStudy."""
    circuit, judged = found.circuit, found.judgement
    graph, worth = circuit.graph, circuit.scores.sum(1)
    kept = [int(at) for at in circuit.nodes.nonzero()]
    edges = list(circuit.edges())[:_EDGES]
    return pb.CircuitStudy(
        nodes=circuit.node_count,
        all_nodes=graph.nodes,
        edges=circuit.edge_count,
        all_edges=int(graph.possible.sum()),
        kept_nodes=[
            pb.CircuitNode(name=graph.node_name(at), worth=float(worth[at]) if at < graph.sources else 0.0)
            for at in kept
        ],
        kept_edges=[
            pb.CircuitEdge(source=graph.node_name(source), port=graph.port_name(port), score=score)
            for source, port, score in edges
        ],
        ablation=_named(ABLATIONS, found.how),
        score=_named(EDGE_SCORES, analysis.budget.method),
        model=_behaviour([judged.model]),
        circuit=_behaviour([judged.circuit]),
        rest=_behaviour([judged.rest]),
        nothing=_behaviour([judged.nothing]),
        random=_behaviour(judged.random),
        faithfulness=judged.faithfulness,
        completeness=judged.completeness,
        judged=len(judged.model.log_probability),
        held_out=bool(analysis.held_out),
        passes=passes_message(passes),
        svg=circuit_picture(circuit, f"What is enough for {len(analysis.probes)} answers"),
        dot=circuit.as_dot(),
    )


def located_message(analysis: LocatingAnalysis, found: LocatedFound, passes: Passes) -> Any:
    """interleaf.v1.LocatedHeads."""
    heads = found.found.heads
    layers, count = found.found.losses.shape
    return pb.LocatedHeads(
        heads=[
            pb.LocatedHead(
                head=pb.HeadName(layer=layer, head=head),
                loss=float(found.found.losses[layer, head]),
                chosen=head in heads[layer],
            )
            for layer in range(layers)
            for head in range(count)
        ],
        per_layer=max(map(len, heads.values())),
        none=_silenced(found.none),
        located=_silenced(found.located),
        random=_silenced(found.random),
        judged=len(analysis.held_out or analysis.probes),
        held_out=bool(analysis.held_out),
        passes=passes_message(passes),
        svg=pictures.located_map(found.found),
    )


def emergence_message(
    analysis: EmergenceAnalysis, found: Emergence, passes: Passes, known: Sequence[Known]
) -> Any:
    """interleaf.v1.EmergenceStudy."""
    entering = {told: set(found.entering(told)) for told in (Told.PROMPT, Told.TOKENS)}
    belong = {head for told in Told for head in found.heads(told)}
    new = entering[Told.PROMPT] | entering[Told.TOKENS]

    def worth(told: Told, head: Head) -> float:
        return float(found.worth[told][head.layer, head.head])

    ordered = sorted(belong, key=lambda head: (head not in new, -max(worth(told, head) for told in Told)))
    return pb.EmergenceStudy(
        answer=analysis.answer,
        fact=fact_name(known[0].fact),
        nowhere=found.log_probability[Told.NOWHERE],
        in_prompt=found.log_probability[Told.PROMPT],
        injected=found.log_probability[Told.TOKENS],
        threshold=found.threshold,
        heads=[
            pb.EmergingHead(
                head=head_name(head),
                nowhere=worth(Told.NOWHERE, head),
                in_prompt=worth(Told.PROMPT, head),
                injected=worth(Told.TOKENS, head),
                enters_in_prompt=head in entering[Told.PROMPT],
                enters_injected=head in entering[Told.TOKENS],
            )
            for head in ordered
        ],
        passes=passes_message(passes),
        prompt_svg=pictures.emergence_map(found, Told.PROMPT),
        injected_svg=pictures.emergence_map(found, Told.TOKENS),
    )


def grafting_message(analysis: GraftingAnalysis, found: GraftingFound, passes: Passes) -> Any:
    """interleaf.v1.GraftingStudy."""
    parts = found.components
    return pb.GraftingStudy(
        outcomes=map(_outcome, found.outcomes),
        components=map(_outcome, parts),
        facts=len(analysis.facts) - found.left_out,
        cases=found.cases,
        left_out=found.left_out,
        losses=found.losses,
        passes=passes_message(passes),
        svg=grafting_picture(found.outcomes),
        components_svg=grafting_picture(parts, "Which of the new weights are needed at FE and LT")
        if parts
        else "",
    )


def _outcome(outcome: Outcome) -> Any:
    return pb.GraftOutcome(
        scheme=outcome.scheme.label,
        top5=statistics.fmean(outcome.top5),
        probability=statistics.fmean(outcome.probability),
        rank=statistics.median(outcome.rank) + 1,
        margin=statistics.fmean(outcome.margin),
        log_probability=statistics.fmean(outcome.log_probability),
    )


def _behaviour(found: Sequence[Behaviour]) -> Any:
    """Mean over the graphs and the questions."""
    return pb.Behaviour(
        log_probability=statistics.fmean(each.mean for each in found),
        hit10=statistics.fmean(hit for each in found for hit in each.hits()),
        whole_hit10=statistics.fmean(hit for each in found for hit in each.whole_hits()),
    )


def _silenced(found: Silenced) -> Any:
    return pb.Silenced(loss=found.loss, right=found.right)


def _named(known: Mapping[int, Any], value: Any) -> Any:
    """The enum's own value, not the unset one that means it too."""
    return max(number for number, each in known.items() if each is value)
