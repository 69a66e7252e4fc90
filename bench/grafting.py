"""Where fine-tuning keeps invented facts: the fine-tuned model's weights at some positions only, or some components.

    python -m bench.grafting --size quick|full --seed N [--picture FILE] [--components-picture FILE] [--minutes N]

The model is fine-tuned on invented facts of the phrase bank's held-out side, each said in several forms; it is asked
in forms that it was tuned on and, for the figures named new_*, in one that it was not. pre, sft, fe, lt, fe_lt,
complement, not_fe, not_lt: share of questions whose answer's first token is among the five best, under each scheme
(circuits/grafting/schemes.py); p_*: its mean probability; rank_*: its median rank, 1 the best; margin_*: how far its
logit is above the best other's; log_p_*: mean log-probability of the whole object. o_ffn, o, ffn, attention,
attention_o_ffn, o and ffn by quarter: the same for components at FE and LT. hybrid: half of the facts tuned into one
model, the other half into another; the second's output projections and MLPs in the upper half of the layers at LT,
over the first's FE and LT, asked for the second's facts. The forms of a fact are alike: intervals are of facts, drawn
whole. Each epoch of the tuning, and each scheme, is kept (bench/kept.py); with --minutes, schemes that there was no
time for are left out.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.common import Bench, share_keys
from bench.kept import Kept, Row, kept_arguments
from circuits.errors import InvalidProbe
from circuits.grafting import router, schemes
from circuits.grafting import tuning as tuning_room
from circuits.grafting.picture import picture
from circuits.grafting.schemes import (
    MAIN,
    GraftCase,
    Outcome,
    Positions,
    Scheme,
    component_schemes,
    hybrid,
    outcome,
    places,
)
from circuits.grafting.tuning import Tuning, fine_tuned
from circuits.lab import Lab
from circuits.probe import answer_tokens, place
from editors.kv.phrases import PhraseBank, Relation, load
from engines.architectures import ModelSpec, spec_for
from engines.models import load_model, model_digest, resolve_model


@dataclass(frozen=True, slots=True)
class _Size:
    facts: int
    forms: int  # that the model is tuned on
    tuning: Tuning


_MEASURED = ("probability", "rank", "margin", "log_probability")
_QUICK = _Size(12, 2, Tuning(epochs=4, batch=8, learning_rate=1e-4))
_FULL = _Size(240, 3, Tuning(epochs=10, batch=8, learning_rate=5e-5))


@dataclass(frozen=True, slots=True)
class Fact:
    """Questions in the forms that were tuned on, and in another."""

    subject: str
    object: str
    tuned: tuple[GraftCase, ...]
    new: GraftCase


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("grafting", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    size = _FULL if bench.full else _QUICK
    size = replace(size, facts=bench.args.facts or size.facts)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    lab = Lab(model, tokenizer, rows=16)
    facts = invented(lab, load(), size.facts, size.forms, bench.random)
    asked = [case for fact in facts for case in fact.tuned]
    asked_of = [fact.subject for fact in facts for _ in fact.tuned]
    tuning = replace(size.tuning, seed=bench.seed)
    # By the facts themselves: others could be drawn from another phrase bank, or said in other forms.
    made_by = [router, schemes, tuning_room]
    kept = Kept(bench, made_by, model=model_digest(model), facts=facts, tuning=tuning)
    with bench.stage(f"tuning on {len(facts)} facts, {len(asked)} sentences"):
        tuned = fine_tuned(lab, asked, tuning, kept.path.with_suffix(".all.safetensors"))
    bench.log(f"losses {[round(loss, 3) for loss in tuned.losses]}")
    donor = spec_for(tuned.model)
    new = [fact.new for fact in facts]
    found = [
        *_outcomes(bench, kept, lab, donor, "asked", asked, MAIN),
        *_outcomes(bench, kept, lab, donor, "new", new, MAIN),
        *_outcomes(bench, kept, lab, donor, "asked", asked, component_schemes(lab.layers)),
    ]
    keys: dict[str, Any] = {}
    for which, each in found:
        if which == "asked":
            keys |= _keys(each.scheme.label, each, asked_of, bench.seed)
        else:
            keys |= _keys(f"new_{each.scheme.label}", each, [fact.subject for fact in facts], bench.seed)
    row = kept.row("hybrid", lambda: _as_row(_hybrid(bench, kept, lab, facts, tuning)))
    if row is not None:
        both = _as_outcome(MAIN[0], row)
        keys |= _keys("hybrid", both, asked_of[-len(both.rank) :], bench.seed)
    asked_all = [each for which, each in found if which == "asked"]
    if bench.args.picture:
        bench.args.picture.write_text(picture(asked_all[: len(MAIN)]), encoding="utf-8")
    if bench.args.components_picture and asked_all[len(MAIN) :]:
        title = "Which of the new weights are needed at FE and LT"
        bench.args.components_picture.write_text(picture(asked_all[len(MAIN) :], title), encoding="utf-8")
    bench.finish(
        keys | {"facts": len(facts), "prompt_forms": size.forms + 1},
        n=len(asked),
        model=path.name,
        rows=[_row(each) for each in asked_all],
        configuration={
            "epochs": tuning.epochs,
            "learning_rate": tuning.learning_rate,
            "losses": [round(loss, 4) for loss in tuned.losses],
        },
    )


def _outcomes(
    bench: Bench,
    kept: Kept,
    lab: Lab,
    donor: ModelSpec,
    which: str,
    cases: Sequence[GraftCase],
    chosen: Sequence[Scheme],
) -> Iterator[tuple[str, Outcome]]:
    """Of each scheme that there is time for."""
    for scheme in chosen:
        row = kept.row(
            f"{which} {scheme.label}",
            partial(_grafted, lab, scheme, donor, cases),
        )
        if row is not None:
            bench.log(f"{which}: {scheme.label}")
            yield which, _as_outcome(scheme, row)


def _hybrid(bench: Bench, kept: Kept, lab: Lab, facts: Sequence[Fact], tuning: Tuning) -> Outcome:
    half = len(facts) // 2
    parts = [[case for fact in part for case in fact.tuned] for part in (facts[:half], facts[half:])]
    with bench.stage("hybrid"):
        task, relation = (
            spec_for(fine_tuned(lab, part, tuning, kept.path.with_suffix(f".{at}.safetensors")).model)
            for at, part in enumerate(parts)
        )
        return hybrid(lab, task, relation, parts[1])


def _grafted(lab: Lab, scheme: Scheme, donor: ModelSpec, cases: Sequence[GraftCase]) -> Row:
    return _as_row(outcome(lab, [(scheme, donor)], cases))


def _as_row(found: Outcome) -> Row:
    return {name: list(getattr(found, name)) for name in _MEASURED}


def _as_outcome(scheme: Scheme, row: Row) -> Outcome:
    return Outcome(scheme, **{name: tuple(row[name]) for name in _MEASURED})


def invented(lab: Lab, bank: PhraseBank, count: int, forms: int, rng: random.Random) -> list[Fact]:
    """Facts about invented subjects, one each, of relations with enough forms that end behind the subject."""
    relations = [(each, _forms(each)) for each in bank.relations]
    usable = [(relation, texts) for relation, texts in relations if len(texts) > forms]
    found: dict[str, Fact] = {}
    while len(found) < count:
        relation, texts = rng.choice(usable)
        subject = bank.subject(relation.subject_kind, rng, held_out=True)
        value = bank.object(relation.object_kind, rng, held_out=True)
        if subject in found:
            continue
        try:
            cases = [_case(lab, relation, text, subject, value) for text in rng.sample(texts, forms + 1)]
        except InvalidProbe:
            continue
        found[subject] = Fact(subject, value, tuple(cases[:-1]), cases[-1])
    return list(found.values())


def _forms(relation: Relation) -> list[str]:
    phrasings = (*relation.train_phrasings, *relation.held_out_phrasings)
    return [each.text for each in phrasings if not each.chat and "{s}" in each.text]


def _case(lab: Lab, relation: Relation, text: str, subject: str, value: str) -> GraftCase:
    """InvalidProbe where the text ends with its subject."""
    phrasing = next(
        each for each in (*relation.train_phrasings, *relation.held_out_phrasings) if each.text == text
    )
    _, prompt = phrasing.filled(subject, relation.name, value)
    placed = place(lab, prompt, subject)
    case = GraftCase(placed.ids, placed.subject, tuple(answer_tokens(lab, prompt, value)))
    places([case], Positions.FE)
    return case


def _keys(name: str, outcome: Outcome, asked_of: Sequence[str], seed: int) -> dict[str, float]:
    return {
        **share_keys(name, outcome.top5, clusters=asked_of, seed=seed),
        f"p_{name}": statistics.fmean(outcome.probability),
        f"rank_{name}": statistics.median(outcome.rank) + 1,
        f"margin_{name}": statistics.fmean(outcome.margin),
        f"log_p_{name}": statistics.fmean(outcome.log_probability),
    }


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "scheme": outcome.scheme.label,
        "probability": [round(value, 5) for value in outcome.probability],
        "rank": outcome.rank,
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--facts", type=int, help="how many facts, in place of the size's")
    parser.add_argument("--picture", type=Path, help="where to draw the schemes")
    parser.add_argument("--components-picture", type=Path, help="where to draw the components")
    kept_arguments(parser)


if __name__ == "__main__":
    main()
