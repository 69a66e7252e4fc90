"""HeadMap's benchmark, run whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import headmap
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

ITEMS = [
    {
        "instruction": f"Is {n} odd?\n\nAnswer format: true/false",
        "answer": "true" if n % 2 else "false",
    }
    for n in range(40)
]


def test_enhancement_and_lora_beside_the_frozen_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, task = tmp_path / "tiny", tmp_path / "parity"
    tiny_model("llama").save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    task.mkdir()
    (task / "test.json").write_text(json.dumps(ITEMS))
    (tmp_path / "heads.json").write_text('{"1": [0, 2], "2": [1]}')
    given = ["--model", str(model), "--data", str(tmp_path), "--task", "parity", "--results", str(tmp_path)]
    headmap.main([*given, "--heads", str(tmp_path / "heads.json"), "--rank", "16", "--epochs", "1"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["n"] == 16
    for name in ("enhanced", "lora"):
        gain = found[f"accuracy_{name}"] - found["accuracy_frozen"]
        assert found[f"gain_{name}"] == pytest.approx(gain, abs=1e-3)
        assert found[f"gain_{name}_lo"] <= found[f"gain_{name}"] <= found[f"gain_{name}_hi"]
    assert 0 < found["parameters_lora"] <= found["parameters_enhanced"]
    rows = json.loads((tmp_path / "headmap-quick.json").read_text())["rows"]
    assert [(row["maps"], len(row["losses"])) for row in rows] == [("enhanced", 2), ("lora", 2)]
    with pytest.raises(SystemExit, match="2"):
        headmap.main(given)
    assert "--heads" in capsys.readouterr().err


def test_items_must_name_their_answer(tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    file.write_text(json.dumps([{**ITEMS[0], "answer": "maybe"}]))
    with pytest.raises(ValueError, match="item 0"):
        headmap.read_items(file)
