"""Many edits in one model: one after the other, or at once. S over all of them, and what ordinary text makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from bench.counterfact_records import score_keys
from bench.ordinary_text import PASSAGES
from editors.metrics.counterfact import CaseScore, EditCase, score_cases
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.methods import make_editor, named_method
from editors.weights.model import EditableModel

_POINTS = (1, 10, 100)  # after so many edits it is measured
_LARGEST = 700.0  # whose exponential is a number


def in_sequence(
    editable: EditableModel,
    method: str,
    settings: Mapping[str, Any] | None,
    cases: Sequence[EditCase],
    means: Means,
    name: str,
) -> dict[str, Any]:
    """`seqN_NAME` with its interval and `ppl_seqN_NAME`, for N of 1, 10, 100 and the last. All is taken back."""
    if settings is None:
        return {}
    base, fixed = named_method(method)
    editor = make_editor(base, {**settings, **fixed})
    plain = perplexity(editable)
    keys: dict[str, Any] = {}
    try:
        for number, case in enumerate(cases, 1):
            editable.apply(editor.compute(editable, [case.request], means))
            if number in _POINTS or number == len(cases):
                keys |= _measured(editable, f"seq{number}_{name}", cases[:number], plain)
        return keys
    finally:
        while editable.deltas:
            editable.revert(editable.deltas[-1])


def mass_edit(
    editable: EditableModel, settings: Mapping[str, Any] | None, cases: Sequence[EditCase], means: Means
) -> dict[str, Any]:
    """`massN_memit` with its interval and `ppl_massN_memit`: all the cases in one delta."""
    if settings is None:
        return {}
    plain = perplexity(editable)
    editor = make_editor("memit", settings)
    delta = editor.compute(editable, [case.request for case in cases], means)
    with editable.applied(delta):
        return _measured(editable, f"mass{len(cases)}_memit", cases, plain)


@torch.no_grad()
def perplexity(editable: EditableModel) -> float:
    """Of ordinary text that nothing was trained or tuned on."""
    total, count = 0.0, 0
    for passage in PASSAGES:
        ids = torch.tensor([editable.prompts.encode(passage)], device=editable.device)
        logits = editable.model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += float(F.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        count += ids.shape[1] - 1
    mean = total / count
    return math.exp(mean) if mean < _LARGEST else math.inf


def _measured(editable: EditableModel, name: str, cases: Sequence[EditCase], plain: float) -> dict[str, Any]:
    scores = score_cases(ModelSpeaker(editable.model, editable.tokenizer), cases)
    kept = score_keys("", [outcome(score) for score in scores])
    found: dict[str, Any] = {f"{name}{end}": kept[f"s{end}"] for end in ("", "_lo", "_hi")}
    # A wrecked model's perplexity has no end: JSON knows no infinity.
    ratio = perplexity(editable) / plain
    return {**found, f"ppl_{name}": ratio if math.isfinite(ratio) else None}


def outcome(score: CaseScore) -> list[bool]:
    """es, ps, ns of a record with one prompt of each kind."""
    return [bool(score.es), bool(score.ps), bool(score.ns)]
