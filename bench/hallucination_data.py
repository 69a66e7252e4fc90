"""LRE's factual relations as questions: what the diagnostics are measured on. Nothing is calibrated on them."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.answers import says
from bench.common import Bench
from circuits.probe import Probe
from kb_store.factbank import load_facts_with_relation
from service.studies.probes import probes_of

ENVIRONMENT = "INTERLEAF_LRE"
_FACTUAL = "factual"  # the folder, below the one that is given
# Relations that the built-in facts have too: where something calibrated on those is judged, they are left out.
CALIBRATED_ON = frozenset(
    (
        "country capital city",
        "country currency",
        "country language",
        "person occupation",
        "president birth year",
        "star constellation name",
    )
)


def data_argument(parser: argparse.ArgumentParser) -> None:
    """--data."""
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="LRE's folder")


def lre_probes(
    bench: Bench, per_relation: int, rng: random.Random, without: frozenset[str] = frozenset()
) -> list[tuple[str, Probe]]:
    """So many of each relation, each with one of its templates, in an order that mixes relations. Ends the program
    with 2, and a reason, where there are no data."""
    folder: Path | None = bench.args.data
    files = sorted((folder / _FACTUAL).glob("*.json")) if folder else []
    if not files:
        where = f"{folder} has no folder {_FACTUAL} with relations" if folder else "no folder is named"
        print(f"bench.{bench.name}: {where}: give LRE's data with --data or {ENVIRONMENT}", file=sys.stderr)
        sys.exit(2)
    found: list[tuple[str, Probe]] = []
    for path in files:
        relation = json.loads(path.read_text(encoding="utf-8"))
        if relation["name"] in without:
            continue
        pairs = [(sample["subject"], sample["object"]) for sample in relation["samples"]]
        found += probes_of(relation["name"], pairs, relation["prompt_templates"], per_relation, rng)
    rng.shuffle(found)
    return found


def unseen(probes: Sequence[tuple[str, Probe]], calibrated_on: Collection[str]) -> list[tuple[str, Probe]]:
    """Without those whose two names stand together in a built-in fact of these relations, whichever way round:
    relations of other names tell of them too (a capital is often the largest city, and in its country)."""
    beside: dict[str, set[str]] = defaultdict(set)
    for info, content in load_facts_with_relation():
        if info.relation_id in calibrated_on:
            one, other = content.subject.casefold(), content.object.casefold()
            beside[one].add(other)
            beside[other].add(one)

    def told(probe: Probe) -> bool:
        subject = probe.subject.casefold()
        return any(says(subject, name) for name in beside.get(probe.object.casefold(), ()))

    return [(relation, probe) for relation, probe in probes if not told(probe)]
