"""The layer sweep: which layer a method edits best on a model, by the metrics, on a small set of known facts."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from editors.metrics.counterfact import CaseScore, EditCase, score_cases, summary
from editors.metrics.speaking import ModelSpeaker, Speaker
from editors.weights.contract import Means
from editors.weights.errors import InvalidEdit
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.specs import Chosen, write_chosen


@dataclass(frozen=True, slots=True)
class KnownRelation:
    """True facts of one relation, and texts with {s} that the object continues after one space."""

    templates: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]  # subject, object


@dataclass(frozen=True, slots=True)
class TuneResult:
    """The sweep, a row for each layer, and the layer with the best S (the earlier one of equals)."""

    rows: tuple[dict[str, Any], ...]
    best: dict[str, Any]


def tune(
    editable: EditableModel,
    method: str,
    layers: Sequence[int | tuple[int, ...]],
    cases: Sequence[EditCase],
    means: Means,
    *,
    settings: Mapping[str, Any] | None = None,
    spec: Path | None = None,
    model_name: str = "model",
) -> TuneResult:
    """Edits each case alone, with each layer (MEMIT: tuple of layers); writes the choice to `spec` if given.

    The cases must not be among those that the editors are later judged by.
    """
    if not layers or not cases:
        raise InvalidEdit("layers" if not layers else "cases", "there are none")
    rows: list[dict[str, Any]] = []
    for at, layer in enumerate(layers):
        means.progress(f"{method}, layer {layer}", at / len(layers))
        chosen = {**(settings or {}), "layers" if isinstance(layer, tuple) else "layer": layer}
        scores, seconds = single_edits(editable, method, chosen, cases, means)
        rows.append({"layer": layer, **summary(scores), "seconds": fmean(seconds), "n": len(cases)})
    best = max(rows, key=lambda row: row["s"])
    if spec is not None:
        name = "layers" if isinstance(best["layer"], tuple) else "layer"
        figures = {key: value for key, value in best.items() if key != "layer"}
        write_chosen(
            spec,
            model_name,
            editable.digest,
            method,
            Chosen({**(settings or {}), name: best["layer"]}, figures, rows),
        )
    return TuneResult(tuple(rows), best)


def single_edits(
    editable: EditableModel,
    method: str,
    settings: Mapping[str, Any],
    cases: Sequence[EditCase],
    means: Means,
) -> tuple[list[CaseScore], list[float]]:
    """Each case edited alone and taken back; by case the score, and the seconds of computing the edit."""
    editor = make_editor(method, settings)
    speaker = ModelSpeaker(editable.model, editable.tokenizer)
    scores: list[CaseScore] = []
    seconds: list[float] = []
    for case in cases:
        began = time.perf_counter()
        delta = editor.compute(editable, [case.request], means)
        seconds.append(time.perf_counter() - began)
        with editable.applied(delta):
            scores += score_cases(speaker, [case])
    return scores, seconds


def known_cases(
    relations: Sequence[KnownRelation],
    count: int,
    seed: int = 0,
    *,
    paraphrases: int = 2,
    neighbours: int = 4,
) -> list[EditCase]:
    """Counterfactual edits of true facts: another object of the same relation is to be said.

    Paraphrases are the relation's other templates; neighbours are other subjects with the same true object.
    Relations without a second template, or without two objects, are passed over; fewer cases than asked for come
    back only where hardly any subject leaves an object over.
    """
    rng = random.Random(f"cases/{seed}")
    usable = [r for r in relations if len(r.templates) > 1 and len({o for _, o in r.facts}) > 1]
    if not usable:
        raise InvalidEdit("relations", "none has two templates and two objects")
    cases: list[EditCase] = []
    for _ in range(100 * count):
        if len(cases) == count:
            break
        relation = rng.choice(usable)
        subject, true = rng.choice(relation.facts)
        others = sorted({o for _, o in relation.facts} - {o for s, o in relation.facts if s == subject})
        template, *rest = rng.sample(relation.templates, len(relation.templates))
        near = [s for s, o in relation.facts if o == true and s != subject]
        if others:
            cases.append(
                EditCase(
                    EditRequest(template.replace("{s}", subject), subject, rng.choice(others)),
                    true,
                    tuple(text.replace("{s}", subject) for text in rest[:paraphrases]),
                    tuple(
                        template.replace("{s}", other)
                        for other in rng.sample(near, min(neighbours, len(near)))
                    ),
                )
            )
    return cases


def those_known(speaker: Speaker, cases: Sequence[EditCase], count: int) -> list[EditCase]:
    """The first `count` cases that an edit can succeed or do harm in.

    The unedited model prefers the true object, behind the prompt and for every neighbour, of which there are some.
    """
    found: list[EditCase] = []
    for case in cases:
        if len(found) == count:
            break
        if case.neighbours:
            (score,) = score_cases(speaker, [case])
            if score.es == 0.0 and score.ns == 1.0:
                found.append(case)
    return found
