"""LRE's relations as cases of a circuit: those that the model knows to find it with, others to judge it with."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.common import Bench
from bench.kept import Kept, Row
from circuits.discovery.graph import Graph
from circuits.discovery.judging import behave
from circuits.discovery.scoring import Case
from circuits.lab import Lab
from circuits.probe import answer_tokens


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation's cases, and the model's name for it."""

    name: str
    template: str
    found_with: list[Case]
    tested_with: list[Case]


def relations(bench: Bench, lab: Lab, graph: Graph, kept: Kept, *, count: int, cases: int) -> list[Relation]:
    """So many, each with at most so many cases in each half; ends with 2 where there are fewer than two."""
    folder: Path | None = bench.args.data
    files = sorted((folder / "factual").glob("*.json")) if folder else []
    if not files:
        print(f"bench.{bench.name}: give LRE's data with --data or INTERLEAF_LRE", file=sys.stderr)
        raise SystemExit(2)
    bench.random.shuffle(files)
    found: list[Relation] = []
    for path in files:
        data = json.loads(path.read_text(encoding="utf-8"))
        template = data["prompt_templates"][0]
        pairs = {sample["subject"]: sample["object"] for sample in data["samples"]}
        # A small relation is halved; of what is left only those that the model knows serve to find a circuit.
        half = min(cases, len(pairs) // 2)
        draw = random.Random(f"{bench.seed} {data['name']}")
        chosen = draw.sample(sorted(pairs.items()), min(4 * cases, len(pairs)))
        drawn = [_case(lab, template.replace("{}", subject), value) for subject, value in chosen]
        tested, rest = drawn[:half], drawn[half:]
        row = kept.row(f"known {data['name']}", partial(_hits, lab, graph, rest))
        if row is None:
            break
        known = [case for case, hit in zip(rest, row["hits"], strict=True) if hit][:cases]
        if len(known) >= (cases + 1) // 4:
            found.append(Relation(data["name"], template, known, tested))
        if len(found) == count:
            break
    if len(found) < 2:
        print(f"bench.{bench.name}: the model knows too little of these relations", file=sys.stderr)
        raise SystemExit(2)
    return found


def _hits(lab: Lab, graph: Graph, cases: Sequence[Case]) -> Row:
    return {"hits": behave(lab, graph, cases).hits()}


def _case(lab: Lab, prompt: str, value: str) -> Case:
    return Case(tuple(lab.prompts.encode(prompt)), tuple(answer_tokens(lab, prompt, value)))
