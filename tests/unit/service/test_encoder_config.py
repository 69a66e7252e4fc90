"""Recipes as TOML, and models by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from engines.errors import ModelMissing
from service.encoders.models import model_folder
from service.encoders.recipe_file import (
    RecipeError,
    differences,
    parse_recipe,
    read_recipe,
    recipe_of,
    recipe_text,
    recipe_values,
)
from service.encoders.training import Recipe
from tests.tiny import RECIPE


def test_the_default_recipe_can_be_read_back() -> None:
    text = recipe_text(recipe_values(Recipe()))
    assert "[train.weights]" in text
    assert parse_recipe(text) == Recipe()
    assert recipe_of(recipe_values(Recipe())) == Recipe()
    assert parse_recipe("") == Recipe()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("model = 'x'\n[train]\nsteps = 7\nlearning_rate = 1\n[train.weights]\nabsent = 0.25\n")
    recipe = read_recipe(path)
    assert (recipe.model, recipe.train.steps, recipe.train.learning_rate) == ("x", 7, 1.0)
    assert recipe.train.weights.absent == 0.25
    assert recipe.start == Recipe().start
    assert differences(recipe_values(Recipe()), recipe_values(recipe))[0] == 'model: "default" -> "x"'
    assert len(differences(recipe_values(Recipe()), recipe_values(recipe))) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepz = 1", "stepz: there is no such key; there are model"),
        ("[train]\nsteps = 1\nspeed = 2", "train.speed: there is no such key"),
        ("[train.weights]\nabsnt = 1.0", "train.weights.absnt"),
        ("[train]\nsteps = 'many'", "train.steps: "),
        ("[train]\nsteps = 1.5", "train.steps: "),
        ("[train]\nsteps = true", "train.steps: "),
        ("[train]\nsteps = 0", "train.steps: must be 1 or more"),
        ("[train]\nlearning_rate = nan", "train.learning_rate: "),
        ("[train]\nlearning_rate = 2031-03-14", "train.learning_rate: "),
        ("[train]\nlearning_rate = -1.0", "train.learning_rate: must be above 0 and at most 100"),
        ("[train]\nlearning_rate = 0", "train.learning_rate: must be above 0"),
        ("[train]\nlearning_rate = 1e30", "train.learning_rate: must be above 0 and at most 100"),
        ("[train]\nclip = 0.0", "train.clip: must be above 0"),
        ("[train]\nweight_decay = -0.1", "train.weight_decay: must be 0 or more"),
        ("[train.weights]\nabsent = -0.5", "train.weights.absent: must be 0 or more"),
        ("[matching]\nother_names = 1.5", "matching.other_names: must be from 0 to 1"),
        ("[matching]\nreader = 'other'", "matching.reader: must be 'all-mpnet-base-v2', or '' for"),
        ("[states]\ndropout = 1.0", "states.dropout: must be 0 or more, and below 1"),
        ("[states]\nsteps = -1", "states.steps: must be 0 or more"),
        ("[rehearsal]\ndecay = 0", "rehearsal.decay: must be above 0 and at most 1"),
        ("[start]\nhead_bias = inf", "start.head_bias: "),
        ("train = 3", "train: must be a table"),
        ("model = [1]", "model: "),
        ("model =", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    assert said in str(caught.value)


def floats(part: Any, where: str = "") -> Iterator[str]:
    for item in fields(part):
        value = getattr(part, item.name)
        if is_dataclass(value):
            yield from floats(value, f"{where}{item.name}.")
        elif isinstance(value, float):
            yield f"{where}{item.name}"


def test_every_float_of_a_recipe_has_a_bound() -> None:
    anywhere = {"start.head_bias"}  # in front of a softmax
    for name in set(floats(Recipe())) - anywhere:
        *sections, key = name.split(".")
        with pytest.raises(RecipeError, match=f"{name}: must be "):
            parse_recipe(f"[{'.'.join(sections)}]\n{key} = -1.5")


def test_every_recipe_of_the_repository_can_be_read() -> None:
    root = Path(__file__).parents[3]
    files = sorted(root.glob("scripts/**/recipe*.toml"))
    assert len(files) == 2
    for file in files:
        read_recipe(file)
    parse_recipe(RECIPE)
    shipped = sorted(root.glob("editors/kv/weights/*/manifest.json"))
    assert shipped
    for file in shipped:
        recipe_of(json.loads(file.read_text())["recipe"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        read_recipe(tmp_path / "none.toml")


def test_models_by_folder_and_by_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text("{}")
    assert model_folder(str(own)) == own
    fetched = tmp_path / "models" / "owner" / "name"
    fetched.mkdir(parents=True)
    for file in ("config.json", "interleaf-hub.json"):
        (fetched / file).write_text("{}")
    assert model_folder("owner/name") == fetched
    with pytest.raises(ModelMissing, match="owner/other could not be fetched"):
        model_folder("owner/other@v1")
    with pytest.raises(ModelMissing, match="OWNER/NAME of the hub"):
        model_folder("../nowhere/x")
    with pytest.raises(ModelMissing, match=r"config\.json"):
        model_folder(str(tmp_path))
