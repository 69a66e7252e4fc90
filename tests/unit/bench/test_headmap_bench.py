"""HeadMap's benchmark, run whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import headmap, headmap_data
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

ITEMS = [
    {
        "instruction": f"Is {n} odd?\n\nAnswer format: true/false",
        "answer": "true" if n % 2 else "false",
    }
    for n in range(40)
]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a run on a tiny model, with a task."""
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    model, task = tmp_path / "tiny", tmp_path / "parity"
    tiny_model("llama").save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    task.mkdir()
    (task / "test.json").write_text(json.dumps(ITEMS))
    return ["--model", str(model), "--data", str(tmp_path), "--task", "parity", "--results", str(tmp_path)]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def test_located_heads_and_what_they_gain_beside_the_controls(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    headmap.main([*given, "--epochs", "1", "--minutes", "0"])
    nothing = last_line(capsys)
    assert (nothing["n"], nothing["drop_located"], nothing["gain_lora"]) == (0, None, None)
    headmap.main([*given, "--epochs", "1"])
    found = last_line(capsys)
    assert found["n"] == 16
    for name, sign in {"located": -1, "random": -1, "unconditioned": -1, "enhanced": 1, "lora": 1}.items():
        title = f"gain_{name}" if sign > 0 else f"drop_{name}"
        difference = sign * (found[f"accuracy_{name}"] - found["accuracy_frozen"])
        assert found[title] == pytest.approx(difference, abs=1e-3)
        assert found[f"{title}_lo"] <= found[title] <= found[f"{title}_hi"]
        assert found[f"loss_{name}"] != found["loss_frozen"]
    assert 0 < found["parameters_lora"] <= found["parameters_enhanced"]
    whole = json.loads((tmp_path / "headmap-quick.json").read_text())
    heads = whole["configuration"]["heads"]
    assert {layer: len(each) for layer, each in heads["located"].items()} == {
        "0": 2
    }  # every sixth layer of four
    headmap.main([*given, "--epochs", "1", "--minutes", "0"])  # all of it was kept, the trainings too
    again = last_line(capsys)
    assert {key: again[key] for key in again if "_" in key} == {
        key: found[key] for key in found if "_" in key
    }


def test_heads_can_be_given(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "heads.json").write_text('{"1": [0, 2], "2": [1]}')
    headmap.main([*given, "--heads", str(tmp_path / "heads.json"), "--rank", "8", "--epochs", "1"])
    found = last_line(capsys)
    assert found["drop_located"] is not None
    assert found["drop_unconditioned"] is None
    with pytest.raises(SystemExit, match="2"):
        headmap.main([*given, "--heads", str(tmp_path / "nowhere.json")])
    assert "nowhere.json is not a file" in capsys.readouterr().err


def test_items_must_name_their_answer(tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    file.write_text(json.dumps([{**ITEMS[0], "answer": "maybe"}]))
    with pytest.raises(ValueError, match="item 0"):
        headmap_data.read_items(file)


def test_items_in_words_are_the_question_and_what_stands_behind_the_labels(tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    text = (
        "Please choose the correct answer to the question: What is: red?\n\nAnswer1: Grass Answer2: Blood\n\n"
    )
    file.write_text(
        json.dumps([{"instruction": f"{text}Answer format: answer1/answer2", "answer": "answer2"}])
    )
    (item,) = headmap_data.read_items(file, "words")
    assert (item.text, item.answer) == ("Question: What is: red?\nAnswer:", "Blood")
    assert item.choices == ("Grass", "Blood")
    file.write_text(json.dumps(ITEMS[:1]))  # which lists no answers
    with pytest.raises(ValueError, match="item 0: no question"):
        headmap_data.read_items(file, "words")


def test_a_run_in_words_has_a_result_of_its_own(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [
        {
            "instruction": f"The question: is {n} odd?\n\nAnswer1: Yes Answer2: No\n\nAnswer format: answer1/answer2",
            "answer": f"answer{2 - n % 2}",
        }
        for n in range(40)
    ]
    (tmp_path / "parity" / "test.json").write_text(json.dumps(listed))
    (tmp_path / "heads.json").write_text('{"1": [0]}')
    headmap.main([*given, "--form", "words", "--heads", str(tmp_path / "heads.json"), "--epochs", "1"])
    found = last_line(capsys)
    assert (found["bench"], found["n"]) == ("headmap_words", 16)
    assert found["gain_enhanced"] is not None
    assert (tmp_path / "headmap_words-quick.json").is_file()
