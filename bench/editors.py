"""Editors on CounterFact records: each record edited alone, scored, and taken back; and many on top of each other.

    python -m bench.editors --data FILE --size quick|full --seed N [--edits N] [--sequence N] [--methods rrome,ftm,kv]

The file is as for bench.counterfact (INTERLEAF_COUNTERFACT names it too). es, ps, ns, s: as in ROME's evaluation,
teacher-forced, by mean token log-likelihood. free_M: the share of edited prompts behind which the model freely says
the new object; fluency_M: entropy of what it goes on to say. seconds_M: mean of computing one edit. seqN_M: S over the
same N records after all were edited one on top of the other, ppl_seqN_M: perplexity of ordinary text then over that
of the unedited model; the same for mass edits at once, massN_memit. undo_exact: after everything all tensors have
their first digests. A method whose layer was not measured on the model is null.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from bench.common import Bench, sample_keys, share_keys
from bench.counterfact import ENVIRONMENT
from bench.counterfact_records import read_records, score_keys
from bench.editors_data import edit_cases
from bench.editors_many import in_sequence, mass_edit, outcome
from editors.comparison.contenders import Contender, WeightEdit
from editors.metrics.accuracy import says
from editors.metrics.counterfact import CaseScore, EditCase, score_cases
from editors.metrics.fluency import fluency
from editors.weights.contract import Means
from editors.weights.delta import tensor_digest
from editors.weights.errors import Unmeasured
from editors.weights.model import EditableModel
from editors.weights.session import user_specs
from editors.weights.specs import spec_of
from editors.weights.statistics import KeyStatistics
from engines.models import cache_dir, load_model, resolve_model
from service.edit_tuning import key_text

# What keys are called, and the method's own name.
RIVALS = {"rome": "rome", "rrome": "rrome", "ftl": "ft_l", "ftm": "ft_m", "memit": "memit", "kv": "kv"}
_METHOD = {"rome": "rome", "rrome": "rome", "ftl": "ft_l", "ftm": "ft_m", "memit": "memit"}
_SEQUENCES = ("rome", "rrome", "ftm")
_QUICK, _FULL = 2, 300
_TOKENS = 30  # that are generated behind each edited prompt


@dataclass
class _Seen:
    """Of one method: by case."""

    scores: list[CaseScore] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("editors", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    drawn = _cases(bench)
    cases = drawn[: bench.args.edits]
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    editable = EditableModel(model, tokenizer)
    means = Means(KeyStatistics(key_text(), bench.args.key_tokens, cache_dir() / "keys"))
    before = _digests(editable)
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for name in RIVALS:
        keys |= dict.fromkeys((f"{kind}_{name}" for kind in ("es", "ps", "ns", "s", "seconds")), None)
    keys |= {f"seq100_{name}": None for name in _SEQUENCES}
    for name in bench.args.methods:
        contender = _contender(bench, editable, name, means)
        if contender is None:
            continue
        with bench.stage(f"{name}: {len(cases)} single edits"):
            seen = _singly(contender, cases)
        keys |= _single_keys(name, cases, seen)
        rows += [_row(name, *each) for each in zip(cases, seen.scores, seen.seconds, strict=True)]
        if bench.args.sequence and name in _SEQUENCES:
            with bench.stage(f"{name}: {bench.args.sequence} edits one after the other"):
                settings = _settings(bench, editable, name)
                keys |= in_sequence(
                    editable, RIVALS[name], settings, cases[: bench.args.sequence], means, name
                )
        if name == "memit":
            for count in bench.args.mass:
                with bench.stage(f"memit: {count} edits at once"):
                    keys |= mass_edit(editable, _settings(bench, editable, name), drawn[:count], means)
    keys["undo_exact"] = _digests(editable) == before
    keys["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    bench.finish(keys, n=len(cases), model=path.name, rows=rows, configuration={"data": bench.args.data.name})


def _arguments(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the records")
    parser.add_argument("--edits", type=int, help="edits instead of the usual number")
    parser.add_argument("--sequence", type=int, help="edits one after the other; 0: none")
    parser.add_argument("--mass", type=_counts, help="edits at once by memit, with commas")
    parser.add_argument("--methods", type=_methods, default=list(RIVALS), help="some of them, with commas")
    parser.add_argument("--specs", type=Path, default=user_specs(), help="folder of measured settings")
    parser.add_argument("--key-tokens", type=int, default=50_000, help="of text, for key statistics")


def _methods(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(RIVALS):
        raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(RIVALS)}")
    return names


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",") if count]


def _cases(bench: Bench) -> list[EditCase]:
    path: Path | None = bench.args.data
    if path is None or not path.is_file():
        print(f"bench.editors: give the CounterFact records with --data or {ENVIRONMENT}", file=sys.stderr)
        raise SystemExit(2)
    if bench.args.sequence is None:
        bench.args.sequence = 100 if bench.full else 0
    if bench.args.mass is None:
        bench.args.mass = [100, 1000] if bench.full else []
    bench.args.edits = bench.args.edits or (_FULL if bench.full else _QUICK)
    return edit_cases(bench.random.sample(read_records(path), max(bench.args.edits, *bench.args.mass, 0)))


def _contender(bench: Bench, editable: EditableModel, name: str, means: Means) -> Contender | None:
    if name == "kv":
        return _facts(bench, editable)
    settings = _settings(bench, editable, name)
    return None if settings is None else WeightEdit(editable, RIVALS[name], settings, means)


def _facts(bench: Bench, editable: EditableModel) -> Contender | None:
    """Facts as served, but one at a time; null for a model without a shipped encoder."""
    from editors.kv.trained import load_encoder
    from engines.embedder import MiniLMEmbedder
    from service.fact_contender import FactContender

    try:
        encoder = load_encoder("default", resolve_model(bench.args.model).name)
    except FileNotFoundError as error:
        bench.log(f"kv: {error}")
        return None
    return FactContender(editable, encoder, MiniLMEmbedder.load())


def _settings(bench: Bench, editable: EditableModel, name: str) -> Mapping[str, Any] | None:
    try:
        return spec_of(editable.digest, bench.args.specs).settings(_METHOD[name])
    except Unmeasured as error:
        bench.log(f"{name}: {error}")
        return None


def _singly(contender: Contender, cases: Sequence[EditCase]) -> _Seen:
    seen = _Seen()
    for case in cases:
        with contender.edited(case) as state:
            seen.seconds.append(state.seconds)
            seen.scores += score_cases(state.speaker, [case])
            seen.texts += state.speaker.generate([case.request.prompt], _TOKENS)
    return seen


def _single_keys(name: str, cases: Sequence[EditCase], seen: _Seen) -> dict[str, Any]:
    free = [says(text, case.request.target) for text, case in zip(seen.texts, cases, strict=True)]
    return {
        **score_keys(f"_{name}", [outcome(score) for score in seen.scores]),
        **sample_keys(f"seconds_{name}", seen.seconds),
        **share_keys(f"free_{name}", free),
        f"fluency_{name}": fmean(fluency([text]) for text in seen.texts),
    }


def _digests(editable: EditableModel) -> dict[str, str]:
    return {name: tensor_digest(tensor) for name, tensor in editable.model.state_dict().items()}


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
