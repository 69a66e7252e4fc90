"""What the model answers to LRE's questions, what is seen inside, and what injecting the fact makes of it: row by row,
kept as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.common import Bench
from bench.kept import Kept, Row
from bench.service_run import Service
from circuits.answered import answer_all
from circuits.hallucination.features import features
from circuits.lab import Lab
from circuits.lens import look_at_answer
from circuits.probe import Probe
from interleaf.v1 import circuits_pb2 as pb

NAMESPACE = "lre"
_EVERY = 50


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, what was seen inside, and the last hidden state of the prompt."""

    relation: str
    prompt: str
    subject: str
    object: str
    answer: str
    right: bool
    values: Mapping[str, float]
    hidden: tuple[float, ...]


def ask(bench: Bench, lab: Lab, probes: Sequence[tuple[str, Probe]], kept: Kept) -> list[Judged]:
    """In batches; those whose subject cannot be placed are left out."""
    found: list[Judged] = []
    for start in range(0, len(probes), lab.rows):
        part = probes[start : start + lab.rows]
        name = "\n".join(f"{each.prompt} {each.object}" for _, each in part)
        row = kept.row(name, partial(_batch, lab, part))
        if row is None:
            bench.log(f"time is up: {len(found)} answers of {len(probes)} questions")
            break
        found += [Judged(**{**each, "hidden": tuple(each["hidden"])}) for each in row["answers"]]
        if len(found) // _EVERY != (len(found) - len(row["answers"])) // _EVERY:
            bench.log(f"{len(found)} of {len(probes)}")
    return found


def _batch(lab: Lab, probes: Sequence[tuple[str, Probe]]) -> Row:
    rows = []
    for item in answer_all(lab, probes):
        seen = look_at_answer(lab, item.placed, item.tokens)
        last = seen.residual[-1, item.placed.last].float()
        rows.append(
            {
                "relation": item.relation,
                "prompt": str(item.probe.prompt),
                "subject": item.probe.subject,
                "object": item.probe.object,
                "answer": item.answer,
                "right": item.right,
                "values": dict(features(lab, seen, item.placed, item.tokens).values),
                "hidden": [round(value, 4) for value in last.tolist()],
            }
        )
    return {"answers": rows}


async def repair(bench: Bench, service: Service, wrong: Iterable[Judged], kept: Kept) -> list[Row]:
    """The check of each wrong answer through the running service, which holds the facts."""
    found: list[Row] = []
    for each in wrong:
        name = f"{each.prompt} {each.object}\n{each.answer}"
        row = kept.get(name)
        if row is None and kept.time_is_up:
            bench.log(f"time is up: {len(found)} answers repaired")
            break
        if row is None:
            row = await _repaired(service, each)
            kept.keep(name, row)
        found.append(row)
        if len(found) % _EVERY == 0:
            bench.log(f"{len(found)} repaired")
    return found


async def _repaired(service: Service, each: Judged) -> Row:
    request = pb.CheckHallucinationRequest(
        parent=f"namespaces/{NAMESPACE}",
        prompt=each.prompt,
        answer=each.answer,
        truth=each.object,
        subject=each.subject,
    )
    report: Any = await service.call(
        "/interleaf.v1.Circuits/CheckHallucination", request, pb.HallucinationReport
    )
    return {
        "verdict": pb.Verdict.Name(report.verdict).removeprefix("VERDICT_").lower(),
        "fact": bool(report.fact),
        "repaired": report.repair.repaired,
        "says_truth": report.repair.says_truth,
        "passes": report.passes.forward,
    }
