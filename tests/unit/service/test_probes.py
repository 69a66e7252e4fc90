"""Answers for the calibration of the check, in runs that were ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.studies import probes


def test_a_run_goes_on_after_a_batch_that_was_not_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answer_all(lab: Any, some: list[int]) -> list[int]:
        asked.extend(some)
        return some

    monkeypatch.setattr(probes, "answer_all", answer_all)
    monkeypatch.setattr(probes, "_inside", lambda lab, item: {"n": item})
    lab: Any = SimpleNamespace(rows=16)
    wanted: Any = list(range(100))
    part = tmp_path / "seen.jsonl"
    for most in (2, 5, 40, 100):
        found = probes._seen(lab, wanted[:most], part, lambda progress: None)
        assert [item["n"] for item in found] == wanted[:most]
    with part.open("a") as file:
        file.write('[{"n": 1')  # ended in the middle of a line
    assert len(probes._seen(lab, wanted, part, lambda progress: None)) == 100
    assert asked == wanted
