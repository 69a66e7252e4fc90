"""HeadMap from the task's file to the served model: the command, the folder, the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from editors.headmap.maps import headmap
from editors.headmap.storage import load_maps, save_maps
from editors.kv.contract import FactText
from engines.architectures import spec_for
from engines.models import load_model, model_digest
from interleaf.v1 import circuits_pb2 as pb
from service.cli.edits import app
from service.cli.edits_enhance import _heads
from service.config import ConfigError, EngineSettings
from service.serving.model import load
from tests.tiny import tiny_folder
from tests.unit.bench.test_gates_bench import tiny_encoder

ITEMS = [
    {"text": f"Is {number} odd? Answer:", "answer": "yes" if number % 2 else "no", "choices": ["yes", "no"]}
    for number in range(20)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


def enhance(*words: str) -> Any:
    return CliRunner().invoke(app, ["edits", "enhance", *words, "--json", "--rate", "0.02", "--batch", "16"])


def said(settings: EngineSettings, folder: Path) -> float:
    """What a served model thinks of a continuation."""
    served = load(settings, folder, "")
    assert served is not None
    try:
        (score,) = served.engine.score("Is 3 odd? Answer:", [" yes"], ())
        return float(sum(score.log_probabilities))
    finally:
        served.close()


def test_a_task_becomes_maps_that_are_served(model: Path, tmp_path: Path) -> None:
    task, out = tmp_path / "odd.jsonl", tmp_path / "maps"
    task.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    done = enhance(str(task), "--model", str(model), "--out", str(out), "--rank", "4", "--epochs", "10")
    assert done.exit_code == 0, done.output
    notes = json.loads(done.stdout.strip().splitlines()[-1])
    assert (notes["items"], notes["held_out"]) == (16, 4)
    assert notes["loss_last"] < notes["loss_first"]
    assert {path.name for path in out.iterdir()} == {"maps.safetensors", "manifest.json"}
    layers = len(spec_for(load_model(model)[0]).layers)
    assert [len(heads) for heads in notes["heads"].values()] == [2] * layers

    plain = EngineSettings(model=str(model), encoder="none", dtype="float32")
    assert said(plain, tmp_path) < said(plain.model_copy(update={"maps": out}), tmp_path)
    with pytest.raises(ConfigError, match=r"engine\.maps: .*cannot be read"):
        load(plain.model_copy(update={"maps": tmp_path / "nowhere"}), tmp_path, "")
    other = tmp_path / "other"
    save_maps(load_maps(out, model_digest(load_model(model)[0])), other, "another model", {})
    with pytest.raises(ConfigError, match="made for model another model"):
        load(plain.model_copy(update={"maps": other}), tmp_path, "")


def test_what_is_wrong_is_said(model: Path, tmp_path: Path) -> None:
    task, heads = tmp_path / "odd.jsonl", tmp_path / "heads.json"
    task.write_text(json.dumps(ITEMS[0]))
    words = [str(task), "--model", str(model), "--out", str(tmp_path / "maps")]
    few = enhance(*words)
    assert few.exit_code == 1
    assert "1 items: 10 are the least" in few.output
    task.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    for text, why in (('{"99": [0]}', "not within the model"), ("[]", "must hold"), ("{", "Expecting")):
        heads.write_text(text)
        refused = enhance(*words, "--heads", str(heads))
        assert refused.exit_code == 1
        assert why in refused.output
    assert not (tmp_path / "maps" / "manifest.json").exists()


def test_heads_are_read_as_they_are_located(tmp_path: Path) -> None:
    located = pb.LocatedHeads(
        heads=[
            {"head": {"layer": layer, "head": head}, "loss": 1.0, "chosen": head != layer}
            for layer in range(2)
            for head in range(3)
        ]
    )
    file = tmp_path / "located.json"
    file.write_text(json.dumps(MessageToDict(located, preserving_proto_field_name=True)))
    assert _heads(file) == {0: (1, 2), 1: (0, 2)}
    file.write_text('{"3": [1, 2]}')
    assert _heads(file) == {3: (1, 2)}
    file.write_text('{"heads": [{"chosen": true}]}')
    with pytest.raises(ValueError, match="must hold"):
        _heads(file)


def test_facts_are_compiled_without_the_maps(model: Path, tmp_path: Path) -> None:
    loaded, _ = load_model(model)
    spec = spec_for(loaded)
    torch.manual_seed(0)
    maps = headmap(spec, {0: (0,), 1: (0, 1)}, 2)
    with torch.no_grad():
        for parameter in maps.parameters():
            parameter.normal_(std=0.5)
    save_maps(maps, tmp_path / "maps", model_digest(loaded), {})
    settings = EngineSettings(
        model=str(model), encoder=str(tiny_encoder(tmp_path / "encoder")), dtype="float32"
    )
    seen = []
    for folder in (None, tmp_path / "maps"):
        served = load(settings.model_copy(update={"maps": folder}), tmp_path, "")
        assert served is not None
        assert served.encoder is not None
        try:
            (tokens,) = served.encoder.compile([FactText("a@1", "Tom Berg", "name", "Oslo")])
            (score,) = served.engine.score("the name of", [" Tom"], ())
            seen.append((tokens, score.log_probabilities))
        finally:
            served.close()
    (plain, said_plainly), (mapped, said_with_maps) = seen
    assert torch.equal(plain.keys, mapped.keys)
    assert torch.equal(plain.values, mapped.values)
    assert said_plainly != said_with_maps
