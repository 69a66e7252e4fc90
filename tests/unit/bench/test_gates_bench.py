"""The gates' benchmark, run whole on a tiny random model; and which heads its controls choose."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gates
from bench.gates_picture import Panel, picture
from bench.gates_variants import other_layers, same_layers
from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.gate_training import GateSettings
from editors.kv.storage import save_encoder
from editors.kv.trained import load_encoder
from editors.kv.world import Mix
from engines.architectures import spec_for
from engines.models import model_digest
from tests.tiny import bank_model, tiny_folder

FOUND = {1: (0, 2), 3: (0, 1, 2)}


def tiny_encoder(folder: Path) -> Path:
    """Random maps for the tiny model, stored as a trained encoder is."""
    model = bank_model()
    spec = spec_for(model)
    torch.manual_seed(0)
    layers = tuple(range(1, len(spec.layers)))
    encoder = KVEncoder(
        EncoderConfig(spec.hidden, spec.heads, spec.kv_heads, spec.head_dim, layers, layers[-1])
    )
    manifest = {
        "model": "tiny",
        "model_digest": model_digest(model),
        "data": {},
        "calibration": {"grounded_threshold": 0.1},
    }
    save_encoder(encoder, folder, manifest)
    return folder


@pytest.mark.slow
@pytest.mark.model
def test_two_sparse_encoders_beside_the_whole_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = gates.Plan(GateSettings(steps=50, learning_rate=1.5), Mix(facts=4, questions=2, real=0.0))
    monkeypatch.setattr(gates, "_QUICK", plan)
    monkeypatch.setattr(gates, "_PENALTIES", {"light": 0.0, "heavy": 5.0})
    model, encoder = tiny_folder(tmp_path / "tiny"), tiny_encoder(tmp_path / "encoder")
    given = ["--model", str(model), "--encoder", str(encoder), "--results", str(tmp_path)]
    gates.main([*given, "--steps", "3", "--problems", "1", "--export", str(tmp_path / "sparse")])
    keys: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    whole = json.loads((tmp_path / "gates-quick.json").read_text())
    assert whole.items() >= keys.items()
    assert keys["n"] == 64
    total = keys["open_all"]
    assert total >= keys["open_light"] > keys["open_heavy"] >= 0
    assert keys["kv_bytes_all"] > 0
    for name in ("all", "light", "heavy"):
        assert keys[f"right_{name}_8_lo"] <= keys[f"right_{name}_8"] <= keys[f"right_{name}_8_hi"]
    for name in ("light", "heavy"):
        lost = keys["right_all_8"] - keys[f"right_{name}_8"]
        assert keys[f"loss_{name}_8"] == pytest.approx(lost, abs=1e-3)
        assert keys[f"layers_{name}_same"] <= keys["layers_all"]
        opened = sum(gate > 0 for row in _row(whole, name)["gates"] for gate in row)
        assert opened == keys[f"open_{name}"]
    assert len(_row(whole, "heavy")["curve"]) == 3
    ET.fromstring((tmp_path / "gates-quick.svg").read_text())  # noqa: S314 - our own
    exported = load_encoder(str(tmp_path / "sparse" / "light"), "tiny")
    assert len(exported.adapter.layers) == keys["layers_light"]
    assert exported.manifest["gates"]["parent"] == load_encoder(str(encoder), "tiny").digest


@pytest.mark.slow
@pytest.mark.model
def test_a_full_run_goes_on_where_it_was_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    plan = gates.Plan(
        GateSettings(learning_rate=1.5, map_learning_rate=1e-4), Mix(facts=4, questions=2, real=0.0)
    )
    monkeypatch.setattr(gates, "_FULL", plan)
    model, encoder = tiny_folder(tmp_path / "tiny"), tiny_encoder(tmp_path / "encoder")
    given = ["--size", "full", "--model", str(model), "--encoder", str(encoder), "--results", str(tmp_path)]

    def run(*more: str) -> dict[str, Any]:
        gates.main([*given, "--steps", "2", "--problems", "1", *more])
        keys: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return keys

    nothing = run("--minutes", "0")
    assert nothing["right_all_8"] is None
    assert "open_longer" not in nothing
    done = run()
    assert all(done[f"right_{name}_8"] is not None for name in ("all", "longer", "light", "heavy"))
    assert done["right_light_same_trained"] is not None
    with monkeypatch.context() as none_made:
        none_made.setattr("bench.gates_variants.train_gates", None)
        again = run("--minutes", "0")
    assert {**again, "seconds": 0} == {**done, "seconds": 0}


def _row(whole: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = (row for row in whole["rows"] if row["encoder"] == name)
    return dict(row)


def test_heads_of_the_same_layers_are_others_as_far_as_there_are_any() -> None:
    chosen = same_layers(FOUND, 4, random.Random(0))
    assert chosen[1] == (1, 3)
    assert 3 in chosen[3]
    assert len(chosen[3]) == 3


@pytest.mark.parametrize("seed", range(5))
def test_heads_of_other_layers(seed: int) -> None:
    rng = random.Random(seed)
    chosen = other_layers(FOUND, (0, 1, 2, 3), 4, rng)
    assert sum(map(len, chosen.values())) == 5
    assert set(chosen) == {0, 2}
    crowded = other_layers(FOUND, (1, 2, 3), 4, rng)
    assert crowded[2] == (0, 1, 2, 3)
    assert crowded[1] in {(1,), (3,)}  # from where fewest are open


def test_picture_shows_open_heads_and_counts_them() -> None:
    drawn = picture("Heads <of> a model", [4, 7], [Panel("penalty 0.1", "two open", [[0, 0], [1, 0.5]])])
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    texts = [item.text for item in root.iter(f"{space}text")]
    assert "Heads <of> a model" in texts
    assert texts.index("7") < texts.index("4")
    boxes = [box for box in root.iter(f"{space}rect") if box.find(f"{space}title") is not None]
    assert [title.text for box in boxes for title in box] == ["1.00", "0.50"]
