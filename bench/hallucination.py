"""The check of answers: does what happens inside tell right answers from wrong ones, and does a fact repair them?

    python -m bench.hallucination --data FOLDER --size quick|full --seed N [--per-relation N] [--repairs N]
        [--calibration FOLDER] [--minutes N]

FOLDER is LRE's; INTERLEAF_LRE names it too. Every question is answered greedily, without facts, and judged by whether
the answer begins with the object. The check's chance of being wrong comes from the shipped calibration, which was
fitted on built-in facts of other relations; questions whose fact is one of those are left out. auroc_*: how well a
score tells wrong answers from right ones: the check; its inner features alone (auroc_inside); and, of the first token's
distribution, highest probability, entropy, margin.
auroc_probe: a logistic probe on the last hidden state, fitted on the other four fifths of these very relations.
auroc_check_refit: the check's features fitted in the same folds, for comparison with the probe. *_within: mean over
relations with at least five answers of each kind, so that telling relations apart does not help. check_over_*: the
check's AUROC less another's, paired. repaired: of wrong answers whose fact is stored among all the others, the share
of which the truth is more probable than the answer once facts are injected, through the running service; says_truth:
each token of the truth is then the first choice. Relations differ widely: intervals are of relations, drawn whole.
Answers are kept as they come (bench/kept.py): a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import circuits
from bench import hallucination_answers
from bench.answers import auroc
from bench.common import Bench, sample_keys, share_keys
from bench.hallucination_answers import NAMESPACE, Judged, ask, repair
from bench.hallucination_data import CALIBRATED_ON, data_argument, lre_probes, unseen
from bench.kept import Kept, Row, kept_arguments, modules_of
from bench.kept_asking import product_digest
from bench.service_run import model_arguments, running
from circuits.hallucination.calibration import USED, Calibration, calibration_of, fit
from circuits.lab import Lab
from engines.models import load_model, model_digest, resolve_model
from kb_store.model import Content

_QUICK, _FULL = 8, 60  # questions of each relation
_REPAIRS_QUICK, _REPAIRS_FULL = 40, 300
_FOLDS = 5
_OUTSIDE = ("output_", "told_")  # features that any caller could read off the output
_EACH = 5
_BASELINES = ("maxprob", "entropy", "margin", "probe")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data, or no calibration of the model."""
    bench = Bench("hallucination", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    count = bench.args.per_relation or (_FULL if bench.full else _QUICK)
    probes = lre_probes(bench, count, random.Random(bench.seed), CALIBRATED_ON)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path)
    digest = model_digest(model)
    calibration = calibration_of(digest, bench.args.calibration)
    if calibration is None:
        print(
            "bench.hallucination: no calibration of this model: run `interleaf circuits calibrate`",
            file=sys.stderr,
        )
        sys.exit(2)
    probes = unseen(probes, calibration.relations)
    made_by = (hallucination_answers, *modules_of(circuits))
    with bench.stage(f"asking {len(probes)} questions"):
        kept = Kept(bench, made_by, model=digest, per_relation=count)
        judged = ask(bench, Lab(model, tokenizer), probes, kept)
    if len({each.right for each in judged}) < 2:
        print("bench.hallucination: right and wrong answers are needed: no figures yet", file=sys.stderr)
        sys.exit(2)
    scores = _scores(judged, calibration, bench.seed)
    keys = _tables(judged, scores, calibration, bench.seed)
    repairs = bench.args.repairs
    repairs = (_REPAIRS_FULL if bench.full else _REPAIRS_QUICK) if repairs is None else repairs
    wrong = [each for each in judged if not each.right][:repairs]
    repaired: list[Row] = []
    if wrong:
        facts = {(each.subject, each.relation): _fact(each) for each in judged}
        with bench.stage(f"repairing {len(wrong)} wrong answers"):
            kept = Kept(
                bench,
                made_by,
                model=digest,
                product=product_digest(bench.args.encoder),
                calibration=calibration_of(digest),  # the service's, whatever was given here
                facts=list(facts.values()),
            )
            repaired = asyncio.run(_repaired(bench, wrong, list(facts.values()), kept))
        keys |= _repair_keys(repaired, [each.relation for each in wrong[: len(repaired)]], bench.seed)
    bench.finish(
        keys,
        n=len(judged),
        model=path.name,
        rows=_rows(judged, scores, dict(zip(map(id, wrong), repaired, strict=False))),
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
    kept_arguments(parser)


def _scores(judged: Sequence[Judged], calibration: Calibration, seed: int) -> dict[str, Sequence[float]]:
    """Of each answer; the higher, the more it speaks for a wrong one."""
    inside = [name for name in USED if not name.startswith(_OUTSIDE)]
    scores: dict[str, Sequence[float]] = {
        "check": [calibration.chance_wrong(each.values) for each in judged],
        "maxprob": [-each.values["output_top_log_probability"] for each in judged],
        "entropy": [each.values["output_entropy"] for each in judged],
        "margin": [-each.values["output_margin"] for each in judged],
    }
    folds = _folds([each.relation for each in judged], seed)
    scores["check_refit"] = _held_out(judged, folds, lambda each: each.values, USED)
    scores["inside"] = _held_out(judged, folds, lambda each: each.values, inside)
    width = len(judged[0].hidden)
    names = [str(at) for at in range(width)]
    scores["probe"] = _held_out(
        judged, folds, lambda each: dict(zip(names, each.hidden, strict=True)) | _NO_VERDICT, names
    )
    return scores


def _tables(
    judged: Sequence[Judged], scores: Mapping[str, Sequence[float]], calibration: Calibration, seed: int
) -> dict[str, Any]:
    wrong = [not each.right for each in judged]
    of = [each.relation for each in judged]
    keys: dict[str, Any] = {"relations": len(set(of))}
    keys |= share_keys("wrong", wrong, clusters=of, seed=seed)
    for name, values in scores.items():
        pairs = list(zip(values, wrong, strict=True))
        keys |= sample_keys(f"auroc_{name}", pairs, statistic=_auroc, clusters=of, seed=seed)
        keys[f"auroc_{name}_within"] = _within(values, judged)
    for name in _BASELINES:
        triples = list(zip(scores["check"], scores[name], wrong, strict=True))
        keys |= sample_keys(f"check_over_{name}", triples, statistic=_lead, clusters=of, seed=seed)
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
    return "right" if each.right else "wrong"


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
        seen = [each for each in judged if folds[each.relation] != fold]
        fitted = fit(
            "",
            [values(each) for each in seen],
            [not each.right for each in seen],
            [each.relation for each in seen],
            names,
        )
        for at, each in enumerate(judged):
            if folds[each.relation] == fold:
                scores[at] = fitted.chance_wrong(values(each))
    return scores


def _lead(rows: Sequence[Any]) -> float:
    """By how much one score tells more than another, on the same answers."""
    mine, others = ([(row[place], row[2]) for row in rows] for place in (0, 1))
    return _auroc(mine) - _auroc(others)


def _auroc(pairs: Sequence[Any]) -> float:
    bad = [score for score, is_wrong in pairs if is_wrong]
    good = [score for score, is_wrong in pairs if not is_wrong]
    return auroc(bad, good) if bad and good else 0.5


def _within(scores: Sequence[float], judged: Sequence[Judged]) -> float | None:
    by_relation: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for score, each in zip(scores, judged, strict=True):
        by_relation[each.relation][each.right].append(score)
    found = [auroc(bad, good) for bad, good in by_relation.values() if min(len(bad), len(good)) >= _EACH]
    return sum(found) / len(found) if found else None


def _fact(each: Judged) -> Content:
    return Content(each.subject, each.relation, each.object)


async def _repaired(bench: Bench, wrong: Sequence[Judged], facts: Sequence[Content], kept: Kept) -> list[Row]:
    """With the facts of all questions in one namespace."""
    async with running(model=bench.args.model, encoder=bench.args.encoder) as service:
        await service.store(NAMESPACE, facts)
        return await repair(bench, service, wrong, kept)


def _repair_keys(rows: Sequence[Row], of: Sequence[str], seed: int) -> dict[str, Any]:
    if not rows:
        return {"repairs": 0}
    keys: dict[str, Any] = {}
    for name, kind in (("fact_found", "fact"), ("repaired", "repaired"), ("says_truth", "says_truth")):
        keys |= share_keys(name, [row[kind] for row in rows], clusters=of, seed=seed)
    verdicts = Counter(row["verdict"] for row in rows)
    keys |= {f"verdict_{name}": count / len(rows) for name, count in sorted(verdicts.items())}
    keys["passes"] = max(row["passes"] for row in rows)
    return keys | {"repairs": len(rows)}


def _rows(
    judged: Sequence[Judged], scores: Mapping[str, Sequence[float]], repaired: Mapping[int, Row]
) -> list[dict[str, Any]]:
    """All that intervals are made of."""
    return [
        {
            "relation": each.relation,
            "prompt": each.prompt,
            "object": each.object,
            "answer": each.answer,
            "right": each.right,
            "scores": {name: round(values[at], 5) for name, values in scores.items()},
            "repair": repaired.get(id(each)),
        }
        for at, each in enumerate(judged)
    ]


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
