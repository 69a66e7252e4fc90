"""Between messages and domain values: checks and studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import any_pb2

from circuits.hallucination.check import Check, Verdict
from circuits.heads import Role
from circuits.interventions import Head, Node
from circuits.knockout import Curve
from circuits.lab import Passes
from circuits.lens import Trajectory
from circuits.probe import Placed
from circuits.reading import FactReading
from interleaf.v1 import circuits_pb2
from service.commands.checking import Checked, Traced
from service.commands.studying import CircuitWork, StudyPacking
from service.convert.circuits_many import (
    circuit_message,
    emergence_message,
    grafting_message,
    head_name,
    located_message,
    passes_message,
)
from service.convert.facts import fact_name, pack, stamp
from service.pictures import circuits as pictures
from service.serving.knowledge import Known
from service.studies.circuits import CircuitAnalysis, EmergenceAnalysis, GraftingAnalysis, LocatingAnalysis
from service.studies.kinds import (
    Analysis,
    FactsAnalysis,
    HeadsAnalysis,
    HeadsFound,
    KnockoutAnalysis,
    KnockoutFound,
    RecallAnalysis,
    RecallFound,
)
from service.studies.words import explained

VERDICTS: Mapping[Verdict, circuits_pb2.Verdict] = {
    Verdict.OK: circuits_pb2.VERDICT_OK,
    Verdict.NO_MOVER: circuits_pb2.VERDICT_NO_MOVER,
    Verdict.WRONG_MOVER: circuits_pb2.VERDICT_WRONG_MOVER,
    Verdict.LATE_OVERRIDE: circuits_pb2.VERDICT_LATE_OVERRIDE,
    Verdict.NEVER_ENRICHED: circuits_pb2.VERDICT_NEVER_ENRICHED,
    Verdict.NOT_PREFERRED: circuits_pb2.VERDICT_NOT_PREFERRED,
    Verdict.OUTWEIGHED: circuits_pb2.VERDICT_OUTWEIGHED,
}
_SOURCES: Mapping[str, circuits_pb2.TruthSource] = {
    "none": circuits_pb2.TRUTH_SOURCE_NONE,
    "caller": circuits_pb2.TRUTH_SOURCE_CALLER,
    "store": circuits_pb2.TRUTH_SOURCE_STORE,
}
_ROLES: Mapping[Role, circuits_pb2.HeadRole] = {
    Role.NONE: circuits_pb2.HEAD_ROLE_NONE,
    Role.MOVER: circuits_pb2.HEAD_ROLE_MOVER,
    Role.RELATION: circuits_pb2.HEAD_ROLE_RELATION,
    Role.MIXTURE: circuits_pb2.HEAD_ROLE_MIXTURE,
}
_DRIVERS = 16


def report_message(checked: Checked) -> Any:
    """interleaf.v1.HallucinationReport."""
    found = checked.check
    drawn = [found.answer] if found.truth is None else [found.answer, found.truth]
    return circuits_pb2.HallucinationReport(
        verdict=VERDICTS[found.verdict],
        chance_wrong=found.chance_wrong,
        threshold=checked.threshold,
        answer=checked.answer,
        truth=checked.truth,
        truth_source=_SOURCES[checked.source],
        fact=fact_name(checked.fact.fact) if checked.fact is not None else "",
        subject=checked.subject,
        tokens=_tokens(found.placed),
        answer_trajectory=_trajectory(found.answer),
        truth_trajectory=None if found.truth is None else _trajectory(found.truth),
        overtaken=found.overtaken,
        drivers=[
            circuits_pb2.Driver(
                node=_node(driver.node),
                towards_answer=driver.towards_answer,
                through_subject=driver.through_subject,
            )
            for driver in found.drivers[:_DRIVERS]
        ],
        needed=_needed(found),
        repair=_repair(found),
        features=found.features,
        passes=passes_message(found.passes),
        explanation=explained(checked),
        svg=pictures.trajectories(drawn, found.overtaken),
    )


def trace_message(traced: Traced) -> Any:
    """interleaf.v1.AnswerTrace."""
    return circuits_pb2.AnswerTrace(
        answers=map(_trajectory, traced.result.answers),
        top=traced.result.top,
        tokens=_tokens(traced.placed),
        passes=passes_message(traced.passes),
        svg=pictures.trajectories(traced.result.answers),
    )


def _needed(found: Check) -> Any:
    if found.needed is None:
        return None
    return circuits_pb2.NeededForTruth(
        gap=found.needed.gap, nodes=map(_node, found.needed.nodes), gap_without=found.needed.after
    )


def _repair(found: Check) -> Any:
    repair = found.repair
    if repair is None:
        return None
    return circuits_pb2.Repair(
        answer_before=repair.answer_before,
        answer_after=repair.answer_after,
        truth_before=repair.truth_before,
        truth_after=repair.truth_after,
        repaired=repair.repaired,
        says_truth=repair.says_truth,
        readers=[
            circuits_pb2.FactReader(head=head_name(head), attention=share, direct=direct)
            for head, share, direct in repair.readers
        ],
    )


def _trajectory(found: Trajectory) -> Any:
    return circuits_pb2.Trajectory(
        answer=found.text,
        tokens=found.tokens,
        log_probability=found.log_probability,
        first_log_probability=found.first_log_probability,
        rank=found.rank,
        subject_rank=found.subject_rank,
    )


def _tokens(placed: Placed) -> list[Any]:
    return [
        circuits_pb2.Token(text=piece, subject=at in placed.subject, relation=at in placed.relation)
        for at, piece in enumerate(placed.pieces)
    ]


def _node(node: Node) -> Any:
    if isinstance(node, Head):
        return circuits_pb2.NodeName(layer=node.layer, head=node.head)
    return circuits_pb2.NodeName(layer=node.layer, mlp=True)


def _curves(curves: Sequence[Curve]) -> list[Any]:
    return [
        circuits_pb2.KnockoutCurve(what=each.what, log_change=each.log_change, relative=each.relative)
        for each in curves
    ]


def _heads_message(found: HeadsFound, passes: Passes) -> Any:
    layers = 1 + max(report.head.layer for report in found.reports)
    heads = 1 + max(report.head.head for report in found.reports)
    return circuits_pb2.HeadStudy(
        heads=[
            circuits_pb2.HeadReport(
                head=head_name(report.head),
                role=_ROLES[report.role],
                attention_subject=report.attention_subject,
                attention_relation=report.attention_relation,
                direct=report.direct,
                mover=report.mover,
                relation=report.relation,
                delta=None if math.isnan(report.delta) else report.delta,
                first_delta=None if math.isnan(report.first_delta) else report.first_delta,
                says=report.says,
            )
            for report in found.reports
        ],
        mover_threshold=found.thresholds.mover,
        relation_threshold=found.thresholds.relation,
        false_positives=None
        if math.isnan(found.thresholds.false_positives)
        else found.thresholds.false_positives,
        tokens=_tokens(found.placed),
        passes=passes_message(passes),
        svg=pictures.head_map(found.reports, layers, heads),
    )


def _knockout_message(found: KnockoutFound, window: int, passes: Passes) -> Any:
    return circuits_pb2.KnockoutStudy(
        window=window,
        edges=_curves(found.edges),
        sublayers=_curves(found.sublayers),
        tokens=_tokens(found.placed),
        passes=passes_message(passes),
        edges_svg=pictures.knockout_curves(
            f"Attention edges into the answer, blocked in {window} layers",
            "layer in the middle",
            found.edges,
        ),
        sublayers_svg=pictures.knockout_curves(
            f"Sub-layers silenced in {window} layers", "first layer", found.sublayers
        ),
    )


def _recall_message(found: RecallFound, passes: Passes) -> Any:
    scores = found.gradient_input.tolist()
    return circuits_pb2.RecallStudy(
        attributes_rate=found.attributes.rate,
        attributes_held=found.attributes.held,
        attention_extracts=found.extraction.attention,
        mlp_extracts=found.extraction.mlp,
        mappings=[
            circuits_pb2.HeadMapping(head=head_name(each.head), tokens=each.tokens, logits=each.logits)
            for each in found.mappings
        ],
        gradient_input=[circuits_pb2.PositionScores(scores=layer) for layer in scores],
        tokens=_tokens(found.placed),
        passes=passes_message(passes),
        svg=pictures.recall_chart(found.attributes.rate, found.attributes.held),
        gradient_svg=pictures.gradient_map(found.placed.pieces, scores),
    )


def _facts_message(found: FactReading, answer: str, passes: Passes, known: Sequence[Known]) -> Any:
    heads = 1 + max(each.head.head for each in found.heads)
    return circuits_pb2.FactExplanation(
        answer=answer,
        with_facts=found.with_facts,
        plain=found.plain,
        facts=[
            circuits_pb2.ReadFact(
                fact=fact_name(item.fact),
                subject=item.fact.content.subject,
                relation=item.fact.content.relation,
                object=item.fact.content.object,
                delta=delta,
                token_deltas=tokens,
            )
            for item, delta, tokens in zip(known, found.facts, found.tokens, strict=True)
        ],
        layers=[circuits_pb2.ReadingLayer(layer=layer, delta=delta) for layer, delta in found.layers],
        heads=[
            circuits_pb2.ReadingHead(
                head=head_name(each.head), attention=each.shares, direct=each.direct, delta=each.delta
            )
            for each in found.heads
        ],
        passes=passes_message(passes),
        svg=pictures.reading_map(found, heads),
    )


def _result(analysis: Analysis, result: Any, passes: Passes, known: tuple[Known, ...]) -> bytes:
    match analysis:
        case HeadsAnalysis():
            message = _heads_message(result, passes)
        case KnockoutAnalysis():
            message = _knockout_message(result, analysis.window, passes)
        case RecallAnalysis():
            message = _recall_message(result, passes)
        case CircuitAnalysis():
            message = circuit_message(analysis, result, passes)
        case LocatingAnalysis():
            message = located_message(analysis, result, passes)
        case EmergenceAnalysis():
            message = emergence_message(analysis, result, passes, known)
        case GraftingAnalysis():
            message = grafting_message(analysis, result, passes)
        case FactsAnalysis():
            message = _facts_message(result, analysis.answer, passes, known)
        case _:
            raise TypeError(f"no message for {analysis.kind}")
    return pack(message)


def _work(work: CircuitWork) -> bytes:
    return pack(
        circuits_pb2.CircuitWorkMetadata(
            kind=work.kind,
            stage=work.stage,
            share=work.share,
            planned=passes_message(work.planned),
            start_time=stamp(work.start_time),
        )
    )


def _kind(metadata: bytes) -> str:
    message = circuits_pb2.CircuitWorkMetadata()
    any_pb2.Any.FromString(metadata).Unpack(message)
    kind: str = message.kind
    return kind


STUDY_PACKING = StudyPacking(work=_work, kind=_kind, result=_result)
