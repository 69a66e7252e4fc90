"""The check of answers: does what happens inside tell right answers from wrong ones, and does a fact repair them?

    python -m bench.hallucination --data FOLDER --size quick|full --seed N [--per-relation N] [--repairs N]
        [--calibration FOLDER]

FOLDER is LRE's; INTERLEAF_LRE names it too. Every question is answered greedily, without facts, and judged by whether
the answer begins with the object. The check's chance of being wrong comes from the shipped calibration, which was
fitted on built-in facts of other relations. auroc_*: how well a score tells wrong answers from right ones: the check;
its inner features alone (auroc_inside); and, of the first token's distribution, highest probability, entropy, margin.
auroc_probe: a logistic probe on the last hidden state, fitted on the other four fifths of these very relations.
auroc_check_refit: the check's features fitted in the same folds, for comparison with the probe. *_within: mean over
relations with at least five answers of each kind, so that telling relations apart does not help. repaired: of wrong
answers whose fact is stored among all the others, the share of which the truth is more probable than the answer once
facts are injected, through the running service; says_truth: each token of the truth is then the first choice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.answers import auroc
from bench.common import Bench, interval, share_keys
from bench.hallucination_data import CALIBRATED_ON, data_argument, lre_probes
from bench.service_run import model_arguments, running
from circuits.answered import Answered, answer_all
from circuits.hallucination.calibration import USED, Calibration, calibration_of, fit
from circuits.hallucination.features import features
from circuits.lab import Lab
from circuits.lens import look_at_answer
from engines.models import load_model, model_digest, resolve_model
from interleaf.v1 import circuits_pb2 as pb
from kb_store.model import Content

_QUICK, _FULL = 8, 60  # questions of each relation
_REPAIRS_QUICK, _REPAIRS_FULL = 40, 300
_NAMESPACE = "lre"
_FOLDS = 5
_OUTSIDE = ("output_", "told_")  # features that any caller could read off the output
_EACH = 5
_EVERY = 50


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, what was seen inside, and the last hidden state of the prompt."""

    item: Answered
    values: Mapping[str, float]
    hidden: tuple[float, ...]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data, or no calibration of the model."""
    bench = Bench("hallucination", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    count = bench.args.per_relation or (_FULL if bench.full else _QUICK)
    probes = lre_probes(bench, count, random.Random(bench.seed), CALIBRATED_ON)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path)
    calibration = calibration_of(model_digest(model), bench.args.calibration)
    if calibration is None:
        print(
            "bench.hallucination: no calibration of this model: run `interleaf circuits calibrate`",
            file=sys.stderr,
        )
        sys.exit(2)
    with bench.stage(f"asking {len(probes)} questions"):
        judged = _judged(bench, Lab(model, tokenizer), probes)
    keys = _tables(judged, calibration, bench.seed)
    repairs = bench.args.repairs
    repairs = (_REPAIRS_FULL if bench.full else _REPAIRS_QUICK) if repairs is None else repairs
    wrong = [each.item for each in judged if not each.item.right][:repairs]
    if wrong:
        with bench.stage(f"repairing {len(wrong)} wrong answers"):
            keys |= asyncio.run(_repaired(bench, wrong, [each.item for each in judged]))
    bench.finish(
        keys,
        n=len(judged),
        model=path.name,
        rows=_rows(judged, calibration),
        configuration={
            "per_relation": count,
            "calibrated_on": list(calibration.relations),
            "calibration_answers": calibration.answers,
        },
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    data_argument(parser)
    parser.add_argument("--per-relation", type=int, help="questions of each relation")
    parser.add_argument("--calibration", type=Path, help="a folder of calibrations, in place of the shipped")
    parser.add_argument("--repairs", type=int, help="wrong answers that facts are injected for; 0: none")


def _judged(bench: Bench, lab: Lab, probes: Sequence[Any]) -> list[Judged]:
    found = []
    for number, item in enumerate(answer_all(lab, probes), 1):
        seen = look_at_answer(lab, item.placed, item.tokens)
        values = features(lab, seen, item.placed, item.tokens).values
        hidden = tuple(seen.residual[-1, item.placed.last].float().tolist())
        found.append(Judged(item, values, hidden))
        if number % _EVERY == 0:
            bench.log(f"{number} of {len(probes)}")
    return found


def _tables(judged: Sequence[Judged], calibration: Calibration, seed: int) -> dict[str, Any]:
    wrong = [not each.item.right for each in judged]
    inside = [name for name in USED if not name.startswith(_OUTSIDE)]
    scores: dict[str, Sequence[float]] = {
        "check": [calibration.chance_wrong(each.values) for each in judged],
        "maxprob": [-each.values["output_top_log_probability"] for each in judged],
        "entropy": [each.values["output_entropy"] for each in judged],
        "margin": [-each.values["output_margin"] for each in judged],
    }
    folds = _folds([each.item.relation for each in judged], seed)
    scores["check_refit"] = _held_out(judged, folds, lambda each: each.values, USED)
    scores["inside"] = _held_out(judged, folds, lambda each: each.values, inside)
    width = len(judged[0].hidden)
    names = [str(at) for at in range(width)]
    scores["probe"] = _held_out(
        judged, folds, lambda each: dict(zip(names, each.hidden, strict=True)) | _NO_VERDICT, names
    )
    keys: dict[str, Any] = {"relations": len({each.item.relation for each in judged})}
    keys |= share_keys("wrong", wrong, seed=seed)
    for name, values in scores.items():
        keys |= _auroc_keys(f"auroc_{name}", values, wrong, seed)
        keys[f"auroc_{name}_within"] = _within(values, judged)
    counts = Counter(_suspected(each, calibration) for each in judged)
    keys |= {
        f"suspected_{kind}": counts[kind] / max(1, wrong.count(kind == "wrong"))
        for kind in ("wrong", "right")
    }
    return keys


_NO_VERDICT = {"moved_most": 0.0, "subject_rank": 0.0}


def _suspected(each: Judged, calibration: Calibration) -> str:
    if calibration.chance_wrong(each.values) <= calibration.threshold:
        return ""
    return "right" if each.item.right else "wrong"


def _folds(relations: Sequence[str], seed: int) -> dict[str, int]:
    names = sorted(set(relations))
    random.Random(seed).shuffle(names)
    return {name: at % _FOLDS for at, name in enumerate(names)}


def _held_out(
    judged: Sequence[Judged],
    folds: Mapping[str, int],
    values: Callable[[Judged], Mapping[str, float]],
    names: Sequence[str],
) -> list[float]:
    """Each answer's chance of being wrong from a model of the relations in the other folds."""
    scores = [0.0] * len(judged)
    for fold in range(_FOLDS):
        seen = [each for each in judged if folds[each.item.relation] != fold]
        fitted = fit(
            "",
            [values(each) for each in seen],
            [not each.item.right for each in seen],
            [each.item.relation for each in seen],
            names,
        )
        for at, each in enumerate(judged):
            if folds[each.item.relation] == fold:
                scores[at] = fitted.chance_wrong(values(each))
    return scores


def _auroc_keys(name: str, scores: Sequence[float], wrong: Sequence[bool], seed: int) -> dict[str, float]:
    def measured(pairs: Sequence[Any]) -> float:
        bad = [score for score, is_wrong in pairs if is_wrong]
        good = [score for score, is_wrong in pairs if not is_wrong]
        return auroc(bad, good) if bad and good else 0.5

    pairs: list[Any] = list(zip(scores, wrong, strict=True))
    low, high = interval(pairs, statistic=measured, rounds=500, seed=seed)
    return {name: measured(pairs), f"{name}_lo": low, f"{name}_hi": high}


def _within(scores: Sequence[float], judged: Sequence[Judged]) -> float | None:
    by_relation: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for score, each in zip(scores, judged, strict=True):
        by_relation[each.item.relation][each.item.right].append(score)
    found = [auroc(bad, good) for bad, good in by_relation.values() if min(len(bad), len(good)) >= _EACH]
    return sum(found) / len(found) if found else None


async def _repaired(
    bench: Bench, wrong: Sequence[Answered], everything: Sequence[Answered]
) -> dict[str, Any]:
    """Through the running service, with the facts of all questions in one namespace."""
    contents = {
        (item.probe.subject, item.relation): Content(item.probe.subject, item.relation, item.probe.object)
        for item in everything
    }
    reports = []
    async with running(model=bench.args.model, encoder=bench.args.encoder) as service:
        await service.store(_NAMESPACE, list(contents.values()))
        for item in wrong:
            request = pb.CheckHallucinationRequest(
                parent=f"namespaces/{_NAMESPACE}",
                prompt=str(item.probe.prompt),
                answer=item.answer,
                truth=item.probe.object,
                subject=item.probe.subject,
            )
            report = await service.call(
                "/interleaf.v1.Circuits/CheckHallucination", request, pb.HallucinationReport
            )
            reports.append(report)
            if len(reports) % _EVERY == 0:
                bench.log(f"{len(reports)} of {len(wrong)} repaired")
    verdicts = Counter(pb.Verdict.Name(report.verdict).removeprefix("VERDICT_").lower() for report in reports)
    keys = share_keys("fact_found", [bool(report.fact) for report in reports], seed=bench.seed)
    keys |= share_keys("repaired", [report.repair.repaired for report in reports], seed=bench.seed)
    keys |= share_keys("says_truth", [report.repair.says_truth for report in reports], seed=bench.seed)
    keys |= {f"verdict_{name}": count / len(reports) for name, count in sorted(verdicts.items())}
    keys["passes"] = max(report.passes.forward for report in reports)
    return keys | {"repairs": len(reports)}


def _rows(judged: Sequence[Judged], calibration: Calibration) -> list[dict[str, Any]]:
    return [
        {
            "relation": each.item.relation,
            "prompt": each.item.probe.prompt,
            "object": each.item.probe.object,
            "answer": each.item.answer,
            "right": each.item.right,
            "chance_wrong": round(calibration.chance_wrong(each.values), 4),
            "features": {name: round(value, 4) for name, value in each.values.items()},
        }
        for each in judged
    ]


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
