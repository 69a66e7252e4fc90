"""Measured thresholds of head roles, by the model that they were measured on."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from circuits.heads import HeadThresholds

_FILE = "head_thresholds.json"


def head_thresholds(model: str) -> HeadThresholds | None:
    """Those of the model with this digest; None where nobody measured it."""
    known: dict[str, dict[str, Any]] = json.loads(files("circuits").joinpath(_FILE).read_text("utf-8"))
    return HeadThresholds(**known[model]) if model in known else None
