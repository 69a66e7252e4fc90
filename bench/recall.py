"""How facts are recalled, after Geva et al. 2023: where knocking out attention edges and sub-layers hurts.

    python -m bench.recall --data FOLDER --size quick|full --seed N [--probes N] [--window N]

FOLDER is LRE's; INTERLEAF_LRE names it too. Only questions that the model answers rightly are studied, over all tokens
of the answer. first_relation_layer, first_subject_layer: the first layer around which blocking the edges from the
relation's or the subject's tokens to the answer costs at least half of what it costs at worst, of the mean over
questions (the published claim: relation before subject); worst_*: where it costs most, and how much. attributes_held:
share of a subject's attributes (LRE's and the built-in facts' words) among the first 500 tokens that its last token
stands for at seven tenths of the depth; attributes_drop_*: how much of that goes when MLPs, or attention, are silent in
early layers. extraction_rate: share of questions for which the attention update of some layer says the model's answer
above all; extraction_mlp: of MLPs.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from bench.common import Bench, interval, sample_keys, share_keys
from bench.hallucination_data import data_argument, lre_probes
from bench.service_run import model_arguments
from circuits.answered import Answered, answer_all
from circuits.interventions import Head, Part, Site, ablated
from circuits.knockout import Source, edge_knockout, sublayer_knockout
from circuits.lab import Lab
from circuits.probe import answer_tokens
from circuits.recall import attribute_tokens, attributes_rate, extraction, head_mappings, look_at_prompt
from engines.models import load_model, resolve_model
from kb_store.factbank import load_facts
from kb_store.words import FUNCTION_WORDS

_QUICK, _FULL = 16, 200
_ASKED = 6  # questions asked of each relation for every four that are studied
_WINDOW_SHARE = 0.19  # of the layers: 9 of GPT-2 XL's 48
_EARLY, _TARGET = (
    (0.05, 0.35),
    0.7,
)  # shares of the depth: silent sub-layers, and where attributes are counted
_MAPPED = 5
_SOURCES = (Source.SUBJECT, Source.RELATION, Source.LAST)


@dataclass
class Found:
    """What was measured, a list with an entry for each question."""

    edges: dict[str, list[Sequence[float]]] = field(default_factory=lambda: defaultdict(list))
    sublayers: dict[str, list[Sequence[float]]] = field(default_factory=lambda: defaultdict(list))
    attributes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    extracted: dict[str, list[tuple[bool, ...]]] = field(default_factory=lambda: defaultdict(list))
    rows: list[dict[str, Any]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("recall", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    wanted = bench.args.probes or (_FULL if bench.full else _QUICK)
    probes = lre_probes(bench, max(2, _ASKED * wanted // 100 + 2), random.Random(bench.seed))
    known = _attributes(probes)
    path = resolve_model(bench.args.model)
    lab = Lab(*load_model(path))
    window = bench.args.window or max(1, round(_WINDOW_SHARE * lab.layers))
    with bench.stage(f"finding {wanted} questions that the model answers rightly"):
        right = _right(lab, probes, wanted)
    found = Found()
    for number, item in enumerate(right, 1):
        _study(lab, item, window, known.get(_folded(item.probe.subject), ()), found)
        bench.log(f"{number} of {len(right)}: {item.relation}")
    bench.finish(
        _keys(found, bench.seed),
        n=len(right),
        model=path.name,
        rows=found.rows,
        configuration={
            "window": window,
            "curves": {name: _mean(curves) for name, curves in {**found.edges, **found.sublayers}.items()},
            "extraction_by_layer": {name: _mean(hits) for name, hits in found.extracted.items()},
        },
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    data_argument(parser)
    parser.add_argument("--probes", type=int, help="questions that are studied")
    parser.add_argument("--window", type=int, help="layers that are blocked at a time")


def _right(lab: Lab, probes: Sequence[Any], wanted: int) -> list[Answered]:
    found = []
    for item in answer_all(lab, probes):
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


def _study(lab: Lab, item: Answered, window: int, attributes: Sequence[str] | set[str], found: Found) -> None:
    placed, tokens = item.placed, answer_tokens(lab, item.probe.prompt, item.probe.object, "object")
    for curve in edge_knockout(lab, placed, tokens, _SOURCES, window):
        found.edges[curve.what].append(curve.relative)
    for curve in sublayer_knockout(lab, placed, tokens, window):
        found.sublayers[curve.what].append(curve.relative)
    seen = look_at_prompt(lab, placed)
    said = extraction(seen, int(seen.logits[0].argmax()))
    found.extracted["attention"].append(said.attention)
    found.extracted["mlp"].append(said.mlp)
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
            found.attributes[name].append(rates[name])
    says = seen.direct(seen.through(0, placed.subject), 0, [tokens[0]])[..., 0]
    best = says.flatten().topk(_MAPPED).indices.tolist()
    mapped = head_mappings(lab, seen, placed, [Head(*divmod(at, lab.spec.heads)) for at in best], 5)
    found.rows.append(
        {
            "relation": item.relation,
            "prompt": item.probe.prompt,
            "object": item.probe.object,
            "attributes_held": rates,
            "mappings": {str(each.head): each.tokens for each in mapped},
        }
    )


def _keys(found: Found, seed: int) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name, source in (("relation", "relation"), ("subject", "subject")):
        keys |= sample_keys_of_curves(f"first_{name}_layer", found.edges[source], seed)
        mean = _mean(found.edges[source])
        worst = min(range(len(mean)), key=mean.__getitem__)
        keys |= {f"worst_{name}_layer": worst, f"worst_{name}_change": mean[worst]}
    for name in ("mlp", "attention"):
        keys[f"worst_{name}_change"] = min(_mean(found.sublayers[name]))
    if plain := found.attributes["plain"]:
        keys |= sample_keys("attributes_held", plain, seed=seed)
        for name in ("mlp", "mhsa"):
            drops = [before - after for before, after in zip(plain, found.attributes[name], strict=True)]
            keys |= sample_keys(f"attributes_drop_{name}", drops, seed=seed)
    else:
        keys |= {"attributes_drop_mlp": None, "attributes_drop_mhsa": None}
    keys["attribute_subjects"] = len(found.attributes["plain"])
    keys |= share_keys("extraction_rate", [any(hits) for hits in found.extracted["attention"]], seed=seed)
    keys |= share_keys("extraction_mlp", [any(hits) for hits in found.extracted["mlp"]], seed=seed)
    return keys


def sample_keys_of_curves(name: str, curves: Sequence[Sequence[float]], seed: int) -> dict[str, float]:
    """`name`, `name_lo`, `name_hi` of the first layer at which the mean curve is halfway down to its worst."""

    def first(chosen: Sequence[Any]) -> float:
        mean = _mean(chosen)
        half = min(mean) / 2 if min(mean) < 0 else min(mean)  # where nothing hurts: where it helps least
        return float(next(at for at, value in enumerate(mean) if value <= half))

    low, high = interval(list(curves), statistic=first, rounds=300, seed=seed)  # type: ignore[arg-type]
    return {name: first(curves), f"{name}_lo": low, f"{name}_hi": high}


def _mean(curves: Sequence[Sequence[float]] | Sequence[tuple[bool, ...]]) -> list[float]:
    return [sum(values) / len(curves) for values in zip(*curves, strict=True)]


def _folded(text: str) -> str:
    return text.casefold().strip()


if __name__ == "__main__":
    main()
