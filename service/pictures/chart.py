"""Line charts as SVG, by hand: pictures of a training or a sweep need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.svg import written

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 150, 40, 46
# Told apart by colour-blind people too (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    *,
    marks: Sequence[float] = (),
    lowest: float = 0.0,
) -> str:
    """The picture. The vertical axis begins at `lowest`; `marks` are vertical bars, such as chosen layers."""
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    frame = _Frame(
        min((x for x, _ in points), default=0.0),
        max((x for x, _ in points), default=1.0),
        _round_up(max((y for _, y in points), default=1.0)) if lowest >= 0 else _highest(points, lowest),
        lowest,
    )
    names = ", ".join(line.name for line in lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{written(title)}</title>",
        f"<desc>{written(f'{y_label} over {x_label}: {names}')}</desc>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600">{written(title)}</text>',
        *(_mark(frame, value) for value in marks),
        *_axes(frame, x_label, y_label),
    ]
    for number, line in enumerate(lines):
        parts += _line(frame, line, number, _COLOURS[number % len(_COLOURS)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def smoothed(points: Sequence[tuple[float, float]], weight: float = 0.9) -> list[tuple[float, float]]:
    """A running mean that forgets: the noise of single steps hides where a loss goes."""
    found: list[tuple[float, float]] = []
    mean, total = 0.0, 0.0
    for x, y in points:
        mean, total = weight * mean + (1 - weight) * y, weight * total + (1 - weight)
        found.append((x, mean / total))
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    first: float
    last: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        share = (value - self.first) / ((self.last - self.first) or 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (max(value, self.bottom) - self.bottom) / (self.top - self.bottom)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _axes(frame: _Frame, x_label: str, y_label: str) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    ticks = 4 if frame.top == -frame.bottom else _TICKS
    for number in range(ticks + 1):
        value = frame.bottom + (frame.top - frame.bottom) * number / ticks
        y = frame.y(value)
        parts.append(f'<path d="M{_LEFT} {y}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#555">{value:.3g}</text>')
    for number in range(_TICKS + 1):
        at = frame.first + (frame.last - frame.first) * number / _TICKS
        parts.append(
            f'<text x="{frame.x(at)}" y="{bottom + 18}" text-anchor="middle" fill="#555">{at:.0f}</text>'
        )
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{written(x_label)}</text>')
    upright = f'transform="rotate(-90 16 {(_TOP + bottom) / 2})"'
    parts.append(
        f'<text x="16" y="{(_TOP + bottom) / 2}" text-anchor="middle" {upright}>{written(y_label)}</text>'
    )
    return parts


def _line(frame: _Frame, line: Line, number: int, colour: str) -> list[str]:
    places = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in line.points if math.isfinite(y))
    y = _TOP + 14 + 20 * number
    x = _WIDTH - _RIGHT + 14
    return [
        f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"/>',
        f'<path d="M{x} {y}h16" stroke="{colour}" stroke-width="3"/>',
        f'<text x="{x + 22}" y="{y + 4}">{written(line.name)}</text>',
    ]


def _mark(frame: _Frame, value: float) -> str:
    return f'<path d="M{frame.x(value)} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#f0e4a8" stroke-width="7"/>'


def _highest(points: Sequence[tuple[float, float]], lowest: float) -> float:
    """Of a chart that goes below zero: 0, a quarter as far above it as below, or as far; so that a line is at 0."""
    most = max((y for _, y in points), default=0.0)
    share = 0.0 if most <= 0 else 0.25 if most <= -lowest / 4 else 1.0
    return -lowest * share if share else 0.0


def _round_up(value: float) -> float:
    """To the next 1, 2 or 5 of its size."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= value * 0.999)
