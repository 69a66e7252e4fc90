"""The layer sweep: which layer a method edits best on a model, by the metrics, on a small set of known facts."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from editors.metrics.counterfact import CaseScore, Compared, EditCase, score_cases, summary
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


class Keep(Protocol):
    """Rows that outlast the run. Gives what was kept under the name, or what `make` makes now; None: stop here."""

    def __call__(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """See the class."""
        ...


def keep_nothing(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Everything is measured anew."""
    return make()


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
    keep: Keep = keep_nothing,
) -> TuneResult:
    """Edits each case alone, with each layer (MEMIT: tuple of layers); writes the choice to `spec` if given.

    All layers edit the first case, then the second: a sweep that `keep` ends early compares the layers on the cases
    that all of them have edited. The cases must not be among those that the editors are later judged by.
    """
    if not layers or not cases:
        raise InvalidEdit("layers" if not layers else "cases", "there are none")
    seen: list[list[_Edited]] = []
    for at, case in enumerate(cases):
        turn: list[_Edited] = []
        for place, layer in enumerate(layers):
            means.progress(f"{method}, layer {layer}", (at + place / len(layers)) / len(cases))
            chosen = {**(settings or {}), _layer_name(layer): layer}
            row = keep(
                _row_name(method, chosen, case), partial(_edited, editable, method, chosen, case, means)
            )
            if row is None:
                return _chosen(editable, method, layers, seen, settings, spec, model_name)
            turn.append(_Edited.of(row))
        seen.append(turn)
    return _chosen(editable, method, layers, seen, settings, spec, model_name)


@dataclass(frozen=True, slots=True)
class _Edited:
    """One case edited by one layer."""

    score: CaseScore
    seconds: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Edited:
        score = row["score"]
        score = CaseScore(
            Compared(**score["edited"]),
            tuple(Compared(**each) for each in score["paraphrases"]),
            tuple(Compared(**each) for each in score["neighbours"]),
        )
        return cls(score, row["seconds"])


def _edited(
    editable: EditableModel, method: str, settings: Mapping[str, Any], case: EditCase, means: Means
) -> dict[str, Any]:
    """An `_Edited` in plain types."""
    began = time.perf_counter()
    delta = make_editor(method, settings).compute(editable, [case.request], means)
    seconds = time.perf_counter() - began
    with editable.applied(delta):
        (score,) = score_cases(ModelSpeaker(editable.model, editable.tokenizer), [case])
    return asdict(_Edited(score, seconds))


def _chosen(
    editable: EditableModel,
    method: str,
    layers: Sequence[int | tuple[int, ...]],
    seen: Sequence[Sequence[_Edited]],
    settings: Mapping[str, Any] | None,
    spec: Path | None,
    model_name: str,
) -> TuneResult:
    """From the cases that every layer has edited."""
    if not seen:
        raise InvalidEdit("cases", "none was edited by every layer before the sweep was ended")
    rows: list[dict[str, Any]] = []
    for layer, mine in zip(layers, zip(*seen, strict=True), strict=True):
        figures = summary([each.score for each in mine])
        seconds = fmean(each.seconds for each in mine)
        rows.append({"layer": layer, **figures, "seconds": seconds, "n": len(seen)})
    best = max(rows, key=lambda row: row["s"])
    if spec is not None:
        figures = {key: value for key, value in best.items() if key != "layer"}
        chosen = {**(settings or {}), _layer_name(best["layer"]): best["layer"]}
        write_chosen(spec, model_name, editable.digest, method, Chosen(chosen, figures, rows))
    return TuneResult(tuple(rows), best)


def _layer_name(layer: int | tuple[int, ...]) -> str:
    return "layers" if isinstance(layer, tuple) else "layer"


def _row_name(method: str, settings: Mapping[str, Any], case: EditCase) -> str:
    described = json.dumps([method, dict(settings), asdict(case)], sort_keys=True, default=list)
    return hashlib.sha256(described.encode()).hexdigest()[:24]


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
