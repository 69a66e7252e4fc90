"""The diagnostics' pictures: drawn from the data, whole, harmless whatever the texts are."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from xml.etree.ElementTree import Element

import pytest

from circuits.heads import HeadReport, Role
from circuits.interventions import Head
from circuits.knockout import Curve
from circuits.lens import Trajectory
from circuits.reading import FactReading, HeadReading
from service.pictures import circuits as pictures
from service.pictures.map import heat_map

HOSTILE = '<script>alert("x")</script> & “more”'
_SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def texts(root: Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{_SVG}text")]


def trajectory(text: str, values: tuple[float, ...]) -> Trajectory:
    return Trajectory(text, 1, values, values, tuple(range(len(values))), (1,))


def test_trajectories_are_drawn_inside_the_frame_and_texts_stay_texts() -> None:
    lines = [trajectory(HOSTILE, (-50.0, -3.0, -1.0, -0.1)), trajectory("Oslo", (-9.0, -4.0, -2.0, -3.0))]
    root = parsed(pictures.trajectories(lines, overtaken=1))
    assert root.find(f".//{_SVG}script") is None
    assert "Oslo" in texts(root)
    lines_drawn = root.findall(f"{_SVG}polyline")
    assert len(lines_drawn) == 2
    places = [tuple(map(float, place.split(","))) for place in lines_drawn[0].attrib["points"].split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    heights = [y for _, y in places]
    assert heights == sorted(heights, reverse=True)  # rising to the top of the picture
    assert max(heights) == pytest.approx(380 - 46)  # what is below the frame is drawn at its edge
    assert min(heights) >= 40


def test_knockout_curves_go_below_zero() -> None:
    curve = Curve("subject", (0, 1, 2), (0.0, -0.5, -3.0))
    root = parsed(pictures.knockout_curves("blocked", "layer", [curve]))
    assert "-1" in texts(root)
    assert "0" in texts(root)
    ((_, first), (_, second), (_, third)) = (
        tuple(map(float, place.split(",")))
        for place in root.find(f"{_SVG}polyline").attrib["points"].split()  # type: ignore[union-attr]
    )
    assert first < second < third


def test_every_head_has_its_cell_and_roles_their_letters() -> None:
    roles = [Role.NONE, Role.MOVER, Role.RELATION, Role.MIXTURE]
    reports = [
        HeadReport(Head(layer, head), roles[head % 4], 0.1, 0.1, layer - 1.0, 0.0, 0.0)
        for layer in range(3)
        for head in range(4)
    ]
    root = parsed(pictures.head_map(reports, 3, 4))
    hints = [element.text or "" for element in root.iter(f"{_SVG}title")]
    assert len([hint for hint in hints if hint.startswith("H")]) == 12
    assert "H1, layer 2: 1 logits" in hints
    assert [texts(root).count(letter) for letter in "MRX"] == [3, 3, 3]


def test_maps_of_readings_and_gradients_name_layers_and_tokens() -> None:
    heads = tuple(HeadReading(Head(layer, head), (0.2,), 0.1, -0.5) for layer in (3, 9) for head in range(2))
    reading = FactReading(-1.0, -5.0, heads, ((3, -1.0), (9, -2.0)), (-4.0,), ((-1.0,),))
    assert any("3, 9" in text for text in texts(parsed(pictures.reading_map(reading, 2))))
    root = parsed(pictures.gradient_map(["\n", HOSTILE, " is"], [[0.1, -0.2, math.nan]] * 4))
    assert root.find(f".//{_SVG}script") is None
    assert "⏎" in "".join(texts(root)) or "␣" in "".join(texts(root))
    assert len(parsed(pictures.recall_chart((0.1, 0.2), (0.3, 0.9))).findall(f"{_SVG}polyline")) == 2


def test_colours_say_above_and_below() -> None:
    root = parsed(heat_map("t", "x", ["row"], [[-2.0, 0.0, 2.0]]))
    cells = [
        element.attrib["fill"]
        for element in root.iter(f"{_SVG}rect")
        if element.find(f"{_SVG}title") is not None
    ]
    assert cells == ["#0072b2", "#ffffff", "#d55e00"]
