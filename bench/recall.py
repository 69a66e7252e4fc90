"""How facts are recalled, after Geva et al. 2023: where knocking out attention edges and sub-layers hurts.

    python -m bench.recall --data FOLDER --size quick|full --seed N [--probes N] [--window N] [--minutes N]
        [--picture FILE]

FOLDER is LRE's; INTERLEAF_LRE names it too. Only questions that the model answers rightly are studied, over all tokens
of the answer. first_relation_layer, first_subject_layer: the first layer around which blocking the edges from the
relation's or the subject's tokens to the answer costs at least half of what it costs at worst, of the mean over
questions (the published claim: relation before subject); worst_*: where it costs most, and how much. attributes_held:
share of a subject's attributes (LRE's and the built-in facts' words) among the first 500 tokens that its last token
stands for at seven tenths of the depth; attributes_drop_*: how much of that goes when MLPs, or attention, are silent in
early layers. extraction_rate: share of questions for which the attention update of some layer says the model's answer
above all; extraction_mlp: of MLPs. Relations differ widely: intervals are of relations, drawn whole. Questions are kept
as they are studied (bench/kept.py).
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import Bench, interval, sample_keys, share_keys
from bench.hallucination_data import data_argument, lre_probes
from bench.kept import Kept, Row, kept_arguments
from bench.kept_answers import ANSWERED_BY, answers
from bench.service_run import model_arguments
from circuits import knockout as circuit_knockout
from circuits import recall as circuit_recall
from circuits.answered import Answered
from circuits.interventions import Head, Part, Site, ablated
from circuits.knockout import Source, edge_knockout, sublayer_knockout
from circuits.lab import Lab
from circuits.probe import answer_tokens
from circuits.recall import attribute_tokens, attributes_rate, extraction, head_mappings, look_at_prompt
from engines.models import load_model, model_digest, resolve_model
from kb_store.factbank import load_facts
from kb_store.words import FUNCTION_WORDS
from service.pictures.chart import Line, line_chart

_QUICK, _FULL = 16, 200
_ASKED = 6  # questions asked of each relation for every four that are studied
_WINDOW_SHARE = 0.19  # of the layers: 9 of GPT-2 XL's 48
_EARLY, _TARGET = (
    (0.05, 0.35),
    0.7,
)  # shares of the depth: silent sub-layers, and where attributes are counted
_MAPPED = 5
_SOURCES = (Source.SUBJECT, Source.RELATION, Source.LAST)
_SHOWN = ("relation", "prompt", "object", "attributes_held", "mappings")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("recall", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    wanted = bench.args.probes or (_FULL if bench.full else _QUICK)
    probes = lre_probes(bench, max(2, _ASKED * wanted // 100 + 2), random.Random(bench.seed))
    known = _attributes(probes)
    path = resolve_model(bench.args.model)
    lab = Lab(*load_model(path))
    window = bench.args.window or max(1, round(_WINDOW_SHARE * lab.layers))
    made_by = (*ANSWERED_BY, circuit_knockout, circuit_recall)
    kept = Kept(bench, made_by, model=model_digest(lab.model), window=window)
    with bench.stage(f"finding {wanted} questions that the model answers rightly"):
        right = _right(lab, probes, wanted, kept)
    rows: list[Row] = []
    for number, item in enumerate(right, 1):
        words = sorted(known.get(_folded(item.probe.subject), ()))
        row = kept.row(
            f"studied\n{item.probe.prompt}",
            partial(_study, lab, item, window, words),
        )
        if row is None:
            bench.log(f"time is up: {len(rows)} of {len(right)} studied")
            break
        rows.append(row)
        bench.log(f"{number} of {len(right)}: {item.relation}")
    if not rows:
        raise SystemExit("no question was studied in this time")
    curves = {name: _mean(found) for name, found in _by_name(rows, "curves").items()}
    if bench.args.picture:
        bench.args.picture.write_text(_picture(curves, len(rows), window), encoding="utf-8")
    bench.finish(
        _keys(rows, bench.seed),
        n=len(rows),
        model=path.name,
        rows=[{name: row[name] for name in _SHOWN} for row in rows],
        configuration={
            "window": window,
            "curves": curves,
            "extraction_by_layer": {name: _mean(hits) for name, hits in _by_name(rows, "extracted").items()},
        },
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    data_argument(parser)
    parser.add_argument("--probes", type=int, help="questions that are studied")
    parser.add_argument("--window", type=int, help="layers that are blocked at a time")
    parser.add_argument("--picture", type=Path, help="where to draw the blocked edges' curves")
    kept_arguments(parser)


def _picture(curves: Mapping[str, Sequence[float]], questions: int, window: int) -> str:
    lines = [
        Line(
            f"from the {source.value}",
            [(float(at), 100 * value) for at, value in enumerate(curves[source.value])],
        )
        for source in _SOURCES
    ]
    title = f"Blocked in {window} layers: probability of the answer, {questions} questions"
    return line_chart(title, "layer in the middle", "change, %", lines, lowest=-100.0)


def _right(lab: Lab, probes: Sequence[Any], wanted: int, kept: Kept) -> list[Answered]:
    found = []
    for item in answers(lab, probes, kept):
        if item.right and item.placed.relation:
            found.append(item)
        if len(found) == wanted:
            break
    if not found:
        raise SystemExit("the model answers none of the questions rightly: there is nothing to study")
    return found


def _attributes(probes: Sequence[Any]) -> Mapping[str, set[str]]:
    """Everything that is known of each subject."""
    known: dict[str, set[str]] = defaultdict(set)
    for _, probe in probes:
        known[_folded(probe.subject)].add(probe.object)
    subjects = set(known)
    for fact in load_facts():
        if _folded(fact.subject) in subjects:
            known[_folded(fact.subject)].add(fact.object)
    return known


def _study(lab: Lab, item: Answered, window: int, attributes: Sequence[str]) -> Row:
    placed, tokens = item.placed, answer_tokens(lab, item.probe.prompt, item.probe.object, "object")
    edges = edge_knockout(lab, placed, tokens, _SOURCES, window)
    sublayers = sublayer_knockout(lab, placed, tokens, window)
    seen = look_at_prompt(lab, placed)
    said = extraction(seen, int(seen.logits[0].argmax()))
    wanted = attribute_tokens(lab, attributes, FUNCTION_WORDS)
    rates = {}
    if wanted:
        early = range(*(round(share * lab.layers) for share in _EARLY))
        target = round(_TARGET * lab.layers)
        for name, part in (("plain", None), ("mlp", Part.MLP), ("mhsa", Part.ATTENTION)):
            sites = [Site(part, layer) for layer in early] if part else []
            silent: AbstractContextManager[None] = ablated(lab.spec, sites) if sites else nullcontext()
            with silent:
                state = look_at_prompt(lab, placed)
            rates[name] = attributes_rate(lab, state, placed, wanted, FUNCTION_WORDS).held[target]
    says = seen.direct(seen.through(0, placed.subject), 0, [tokens[0]])[..., 0]
    best = says.flatten().topk(_MAPPED).indices.tolist()
    mapped = head_mappings(lab, seen, placed, [Head(*divmod(at, lab.spec.heads)) for at in best], 5)
    return {
        "relation": item.relation,
        "prompt": item.probe.prompt,
        "object": item.probe.object,
        "curves": {curve.what: list(curve.relative) for curve in (*edges, *sublayers)},
        "extracted": {"attention": list(said.attention), "mlp": list(said.mlp)},
        "attributes_held": rates,
        "mappings": {str(each.head): list(each.tokens) for each in mapped},
    }


def _by_name(rows: Sequence[Row], part: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, values in row[part].items():
            found[name].append(values)
    return found


def _keys(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    curves, attributes = _by_name(rows, "curves"), _by_name(rows, "attributes_held")
    extracted = _by_name(rows, "extracted")
    relations = [row["relation"] for row in rows]
    keys: dict[str, Any] = {}
    for name, source in (("relation", "relation"), ("subject", "subject")):
        keys |= sample_keys_of_curves(f"first_{name}_layer", curves[source], relations, seed)
        mean = _mean(curves[source])
        worst = min(range(len(mean)), key=mean.__getitem__)
        keys |= {f"worst_{name}_layer": worst, f"worst_{name}_change": mean[worst]}
    for name in ("mlp", "attention"):
        keys[f"worst_{name}_change"] = min(_mean(curves[name]))
    if plain := attributes.get("plain", []):
        of = [row["relation"] for row in rows if row["attributes_held"]]
        keys |= sample_keys("attributes_held", plain, clusters=of, seed=seed)
        for name in ("mlp", "mhsa"):
            drops = [before - after for before, after in zip(plain, attributes[name], strict=True)]
            keys |= sample_keys(f"attributes_drop_{name}", drops, clusters=of, seed=seed)
    else:
        keys |= {"attributes_drop_mlp": None, "attributes_drop_mhsa": None}
    keys["attribute_subjects"] = len(attributes.get("plain", []))
    for name, part in (("extraction_rate", "attention"), ("extraction_mlp", "mlp")):
        keys |= share_keys(name, [any(hits) for hits in extracted[part]], clusters=relations, seed=seed)
    return keys


def sample_keys_of_curves(
    name: str, curves: Sequence[Sequence[float]], relations: Sequence[str], seed: int
) -> dict[str, float]:
    """`name`, `name_lo`, `name_hi` of the first layer at which the mean curve is halfway down to its worst."""

    def first(chosen: Sequence[Any]) -> float:
        mean = _mean(chosen)
        half = min(mean) / 2 if min(mean) < 0 else min(mean)  # where nothing hurts: where it helps least
        return float(next(at for at, value in enumerate(mean) if value <= half))

    low, high = interval(list(curves), statistic=first, clusters=relations, rounds=300, seed=seed)
    return {name: first(curves), f"{name}_lo": low, f"{name}_hi": high}


def _mean(curves: Sequence[Sequence[float]] | Sequence[tuple[bool, ...]]) -> list[float]:
    return [sum(values) / len(curves) for values in zip(*curves, strict=True)]


def _folded(text: str) -> str:
    return text.casefold().strip()


if __name__ == "__main__":
    main()
