"""What movers and relation heads do, by taking them away: the claim of Yao et al. 2024, with figures.

    python -m bench.heads --data FOLDER --size quick|full --seed N [--probes N] [--ablated N] [--minutes N]

FOLDER is LRE's; INTERLEAF_LRE names it too. For questions that the model answers rightly, of at least five relations,
the heads with the highest mover scores, with the highest relation scores, and as many random ones are ablated
together (zero). The claim: without movers, probability goes to other objects of the relation; without relation
heads it leaves the relation. object_K: change of the log-probability of the answer (all tokens) without heads of kind K
(movers, relations; random: heads drawn from the same layers). others_K: change of the share that other objects have of
the first token's probability on all objects of the relation. relation_K: relative change of that probability. found_K:
heads over the thresholds, for each question. Questions are kept as they are studied (bench/kept.py).
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.common import Bench, sample_keys
from bench.hallucination_data import data_argument, lre_probes
from bench.kept import Kept, Row, kept_arguments
from bench.kept_answers import ANSWERED_BY, answers
from bench.service_run import model_arguments
from circuits import heads as circuit_heads
from circuits import look as circuit_look
from circuits.answered import Answered
from circuits.heads import Role, head_scores, own_thresholds, role_of
from circuits.interventions import Head, ablated
from circuits.lab import Lab, scored
from circuits.look import look
from circuits.probe import answer_tokens
from circuits.settled import head_thresholds
from engines.models import load_model, model_digest, resolve_model

_QUICK, _FULL = 20, 200
_ASKED = 6  # questions of each relation, for every hundred that are studied
_ABLATED = 4
_RELATIONS = 5


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("heads", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    wanted = bench.args.probes or (_FULL if bench.full else _QUICK)
    probes = lre_probes(bench, max(4, _ASKED * wanted // 100 + 4), random.Random(bench.seed))
    path = resolve_model(bench.args.model)
    lab = Lab(*load_model(path))
    digest = model_digest(lab.model)
    made_by = (*ANSWERED_BY, circuit_heads, circuit_look)
    kept = Kept(bench, made_by, model=digest, ablated=bench.args.ablated, thresholds=head_thresholds(digest))
    with bench.stage(f"finding {wanted} questions that the model answers rightly"):
        right = _right(lab, probes, wanted, kept)
    rows: list[Row] = []
    for number, item in enumerate(right, 1):
        row = kept.row(
            f"studied\n{item.probe.prompt}",
            partial(
                _study,
                lab,
                item,
                digest,
                bench.args.ablated,
                random.Random(f"{bench.seed} {item.probe.prompt}"),
            ),
        )
        if row is None:
            bench.log(f"time is up: {len(rows)} of {len(right)} studied")
            break
        rows.append(row)
        bench.log(f"{number} of {len(right)}: {item.relation}")
    if not rows:
        raise SystemExit("no question was studied in this time")
    asked = [row["relation"] for row in rows]
    relations = set(asked)
    keys: dict[str, Any] = {"relations": len(relations), "enough_relations": len(relations) >= _RELATIONS}
    for name in rows[0]["figures"]:
        keys |= sample_keys(name, [row["figures"][name] for row in rows], clusters=asked, seed=bench.seed)
    bench.finish(keys, n=len(rows), model=path.name, rows=rows, configuration={"ablated": bench.args.ablated})


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    data_argument(parser)
    parser.add_argument("--probes", type=int, help="questions that are studied")
    parser.add_argument("--ablated", type=int, default=_ABLATED, help="heads that are taken away together")
    kept_arguments(parser)


def _right(lab: Lab, probes: Sequence[Any], wanted: int, kept: Kept) -> list[Answered]:
    """Spread over the relations: no relation has a second question before all have had their first."""
    by_relation: dict[str, list[Answered]] = defaultdict(list)
    for item in answers(lab, probes, kept):
        if item.right and item.placed.relation and item.probe.alternatives:
            by_relation[item.relation].append(item)
        if sum(map(len, by_relation.values())) >= 2 * wanted:
            break
    ordered = sorted(
        ((rank, name, item) for name, items in by_relation.items() for rank, item in enumerate(items)),
        key=lambda entry: entry[:2],
    )
    if not ordered:
        raise SystemExit("the model answers none of the questions rightly: there is nothing to study")
    return [item for _, _, item in ordered[:wanted]]


def _study(lab: Lab, item: Answered, digest: str, count: int, rng: random.Random) -> dict[str, Any]:
    probe, placed = item.probe, item.placed
    tokens = answer_tokens(lab, probe.prompt, probe.object, "object")
    others = {answer_tokens(lab, probe.prompt, text)[0] for text in probe.alternatives} - {tokens[0]}
    seen = look(lab, placed.ids, [placed.last])
    scores = head_scores(seen, placed.subject, placed.relation, tokens[0], sorted(others))
    thresholds = head_thresholds(digest) or own_thresholds(seen, placed, tokens[0], sorted(others))
    heads = [Head(layer, head) for layer in range(lab.layers) for head in range(lab.spec.heads)]
    mover = {head: float(scores.mover[head.layer, head.head]) for head in heads}
    relation = {head: float(scores.relation[head.layer, head.head]) for head in heads}
    chosen = {
        "movers": sorted(heads, key=lambda head: -mover[head])[:count],
        "relations": sorted(heads, key=lambda head: -relation[head])[:count],
    }
    layers = {head.layer for group in chosen.values() for head in group}
    taken = {head for group in chosen.values() for head in group}
    rest = [head for head in heads if head.layer in layers and head not in taken]
    chosen["random"] = rng.sample(rest, min(count, len(rest)))
    row = [*placed.ids, *tokens]
    plain = _read(lab, row, len(placed.ids), tokens[0], others)
    figures: dict[str, float] = {}
    for name, group in chosen.items():
        with ablated(lab.spec, group):
            changed = _read(lab, row, len(placed.ids), tokens[0], others)
        figures[f"object_{name}"] = changed[0] - plain[0]
        figures[f"others_{name}"] = changed[1] - plain[1]
        figures[f"relation_{name}"] = changed[2] / plain[2] - 1
    roles = [role_of(mover[head], relation[head], thresholds) for head in heads]
    figures["found_movers"] = sum(role in (Role.MOVER, Role.MIXTURE) for role in roles)
    figures["found_relations"] = sum(role in (Role.RELATION, Role.MIXTURE) for role in roles)
    named = {name: [str(head) for head in group] for name, group in chosen.items()}
    return {
        "relation": item.relation,
        "prompt": probe.prompt,
        "object": probe.object,
        "figures": figures,
    } | named


def _read(
    lab: Lab, row: Sequence[int], prompt: int, token: int, others: set[int]
) -> tuple[float, float, float]:
    """Log-probability of the answer; share of other objects in the relation's probability; that probability."""
    logits = lab.run([row])[0]
    said = logits[prompt - 1].float().softmax(-1)
    other = float(said[sorted(others)].sum())
    total = float(said[token]) + other
    return float(scored(logits, row, prompt).sum()), other / total, total


if __name__ == "__main__":
    main()
