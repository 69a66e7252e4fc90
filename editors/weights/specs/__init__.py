"""Which layers and settings the editors use on a model: measured, and written down with what was measured.

One JSON file a model: `model` (its name), `model_digest`, and by method the settings, the figures of the sweep
that chose them, and the sweep itself. What a user measured comes before what is shipped here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from editors.kv.storage import write_text
from editors.weights.errors import Unmeasured


@dataclass(frozen=True, slots=True)
class Chosen:
    """One method's settings. Without figures they were not measured on this model."""

    settings: Mapping[str, Any]
    figures: Mapping[str, Any] = field(default_factory=dict)
    sweep: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class EditSpec:
    """What is known of a model."""

    model: str
    model_digest: str
    methods: Mapping[str, Chosen]

    def settings(self, method: str) -> Mapping[str, Any]:
        """Unmeasured when no layer was chosen for this method."""
        if method not in self.methods:
            raise Unmeasured(f"no settings of {method} for {self.model}: run the layer sweep")
        return self.methods[method].settings


def spec_files(folder: Path | None) -> list[str]:
    """The texts of all specs: the user's before the shipped ones."""
    shipped = [entry for entry in resources.files(__package__).iterdir() if entry.name.endswith(".json")]
    own = sorted(folder.glob("*.json")) if folder and folder.is_dir() else []
    return [entry.read_text(encoding="utf-8") for entry in (*own, *shipped)]


def spec_of(model_digest: str, folder: Path | None = None) -> EditSpec:
    """The spec of the model with these weights; Unmeasured when there is none.

    `folder`: where a user's own specs are.
    """
    methods: dict[str, Chosen] = {}
    name = ""
    for text in spec_files(folder):
        data = json.loads(text)
        if data["model_digest"] == model_digest:
            name = name or data["model"]
            methods = {key: Chosen(**value) for key, value in data["methods"].items()} | methods
    if not methods:
        raise Unmeasured(f"no layers were chosen for model {model_digest}: run the layer sweep")
    return EditSpec(name, model_digest, methods)


def write_chosen(path: Path, model: str, model_digest: str, method: str, chosen: Chosen) -> None:
    """Adds or replaces one method in a spec file."""
    data: dict[str, Any] = {"model": model, "model_digest": model_digest, "methods": {}}
    if path.is_file():
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["model_digest"] != model_digest:
            raise Unmeasured(f"{path} is the spec of another model ({data['model_digest']})")
    data["methods"][method] = {
        "settings": dict(chosen.settings),
        "figures": dict(chosen.figures),
        "sweep": [dict(row) for row in chosen.sweep],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(data, indent=1, sort_keys=True) + "\n")
