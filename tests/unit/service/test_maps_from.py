"""An encoder whose judge is taught anew, with the maps of another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv.meaning import Meaning
from editors.kv.storage import load_weights, save_encoder, write_text
from editors.kv.trained import EncoderMismatch
from engines.models import load_model, model_digest
from kb_store.errors import NotFound
from service.encoders.jobs import Progress, TrainJob
from service.encoders.maps import new_encoder, with_maps_of
from service.encoders.recipe_file import parse_recipe, recipe_values
from service.encoders.shelf import FOLDER
from tests.tiny import RECIPE, tiny_folder


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one encoder, `first`, whose maps are what chance made them."""
    folder = tmp_path_factory.mktemp("data")
    model, _ = load_model(tiny_folder(folder / "model"), dtype=torch.float32)
    encoder = new_encoder(model, Meaning(torch.zeros(2, 384), torch.zeros(2, 384)), (1, 2))
    manifest = {"model": "model", "model_digest": model_digest(model), "recipe": {}, "run": {"steps": 7}}
    manifest["excluded_pairs"] = {"count": 3, "sha256": "ab"}
    save_encoder(encoder, folder / FOLDER / "first", manifest)
    write_text(folder / FOLDER / "first" / "curve.json", '[{"step": 0, "said": 2.0}]\n')
    return folder


def trained(folder: Path, name: str, *, model: str = "model", **keys: Any) -> list[str]:
    """The stages that a training goes through."""
    recipe = recipe_values(parse_recipe(RECIPE))
    recipe |= {"model": str(folder / model), **keys}
    seen: list[str] = []

    def note(progress: Progress) -> None:
        seen.append(progress.stage)

    TrainJob(str(folder / FOLDER / name), recipe).run(note, lambda: False)
    return list(dict.fromkeys(seen))


def test_only_the_judge_is_taught(shelf: Path) -> None:
    matching = {"reader": "", "steps": 2, "batch": 8, "seed": 5}
    stages = trained(shelf, "second", maps_from="first", matching=matching)
    assert "matching" in stages
    assert not {"start", "reading", "training"} & set(stages)
    (first, before), (second, after) = (load_weights(shelf / FOLDER / name) for name in ("first", "second"))
    assert torch.equal(
        first.key_subject[str(first.layers[0])].weight, second.key_subject[str(first.layers[0])].weight
    )
    assert not torch.equal(first.meaning.relations, second.meaning.relations)
    assert after["maps"]["digest"] == before["digest"] != after["digest"]
    assert after["excluded_pairs"] == before["excluded_pairs"]
    assert after["run"]["steps"] == before["run"]["steps"] == 7
    assert (shelf / FOLDER / "second" / "record.md").is_file()
    assert json.loads((shelf / FOLDER / "second" / "curve.json").read_text()) == [{"step": 0, "said": 2.0}]


def test_it_is_measured_as_it_will_answer(shelf: Path) -> None:
    model, _ = load_model(shelf / "model", dtype=torch.float32)
    judge = Meaning(torch.zeros(2, 384), torch.zeros(2, 384))
    encoder, _ = with_maps_of(shelf / FOLDER / "first", model, judge)
    assert not encoder.prior.training  # in training nothing is hidden


def test_maps_are_of_an_encoder_that_is_there_and_of_this_model(shelf: Path) -> None:
    with pytest.raises(NotFound):
        trained(shelf, "third", maps_from="nobody")
    tiny_folder(shelf / "other", "gpt_neox")
    with pytest.raises(EncoderMismatch, match="was trained for"):
        trained(shelf, "fourth", model="other", maps_from="first")
    left = {path.name for path in (shelf / FOLDER / "fourth").rglob("*") if path.is_file()}
    assert left == {".lock"}  # refused before the judge was taught, and the name is free
