"""The grafting benchmark, run whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import grafting
from tests.tiny import tiny_folder


def test_schemes_components_and_the_hybrid_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    model = tiny_folder(tmp_path / "tiny")
    picture = tmp_path / "bars.svg"
    given = ["--model", str(model), "--results", str(tmp_path), "--facts", "4", "--picture", str(picture)]
    grafting.main(given)
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (found["facts"], found["n"], found["prompt_forms"]) == (4, 8, 3)
    for name in (
        "pre",
        "sft",
        "fe",
        "lt",
        "fe_lt",
        "complement",
        "o_ffn",
        "ffn_quarter4",
        "new_sft",
        "hybrid",
    ):
        assert found[f"{name}_lo"] <= found[name] <= found[f"{name}_hi"]
        assert 0 <= found[f"p_{name}"] <= 1 <= found[f"rank_{name}"]
    assert found["log_p_sft"] > found["log_p_pre"]
    assert picture.read_text().startswith("<svg")
    whole = json.loads((tmp_path / "grafting-quick.json").read_text())
    losses = whole["configuration"]["losses"]
    assert losses[-1] < losses[0]
    assert len(whole["rows"]) == 8 + 13
    grafting.main([*given, "--minutes", "0"])  # from what was kept
    again = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
