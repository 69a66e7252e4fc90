"""The built-in facts as what editors are tuned on and estimate key statistics from: `interleaf edits tune`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import torch

from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.corpus import Corpus, builtin_corpus
from editors.weights.methods import named_method
from editors.weights.model import EditableModel
from editors.weights.statistics import KeyStatistics
from editors.weights.tune import (
    Keep,
    KnownRelation,
    TuneResult,
    keep_nothing,
    known_cases,
    those_known,
    tune,
)
from engines.models import cache_dir, load_model, resolve_model
from kb_store.factbank import load_facts_with_relation, relations

_DRAWN = 20  # cases for each that is wanted: the model knows only some of the facts
Layers = Sequence[int | tuple[int, ...]]


def known_relations() -> list[KnownRelation]:
    """The built-in facts with how people speak of them: what the layer sweep edits."""
    facts: dict[str, list[tuple[str, str]]] = {}
    for info, content in load_facts_with_relation():
        facts.setdefault(info.relation_id, []).append((content.subject, content.object))
    return [
        KnownRelation(info.templates, tuple(facts[info.relation_id]))
        for info in relations()
        if info.relation_id in facts
    ]


@cache
def key_text() -> Corpus:
    """Built-in text with the built-in facts as sentences."""
    return builtin_corpus(_sentences())


def tune_layers(
    name: str,
    layers: Layers,
    settings: dict[str, object],
    *,
    model: str,
    cases: int,
    seed: int,
    spec: Path,
    key_tokens: int,
    progress: Callable[[str, float], None],
    keep: Keep = keep_nothing,
) -> TuneResult:
    """Sweeps layers with facts that the model knows, and writes the choice to `spec`. Blocks for minutes.

    The facts are Interleaf's own: the choice is not made on what the editors are judged by. What `keep` keeps must be
    of this model, seed and number of key tokens.
    """
    path = resolve_model(model)
    progress("loading", 0.0)
    editable = EditableModel(*load_model(path, dtype=torch.float32))
    speaker = ModelSpeaker(editable.model, editable.tokenizer)
    drawn = known_cases(known_relations(), cases * _DRAWN, seed)
    found = keep(
        f"{cases} known cases",
        lambda: {"known": [drawn.index(each) for each in those_known(speaker, drawn, cases)]},
    )
    known = [drawn[at] for at in found["known"]] if found else []
    method, _ = named_method(name)  # ROME's two forms share the choice
    statistics = KeyStatistics(key_text(), key_tokens, cache_dir() / "keys", progress)
    return tune(
        editable,
        method,
        layers,
        known,
        Means(statistics, progress),
        settings=settings,
        spec=spec,
        model_name=path.name,
        keep=keep,
    )


def parse_layers(text: str) -> list[int | tuple[int, ...]]:
    """`0,2` or, for several at once, `2+3,3+4`. ValueError."""
    groups = [tuple(int(layer) for layer in group.split("+")) for group in text.split(",")]
    return [group if "+" in text else group[0] for group in groups]


def _sentences() -> Iterator[str]:
    for info, content in load_facts_with_relation():
        yield info.statement.replace("{s}", content.subject).replace("{o}", content.object)
