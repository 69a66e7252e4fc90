"""Editors of weights on CounterFact records: each record edited alone, scored, and taken back.

    python -m bench.editors --data FILE --size quick|full --seed N [--edits N] [--sequence N] [--methods rrome,ftm]

The file is as for bench.counterfact (INTERLEAF_COUNTERFACT names it too). es, ps, ns, s: as in ROME's evaluation,
teacher-forced, by mean token log-likelihood. seconds: mean of computing one edit. seqN: S over the same N records
after all have been edited one on top of the other. undo_exact: after every revert all touched tensors had
their first digests. A method whose layer was not measured on the model is null; so is kv, which needs the service.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.common import Bench, sample_keys
from bench.counterfact import ENVIRONMENT
from bench.counterfact_records import read_records, score_keys
from bench.editors_data import edit_cases
from editors.metrics.counterfact import CaseScore, EditCase, score_cases
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.delta import tensor_digest
from editors.weights.errors import Unmeasured
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.session import user_specs
from editors.weights.specs import spec_of
from editors.weights.statistics import KeyStatistics
from editors.weights.tune import single_edits
from engines.models import cache_dir, load_model, resolve_model
from service.edit_tuning import key_text

# What keys are called: which method, and what it is told whatever the model.
RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "rome": ("rome", {"corrected": False}),
    "rrome": ("rome", {"corrected": True}),
    "ftl": ("ft_l", {}),
    "ftm": ("ft_m", {}),
    "memit": ("memit", {}),
}
_UNDER_THE_SERVICE = ("kv",)
_SEQUENCES = ("rome", "rrome", "ftm")
_QUICK, _FULL = 2, 300


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("editors", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    cases = _cases(bench)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    editable = EditableModel(model, tokenizer)
    means = Means(KeyStatistics(key_text(), bench.args.key_tokens, cache_dir() / "keys"))
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    before = _digests(editable)
    for name in (*RIVALS, *_UNDER_THE_SERVICE):
        keys |= dict.fromkeys((f"{kind}_{name}" for kind in ("es", "ps", "ns", "s", "seconds")), None)
    keys |= {f"seq100_{name}": None for name in _SEQUENCES}
    for name in bench.args.methods:
        settings = _settings(bench, editable, name)
        if settings is None:
            continue
        with bench.stage(f"{name}: {len(cases)} single edits"):
            scores, seconds = single_edits(editable, RIVALS[name][0], settings, cases, means)
        keys |= score_keys(f"_{name}", [_outcome(score) for score in scores])
        keys |= sample_keys(f"seconds_{name}", seconds)
        rows += [_row(name, *each) for each in zip(cases, scores, seconds, strict=True)]
        if bench.args.sequence and name in _SEQUENCES:
            with bench.stage(f"{name}: {bench.args.sequence} edits one after the other"):
                found = _in_sequence(editable, name, settings, cases[: bench.args.sequence], means)
            kept = score_keys("", [_outcome(score) for score in found])
            keys |= {f"seq{bench.args.sequence}_{name}{end}": kept[f"s{end}"] for end in ("", "_lo", "_hi")}
    keys["undo_exact"] = _digests(editable) == before
    bench.finish(keys, n=len(cases), model=path.name, rows=rows, configuration={"data": bench.args.data.name})


def _arguments(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the records")
    parser.add_argument("--edits", type=int, help="edits instead of the usual number")
    parser.add_argument("--sequence", type=int, help="edits one after the other; 0: none")
    parser.add_argument("--methods", type=_methods, default=list(RIVALS), help="some of them, with commas")
    parser.add_argument("--specs", type=Path, default=user_specs(), help="folder of measured settings")
    parser.add_argument("--key-tokens", type=int, default=50_000, help="of text, for key statistics")


def _methods(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(RIVALS):
        raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(RIVALS)}")
    return names


def _cases(bench: Bench) -> list[EditCase]:
    path: Path | None = bench.args.data
    if path is None or not path.is_file():
        print(f"bench.editors: give the CounterFact records with --data or {ENVIRONMENT}", file=sys.stderr)
        raise SystemExit(2)
    if bench.args.sequence is None:
        bench.args.sequence = 100 if bench.full else 0
    count = bench.args.edits or (_FULL if bench.full else _QUICK)
    return edit_cases(bench.random.sample(read_records(path), count))


def _settings(bench: Bench, editable: EditableModel, name: str) -> Mapping[str, Any] | None:
    method, fixed = RIVALS[name]
    try:
        return {**spec_of(editable.digest, bench.args.specs).settings(method), **fixed}
    except Unmeasured as error:
        bench.log(f"{name}: {error}")
        return None


def _in_sequence(
    editable: EditableModel, name: str, settings: Mapping[str, Any], cases: Sequence[EditCase], means: Means
) -> list[CaseScore]:
    """All cases, after the last edit."""
    editor = make_editor(RIVALS[name][0], settings)
    try:
        for case in cases:
            editable.apply(editor.compute(editable, [case.request], means))
        return score_cases(ModelSpeaker(editable.model, editable.tokenizer), cases)
    finally:
        while editable.deltas:
            editable.revert(editable.deltas[-1])


def _digests(editable: EditableModel) -> dict[str, str]:
    return {name: tensor_digest(tensor) for name, tensor in editable.model.state_dict().items()}


def _outcome(score: CaseScore) -> list[bool]:
    return [bool(score.es), bool(score.ps), bool(score.ns)]


def _row(name: str, case: EditCase, score: CaseScore, seconds: float) -> dict[str, Any]:
    (paraphrase,), (neighbour,) = score.paraphrases, score.neighbours
    return {
        "method": name,
        "prompt": case.request.prompt,
        "new": case.request.target,
        "true": case.true,
        "edited": [score.edited.new, score.edited.true],
        "paraphrase": [paraphrase.new, paraphrase.true],
        "neighbour": [neighbour.new, neighbour.true],
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
