"""The record of a training, and its picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from service.encoders.recipe_file import recipe_of, recipe_values
from service.encoders.run_record import Sitting, read_curve, read_sittings, write_record
from service.pictures.chart import Line, line_chart, smoothed

MANIFEST: dict[str, Any] = {
    "model": "tiny",
    "model_digest": "m1",
    "recipe": recipe_values(recipe_of({"train": {"steps": 500}})),
    "data": {"phrases": "p1", "facts": "f1"},
    "embedder_taken_from": "Big",
    "closer_taken_from": "",
    "excluded_pairs": {"count": 3, "sha256": "e1"},
    "figures": {"right_seen": 0.987},
}


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - our own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    curve = [{"step": step, "said": 8.0 / (1 + step), "absent": 0.1} for step in range(500)]
    (run / "curve.json").write_text(json.dumps({"step": 500, "curve": curve}))
    return tmp_path


def test_sittings_add_up(folder: Path) -> None:
    for first in (0, 250):
        sitting = Sitting(folder)
        sitting.step(first)
        sitting.step(first + 249)
        sitting.save()
    assert [item["steps"] for item in read_sittings(folder)] == [[0, 249], [250, 499]]
    assert all(item["hardware"]["threads"] >= 1 for item in read_sittings(folder))


def test_the_record_of_a_run(folder: Path) -> None:
    sitting = Sitting(folder)
    sitting.step(0)
    sitting.save()
    paths = write_record(folder, MANIFEST)
    record = json.loads(paths[0].read_text())
    assert record["figures"] == {"right_seen": 0.987}
    assert len(record["curve"]) <= 200
    assert record["curve"][0]["said"] > record["curve"][-1]["said"]
    page = paths[1].read_text()
    for said in (
        "tiny (m1)",
        "| data: phrases | p1 |",
        "3 (e1)",
        "| embedder | as taught for Big |",
        "| closer look | taught here |",
        "| right_seen | 0.987 |",
        "steps = 500",
        "curve.svg",
    ):
        assert said in page
    picture = parsed(paths[2].read_text())
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len((line.get("points") or "").split()) for line in lines] == [500, 500]


def test_without_a_checkpoint_the_kept_curve_is_used(folder: Path) -> None:
    (folder / "run" / "curve.json").unlink()
    (folder / "curve.json").write_text(json.dumps([{"step": 4.5, "said": 1.0}]))
    assert read_curve(folder) == [{"step": 4.5, "said": 1.0}]


def test_a_chart_says_what_it_shows_and_escapes_it() -> None:
    picture = line_chart(
        "a < b", "x & y", "z", [Line("<i>", [(0, 1.0), (1, float("nan")), (2, 3.0)])], marks=[1]
    )
    root = parsed(picture)
    names = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{names}title") == "a < b"
    assert "<i>" in (root.findtext(f"{names}desc") or "")
    (line,) = root.findall(f"{names}polyline")
    assert len((line.get("points") or "").split()) == 2
    assert parsed(line_chart("nothing", "x", "y", []))


def test_a_running_mean_begins_at_the_first_value() -> None:
    found = smoothed([(0, 4.0), (1, 4.0), (2, 0.0)], 0.5)
    assert [round(y, 3) for _, y in found] == [4.0, 4.0, 1.714]
