"""The specs that come with Interleaf: each belongs to its model, and says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from editors.weights import specs
from editors.weights.methods import make_editor
from editors.weights.specs import spec_of
from engines.errors import ModelMissing
from engines.models import default_model_path, load_model, model_digest

SHIPPED = sorted(Path(specs.__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_choice_is_the_best_of_its_sweep(path: Path) -> None:
    data: dict[str, Any] = json.loads(path.read_text())
    assert data["model"] == path.stem
    chosen = spec_of(data["model_digest"]).methods
    assert set(chosen) == set(data["methods"]) != set()
    for method, choice in chosen.items():
        make_editor(method, choice.settings)
        best = max(choice.sweep, key=lambda row: float(row["s"]))
        layer = choice.settings.get("layer", choice.settings.get("layers"))
        assert best == {"layer": layer, **choice.figures}
        assert len(choice.sweep) > 1


@pytest.mark.model
def test_the_default_model_has_one() -> None:
    try:
        path = default_model_path()
    except ModelMissing as error:
        pytest.skip(str(error))
    assert spec_of(model_digest(load_model(path)[0])).model == path.name
