"""Heat maps as SVG: heads by layer, tokens by layer. Blue is below zero, orange above; every cell says what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from engines.svg import written

_LEFT, _TOP, _BOTTOM, _RIGHT = 58, 44, 62, 24
_WIDTH = 760
_CELL_HEIGHT = 18
_MOST_CELL = 34
_LONGEST_NAME = 16
_BELOW, _ABOVE = (0, 114, 178), (213, 94, 0)
_SCALE_WIDTH, _SCALE_STEPS = 160, 20


def heat_map(
    title: str,
    x_label: str,
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    marks: Mapping[tuple[int, int], str] | None = None,
    legend: str = "",
    what: str = "",
) -> str:
    """The picture: a row for each name, a column for each of its values. `marks`: a letter in the cell (row, column);
    `legend` explains them; `what` is what a value is."""
    shown = [_short(name) for name in names]
    left = _LEFT + max((6 * max(0, len(name) - 4) for name in shown), default=0)
    columns = max((len(row) for row in values), default=1)
    cell = min(_MOST_CELL, (_WIDTH - left - _RIGHT) / max(1, columns))
    most = max((abs(value) for row in values for value in row if math.isfinite(value)), default=1.0) or 1.0
    height = _TOP + _CELL_HEIGHT * len(names) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{written(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600">{written(title)}</text>',
    ]
    for row, (name, line) in enumerate(zip(shown, values, strict=True)):
        y = _TOP + _CELL_HEIGHT * row
        parts.append(
            f'<text x="{left - 6}" y="{y + 13}" text-anchor="end" fill="#333">{written(name)}</text>'
        )
        for column, value in enumerate(line):
            x = round(left + cell * column, 1)
            hint = f"{name}, {x_label} {column}: {value:.3g} {what}".strip()
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 0.6:.1f}" height="{_CELL_HEIGHT - 1}" '
                f'fill="{_colour(value / most)}"><title>{written(hint)}</title></rect>'
            )
            mark = (marks or {}).get((row, column))
            if mark:
                parts.append(
                    f'<text x="{x + cell / 2:.1f}" y="{y + 13}" text-anchor="middle" font-size="11" '
                    f'font-weight="700" pointer-events="none">{written(mark)}</text>'
                )
    bottom = _TOP + _CELL_HEIGHT * len(names)
    every = max(1, math.ceil(columns / (20 if cell > 15 else 10)))
    for column in range(0, columns, every):
        x = left + cell * (column + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" fill="#555">{column}</text>')
    middle = left + cell * columns / 2
    parts.append(f'<text x="{middle:.1f}" y="{bottom + 32}" text-anchor="middle">{written(x_label)}</text>')
    parts += _scale(most, what, bottom + 46)
    if legend:
        parts.append(
            f'<text x="{_WIDTH - _RIGHT}" y="{bottom + 54}" text-anchor="end" fill="#333">{written(legend)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(most: float, what: str, y: float) -> list[str]:
    step = _SCALE_WIDTH / _SCALE_STEPS
    begin = _LEFT
    cells = [
        f'<rect x="{begin + step * at:.1f}" y="{y}" width="{step:.1f}" height="9" '
        f'fill="{_colour(2 * (at + 0.5) / _SCALE_STEPS - 1)}"/>'
        for at in range(_SCALE_STEPS)
    ]
    return [
        *cells,
        f'<text x="{begin - 6}" y="{y + 9}" text-anchor="end" fill="#555">{-most:.2g}</text>',
        f'<text x="{begin + _SCALE_WIDTH + 6}" y="{y + 9}" fill="#555">{most:.2g} {written(what)}</text>',
    ]


def _colour(share: float) -> str:
    if not math.isfinite(share):
        return "#eee"
    target = _ABOVE if share > 0 else _BELOW
    weight = min(1.0, abs(share)) ** 0.6
    parts = [round(255 + (end - 255) * weight) for end in target]
    return "#{:02x}{:02x}{:02x}".format(*parts)


def _short(name: str) -> str:
    shown = name.replace("\n", "⏎").strip() or "␣"
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"
