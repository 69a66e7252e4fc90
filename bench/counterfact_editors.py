"""The editors of weights on CounterFact records: all given edits at once in one model, then the same questions."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.counterfact_records import KINDS, Record
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from engines.models import cache_dir, load_model, resolve_model
from engines.transformers_engine import TransformersEngine

# What keys are called: which method, and what it is told whatever the model.
EDITORS: dict[str, tuple[str, dict[str, Any]]] = {"ftm": ("ft_m", {}), "rrome": ("rome", {"corrected": True})}


def edited_weights(
    editor: str, model_name: str, records: Sequence[Record], settings: Path | None
) -> list[list[bool]] | None:
    """One row of outcomes (in the order of KINDS) for each record; None where there are no settings."""
    method, fixed = EDITORS[editor]
    chosen = _settings(method, settings)
    if chosen is None:
        return None
    model, tokenizer = load_model(resolve_model(model_name), dtype=torch.float32)
    editable = EditableModel(model, tokenizer)
    statistics = KeyStatistics(builtin_corpus(), folder=cache_dir() / "key-statistics")
    requests = [EditRequest(record.prompts[0], record.subject, record.new) for record in records]
    delta = make_editor(method, chosen | fixed).compute(editable, requests, Means(statistics))
    with editable.applied(delta):
        engine = TransformersEngine(model, tokenizer, name=method, digest=editable.digest)
        try:
            return [[_won(engine, record, place) for place in range(len(KINDS))] for record in records]
        finally:
            engine.close()


def _settings(method: str, file: Path | None) -> dict[str, Any] | None:
    """Layers are measured for each model, so there is no default that would be fair."""
    if file is None:
        return None
    found = tomllib.loads(file.read_text(encoding="utf-8")).get(method)
    return dict(found) if isinstance(found, dict) else None


def _won(engine: TransformersEngine, record: Record, place: int) -> bool:
    continuations = [f" {text}" for text in record.pair(KINDS[place])]
    first, second = engine.score(record.prompts[place], continuations)
    return sum(first.log_probabilities) / len(first.token_ids) > sum(second.log_probabilities) / len(
        second.token_ids
    )
