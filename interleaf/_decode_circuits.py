"""From protobuf messages to the values of `client.circuits`."""

from __future__ import annotations

from typing import Any

from interleaf import _circuit_types as t
from interleaf._decode import named
from interleaf._pictures import Picture
from interleaf.v1 import circuits_pb2


def report(message: Any) -> t.HallucinationReport:
    """interleaf.v1.HallucinationReport."""
    known = message.HasField
    return t.HallucinationReport(
        verdict=named(t.Verdict, circuits_pb2.Verdict, message.verdict),
        chance_wrong=message.chance_wrong if known("chance_wrong") else None,
        threshold=message.threshold,
        answer=message.answer,
        truth=message.truth,
        truth_source=named(t.TruthSource, circuits_pb2.TruthSource, message.truth_source),
        fact=message.fact,
        subject=message.subject,
        answer_trajectory=_trajectory(message.answer_trajectory),
        truth_trajectory=_trajectory(message.truth_trajectory) if known("truth_trajectory") else None,
        overtaken=message.overtaken if known("overtaken") else None,
        drivers=tuple(
            t.Driver(_node(each.node), each.towards_answer, each.through_subject) for each in message.drivers
        ),
        needed=_needed(message.needed) if known("needed") else None,
        repair=_repair(message.repair) if known("repair") else None,
        features=dict(message.features),
        forward_passes=message.passes.forward,
        explanation=message.explanation,
        picture=Picture(message.svg),
    )


def trace(message: Any) -> t.AnswerTrace:
    """interleaf.v1.AnswerTrace."""
    return t.AnswerTrace(tuple(map(_trajectory, message.answers)), tuple(message.top), Picture(message.svg))


def study(message: Any) -> t.Study:
    """Any of the studies: its pictures are the fields that are called svg, or something_svg."""
    fields = [field for field in message.DESCRIPTOR.fields_by_name if field.endswith("svg")]
    return t.Study(
        data=message,
        pictures={
            field.removesuffix("_svg").replace("svg", "picture"): Picture(getattr(message, field))
            for field in fields
            if getattr(message, field)
        },
    )


def _trajectory(message: Any) -> t.Trajectory:
    return t.Trajectory(
        answer=message.answer,
        tokens=message.tokens,
        log_probability=tuple(message.log_probability),
        first_log_probability=tuple(message.first_log_probability),
        rank=tuple(message.rank),
        subject_rank=tuple(message.subject_rank),
    )


def _node(message: Any) -> t.Node:
    return t.Node(message.layer, message.head if message.WhichOneof("node") == "head" else None)


def _needed(message: Any) -> t.NeededForTruth:
    return t.NeededForTruth(message.gap, tuple(map(_node, message.nodes)), message.gap_without)


def _repair(message: Any) -> t.Repair:
    return t.Repair(
        answer_before=message.answer_before,
        answer_after=message.answer_after,
        truth_before=message.truth_before,
        truth_after=message.truth_after,
        repaired=message.repaired,
        says_truth=message.says_truth,
        readers=tuple(
            t.FactReader(t.Node(each.head.layer, each.head.head), each.attention, each.direct)
            for each in message.readers
        ),
    )
