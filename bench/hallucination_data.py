"""Questions whose answers are judged: LRE's relations to measure on, the built-in facts to calibrate on."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from circuits.probe import Probe
from kb_store.factbank import load_facts_with_relation

# LRE's folder of factual relations, below the one that is given.
FACTUAL = "factual"
# Built-in relations that LRE asks for too, and those whose objects are codes that no text says.
_LEFT_OUT = frozenset(
    (
        "airport_code",
        "airport_code_city",
        "airport_country",
        "capital_country",
        "city_country",
        "country_capital",
        "country_code",
        "country_currency",
        "country_currency_code",
        "country_language",
        "person_birth_year",
        "person_occupation",
        "place_location",
        "province_country",
        "star_constellation",
        "state_capital",
    )
)
_ALTERNATIVES = 8


def lre_probes(folder: Path, per_relation: int, rng: random.Random) -> list[tuple[str, Probe]]:
    """So many of each relation, each with one of its templates; in an order that mixes relations."""
    found: list[tuple[str, Probe]] = []
    for path in sorted((folder / FACTUAL).glob("*.json")):
        relation = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(sample["subject"], sample["object"]) for sample in relation["samples"]]
        found += _probes(relation["name"], pairs, relation["prompt_templates"], per_relation, rng, "{}")
    rng.shuffle(found)
    return found


def builtin_probes(per_relation: int, rng: random.Random) -> list[tuple[str, Probe]]:
    """The same of the built-in facts, without the relations that LRE has."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    templates: dict[str, tuple[str, ...]] = {}
    for info, content in load_facts_with_relation():
        if info.relation_id not in _LEFT_OUT:
            pairs.setdefault(info.relation_id, []).append((content.subject, content.object))
            templates[info.relation_id] = info.templates
    found: list[tuple[str, Probe]] = []
    for name, known in pairs.items():
        found += _probes(name, known, templates[name], per_relation, rng, "{s}")
    rng.shuffle(found)
    return found


def _probes(
    name: str,
    pairs: Sequence[tuple[str, str]],
    templates: Sequence[str],
    count: int,
    rng: random.Random,
    hole: str,
) -> list[tuple[str, Probe]]:
    chosen = rng.sample(list(pairs), min(count, len(pairs)))
    objects = sorted({value for _, value in pairs})
    found = []
    for subject, value in chosen:
        others = [other for other in objects if other != value]
        alternatives = tuple(rng.sample(others, min(_ALTERNATIVES, len(others))))
        prompt = rng.choice(list(templates)).replace(hole, subject)
        found.append((name, Probe(prompt, subject, value, alternatives=alternatives)))
    return found


def by_relation(names: Sequence[str]) -> Mapping[str, int]:
    """How often each name stands there."""
    return {name: names.count(name) for name in sorted(set(names))}
