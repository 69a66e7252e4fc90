"""Where encoders are found, and which trainings may go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from editors.kv.calibration import Calibration, save_calibration
from kb_store.errors import InvalidInput, NotFound, WrongState
from service.convert.encoders import encoder_message
from service.encoders.recipe_file import recipe_of, recipe_values
from service.encoders.shelf import BEGUN, EncoderState, Shelf, alone_in, encoder_id_of

RECIPE = recipe_values(recipe_of({"train": {"steps": 20}}))


def manifest(folder: Path, **changes: Any) -> None:
    values = {
        "digest": "d1",
        "model": "Tiny-1.0",
        "model_digest": "m",
        "shape": {"layers": [1, 3]},
        "run": {"steps": 20, "minutes": 1.5},
        "figures": {"right_seen": 0.5},
        "recipe": RECIPE,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({**values, **changes}))


def begin(folder: Path, recipe: dict[str, Any] = RECIPE) -> None:
    (folder / BEGUN).parent.mkdir(parents=True, exist_ok=True)
    (folder / BEGUN).write_text(json.dumps(recipe))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    manifest(tmp_path / "shipped" / "Tiny-1.0")
    own = tmp_path / "data" / "encoders"
    manifest(own / "trained")
    begin(own / "begun")
    manifest(own / "broken")
    (own / "broken" / "manifest.json").write_text("{")
    (own / "not-one").mkdir()
    return Shelf(tmp_path / "data", tmp_path / "shipped")


def test_all_are_listed_by_name(shelf: Shelf) -> None:
    found = {item.encoder_id: (item.state, item.shipped) for item in shelf.list()}
    assert found == {
        "begun": (EncoderState.UNFINISHED, False),
        "broken": (EncoderState.DAMAGED, False),
        "tiny-1-0": (EncoderState.TRAINED, True),
        "trained": (EncoderState.TRAINED, False),
    }
    assert list(found) == sorted(found)


def test_by_what_people_write(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.named("default", "Tiny-1.0").encoder_id == "tiny-1-0"
    assert shelf.named("trained", "Tiny-1.0").encoder_id == "trained"
    assert shelf.named(str(tmp_path / "data" / "encoders" / "trained"), "").encoder_id == "trained"
    for name, model in (("default", "Other"), ("none", "Tiny-1.0"), ("../trained", "Tiny-1.0")):
        with pytest.raises(NotFound):
            shelf.named(name, model)
    for name in ("begun", "broken"):
        with pytest.raises(WrongState, match="train it to its end"):
            shelf.trained(name)


def test_a_calibration_belongs_to_weights(shelf: Shelf) -> None:
    for name in ("tiny-1-0", "trained"):
        assert shelf.get(name).calibration is None
        made = Calibration("d1", 0.25, created="2026-01-02T03:04:05+00:00", namespace="n")
        save_calibration(made, shelf.get(name).calibration_folder)
        assert shelf.get(name).calibration == made
        message = encoder_message(shelf.get(name))
        assert message.calibration.namespace == "namespaces/n"
        assert message.calibration.create_time.seconds == 1767323045
        assert asdict(made)["grounded_threshold"] == message.calibration.grounded_threshold
    manifest(shelf.get("trained").folder, digest="d2")
    assert shelf.get("trained").calibration is None
    assert len(shelf.list()) == 4  # the folder of the shipped one's calibration is not another encoder


def test_which_trainings_may_go_on(shelf: Shelf) -> None:
    more = recipe_values(recipe_of({"train": {"steps": 30}}))
    other = recipe_values(recipe_of({"train": {"steps": 30, "seed": 5}}))
    assert not shelf.place("new", RECIPE).exists()
    for name in ("begun", "trained"):
        assert shelf.place(name, more).name == name
        with pytest.raises(WrongState, match=r"train\.seed: 0 -> 5"):
            shelf.place(name, other)
    assert shelf.place("begun", RECIPE)
    with pytest.raises(WrongState, match="20 steps already"):
        shelf.place("trained", RECIPE)
    with pytest.raises(WrongState, match="is shipped"):
        shelf.place("tiny-1-0", RECIPE)


@pytest.mark.parametrize("name", ["My_Encoder", "mine v2", "../../elsewhere", "/elsewhere", ""])
def test_nothing_is_trained_where_nobody_finds_it(shelf: Shelf, name: str) -> None:
    with pytest.raises(InvalidInput, match="encoder_id: must be 1-63 lower-case letters"):
        shelf.place(name, RECIPE)


def test_one_training_at_a_time_in_a_folder(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "encoder"),
        pytest.raises(WrongState, match="another process"),
        alone_in(tmp_path / "encoder"),
    ):
        pass
    with alone_in(tmp_path / "encoder"):
        pass


def test_what_an_encoder_message_says(shelf: Shelf) -> None:
    message = encoder_message(shelf.get("trained"))
    assert (message.name, message.digest, list(message.layers)) == ("encoders/trained", "d1", [1, 3])
    assert (message.steps, message.train_time.seconds) == (20, 90)
    assert dict(message.figures) == {"right_seen": 0.5}
    assert "steps = 20" in message.recipe
    assert message.size_bytes > 100
    assert not message.HasField("calibration")
    assert encoder_message(shelf.get("broken")).digest == ""


def test_ids_of_models() -> None:
    assert encoder_id_of("SmolLM2-135M-Instruct") == "smollm2-135m-instruct"
    assert encoder_id_of("___") == "encoder"
