"""The load benchmarks run whole on a tiny model, and their last lines have the keys that documents rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import load, load_soak
from tests.e2e.test_inference_service import save_tiny

pytestmark = pytest.mark.slow
KEYS = """
capacity_rps goodput_half goodput_1x goodput_4x p50_ms_1x p99_ms_half p99_ms_1x p99_ms_4x refused_4x others_4x
reject_ms_p99 recovery_s rss_growth facts_capacity_rps facts_goodput_4x facts_reject_ms_p99 facts_recovery_s
neighbour_ratio_p99 neighbour_quiet_ok neighbour_quota_ratio_p99 overhead_service_b8 overhead_service_b8_lo
""".split()
SOAK = "minutes ok refused hung_up others p99_ms rss_mib_per_hour files_growth threads_growth orphans".split()


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    keys: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return keys


def test_load(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    engine = save_tiny(tmp_path)
    load.main(
        [
            *("--model", engine["model"], "--encoder", engine["encoder"], "--results", str(tmp_path)),
            *("--seconds", "2", "--repetitions", "2", "--tokens", "4"),
        ]
    )
    keys = last_line(capsys)
    assert keys.keys() >= set(KEYS)
    assert keys["capacity_rps"] > 0
    assert keys["others_half"] == 0


def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = save_tiny(tmp_path)
    load_soak.main(
        [
            *("--model", engine["model"], "--encoder", engine["encoder"], "--results", str(tmp_path)),
            *("--minutes", "0.2", "--rate", "20", "--every", "0.5"),
        ]
    )
    keys = last_line(capsys)
    assert keys.keys() >= set(SOAK)
    assert (keys["orphans"], keys["others"]) == (0, 0)
    assert keys["ok"] > 0


def test_a_slope_is_that_of_the_line() -> None:
    assert load_soak.slope([0, 1, 2], [5, 7, 9]) == pytest.approx(2)
    assert load_soak.slope([1, 1], [5, 7]) == 0
