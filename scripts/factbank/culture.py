"""Cars and basketball teams. Sources: faker-vehicle, nba-api."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nba_api.stats.static import teams

from scripts.factbank.common import Triple, clean, facts, fold

_MAKERS = {
    "MAZDA": "Mazda",
    "INFINITI": "Infiniti",
    "FIAT": "Fiat",
    "HUMMER": "Hummer",
    "MINI": "Mini",
    "smart": "Smart",
}
# Trims, body lengths and engine sizes are not models; "9-3" reached the source as a date.
_NOT_A_MODEL = re.compile(
    r"\b(cab|crew|regular|extended|quad|cargo|passenger|duty|series|class|hd|chassis|mega|king|super|door)\b"
    r"|^\d-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$|^\d+$|^.{1,2}$|\d{4}|[a-z]\d+\s",
    re.IGNORECASE,
)


def _vehicles() -> list[dict[str, Any]]:
    """Read beside the package: importing it would import Faker."""
    spec = importlib.util.find_spec("faker_vehicle")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("faker_vehicle")
    source = ast.parse((Path(spec.origin).parent / "vehicle_dict.py").read_text(encoding="utf-8"))
    lists = [node.value for node in source.body if isinstance(node, ast.Assign)]
    return [row for node in lists for row in ast.literal_eval(node)]


def car_facts() -> Iterator[Triple]:
    """Maker and body type of car models."""
    makers, bodies = [], []
    for row in _vehicles():
        model, maker = clean(row["Model"]), _MAKERS.get(row["Make"], row["Make"])
        if not _NOT_A_MODEL.search(model) and not fold(model).startswith(fold(maker).split()[0]):
            makers.append((model, maker))
            bodies.append((model, row["Category"]))
    yield from facts("car_maker", makers, leaks=False)
    made_by_one = {fold(model) for model, _ in ((t.subject, t.object) for t in facts("car_maker", makers))}
    for triple in facts("car_body", bodies):
        if fold(triple.subject) in made_by_one and "," not in triple.object and "/" not in triple.object:
            yield triple


def team_facts() -> Iterator[Triple]:
    """Home state of NBA and WNBA teams (the source's years are those of joining the league)."""
    every = [*teams.get_teams(), *teams.get_wnba_teams()]
    yield from facts("team_state", ((team["full_name"], team["state"]) for team in every), leaks=False)
