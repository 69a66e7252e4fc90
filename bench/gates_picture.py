"""Gates as a heat map, layer by head, one panel for each encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_CELL, _GAP = 30, 3
_LEFT, _TOP, _BOTTOM = 66, 104, 62
_BETWEEN, _COUNT = 58, 46  # room between panels, and for the number of open heads beside each row


@dataclass(frozen=True, slots=True)
class Panel:
    """One encoder's gates [layers][heads], 0..1."""

    title: str
    below: str
    gates: Sequence[Sequence[float]]


def picture(title: str, layers: Sequence[int], panels: Sequence[Panel]) -> str:
    """An SVG; layers from the model's end (at the top) to its beginning. Closed heads are empty squares."""
    heads = len(panels[0].gates[0])
    wide = heads * _CELL + _COUNT
    width = _LEFT + len(panels) * wide + (len(panels) - 1) * _BETWEEN + 24
    height = _TOP + len(layers) * _CELL + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape('; '.join(f'{panel.title}: {panel.below}' for panel in panels))}</desc>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(24, 32, title, size=17, weight=600),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, layers, _LEFT + number * (wide + _BETWEEN))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, layers: Sequence[int], left: int) -> list[str]:
    heads = len(panel.gates[0])
    bottom = _TOP + len(layers) * _CELL
    parts = [
        _text(left, _TOP - 46, panel.title, size=14, weight=600),
        _text(left, _TOP - 28, panel.below, colour="#666"),
        _text(left + heads * _CELL + 10, _TOP - 8, "open", size=11, colour="#666"),
        _text(left + heads * _CELL / 2, bottom + 38, "head", anchor="middle", colour="#666"),
    ]
    parts += [
        _text(left + (head + 0.5) * _CELL, bottom + 18, str(head), anchor="middle", colour="#666")
        for head in range(heads)
    ]
    for row, (layer, gates) in enumerate(sorted(zip(layers, panel.gates, strict=True), reverse=True)):
        y = _TOP + row * _CELL
        parts.append(_text(left - 8, y + _CELL / 2 + 4, str(layer), anchor="end", colour="#444"))
        for head, gate in enumerate(gates):
            parts.append(_cell(left + head * _CELL, y, gate))
        opened = sum(gate > 0 for gate in gates)
        parts.append(
            _text(
                left + heads * _CELL + 10, y + _CELL / 2 + 4, str(opened), colour="#222" if opened else "#aaa"
            )
        )
    middle = _TOP + len(layers) * _CELL / 2
    parts.append(
        f'<text transform="translate({left - 36} {middle}) rotate(-90)" text-anchor="middle" '
        'fill="#666">layer</text>'
    )
    return parts


def _cell(x: float, y: float, gate: float) -> str:
    """Darker is further open."""
    box = f'x="{x + _GAP / 2}" y="{y + _GAP / 2}" width="{_CELL - _GAP}" height="{_CELL - _GAP}" rx="3"'
    if gate <= 0:
        return f'<rect {box} fill="#fff" stroke="#ddd"/>'
    red, green, blue = (round(225 + (end - 225) * gate) for end in (0, 92, 140))
    return f'<rect {box} fill="rgb({red},{green},{blue})"><title>{gate:.2f}</title></rect>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    weight: int = 400,
    colour: str = "#222",
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
