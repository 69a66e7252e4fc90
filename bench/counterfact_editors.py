"""The editors of weights on CounterFact records: all given edits at once in one model, then the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.counterfact_records import KINDS, Record
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.errors import Unmeasured
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.specs import spec_of
from editors.weights.statistics import KeyStatistics
from engines.models import cache_dir, load_model, resolve_model

# What keys are called: which method, and what it is told whatever the model.
EDITORS: dict[str, tuple[str, dict[str, Any]]] = {"ftm": ("ft_m", {}), "rrome": ("rome", {"corrected": True})}


def edited_weights(
    editor: str, model_name: str, records: Sequence[Record], specs: Path | None = None
) -> list[list[bool]] | None:
    """One row of outcomes (in the order of KINDS) for each record. None where no settings were measured on the
    model: an editor with a guessed layer would be no fair rival. `specs` is a folder of them besides the shipped."""
    method, fixed = EDITORS[editor]
    model, tokenizer = load_model(resolve_model(model_name), dtype=torch.float32)
    editable = EditableModel(model, tokenizer)
    try:
        settings = spec_of(editable.digest, specs).settings(method)
    except Unmeasured:
        return None
    statistics = KeyStatistics(builtin_corpus(), folder=cache_dir() / "key-statistics")
    requests = [EditRequest(record.prompts[0], record.subject, record.new) for record in records]
    delta = make_editor(method, {**settings, **fixed}).compute(editable, requests, Means(statistics))
    with editable.applied(delta):
        return _outcomes(ModelSpeaker(model, tokenizer), records)


def _outcomes(speaker: ModelSpeaker, records: Sequence[Record]) -> list[list[bool]]:
    pairs = [
        (record.prompts[place], text)
        for record in records
        for place, kind in enumerate(KINDS)
        for text in record.pair(kind)
    ]
    means = [forced.mean for forced in speaker.forced(pairs)]
    won = [first > second for first, second in zip(means[::2], means[1::2], strict=True)]
    return [won[start : start + len(KINDS)] for start in range(0, len(won), len(KINDS))]
