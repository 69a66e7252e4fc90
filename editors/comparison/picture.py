"""A comparison as one SVG: how well each method did, where the new object comes up, who says it, what is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from editors.comparison.compare import Comparison
from editors.comparison.contenders import ORIGINAL
from engines.svg import written

_WIDTH = 1080
_LABELS = {
    "original": "unedited",
    "rrome": "r-ROME",
    "rome": "ROME",
    "ft_m": "FT-M",
    "ft_l": "FT-L",
    "memit": "MEMIT",
    "kv": "facts (KV)",
}
# Told apart by colour-blind people too (Okabe and Ito).
_COLOURS = {
    "original": "#888888",
    "rrome": "#0072b2",
    "rome": "#56b4e9",
    "ft_m": "#d55e00",
    "ft_l": "#e69f00",
    "memit": "#009e73",
    "kv": "#cc79a7",
}
_RATES = (
    ("es", "edit", "new beats old"),
    ("ps", "paraphrases", "new beats old"),
    ("ns", "neighbours", "old beats new"),
    ("s", "all three", "harmonic mean"),
    ("reliability_free", "says it", "generated freely"),
    ("locality_free", "unchanged", "neighbours' answers"),
    ("portability", "follows", "two hops"),
)
_ROW, _TOP = 30, 84
_NAME_X, _CELL_X, _CELL = 24, 130, 104
_SAID = 118  # characters


def picture(found: Comparison) -> str:
    """Any subset of methods; the unedited model comes first."""
    methods = found.methods
    table_end = _TOP + 40 + _ROW * len(methods)
    charts = table_end + 56
    said = charts + 330
    height = said + 34 + 24 * len(methods) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Methods of editing side by side</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(_NAME_X, 34, "The same edits by every method", size=19, weight=600),
        _text(
            _NAME_X,
            56,
            f"{found.cases} facts, each edited alone and taken back; per cent, darker is better",
            colour="#666",
        ),
        *_table(methods),
        *_ranks(methods, _NAME_X, charts, 560, 260),
        *_contributions([m for m in methods if m["method"] != ORIGINAL], 660, charts, 396, 260),
        *_said(methods, said),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _table(methods: Sequence[dict[str, Any]]) -> list[str]:
    parts = []
    for column, (_, title, below) in enumerate(_RATES):
        x = _CELL_X + column * _CELL + _CELL / 2 - 3
        parts.append(_text(x, _TOP, title, anchor="middle", weight=600))
        parts.append(_text(x, _TOP + 16, below, anchor="middle", size=9.5, colour="#777"))
    seconds_x, spill_x = _CELL_X + len(_RATES) * _CELL + 60, _CELL_X + len(_RATES) * _CELL + 140
    parts.append(_text(seconds_x, _TOP, "seconds", anchor="end", weight=600))
    parts.append(_text(spill_x, _TOP, "spill", anchor="end", weight=600))
    parts.append(_text(spill_x, _TOP + 16, "nats a token", anchor="end", size=9.5, colour="#777"))
    for row, method in enumerate(methods):
        y = _TOP + 28 + row * _ROW
        figures = method["figures"]
        parts.append(_dot(_NAME_X + 5, y + 11, _colour(method)))
        parts.append(_text(_NAME_X + 18, y + 16, _label(method), weight=600))
        for column, (name, _, _) in enumerate(_RATES):
            parts += _cell(_CELL_X + column * _CELL, y, figures.get(name))
        if method["method"] != ORIGINAL:
            parts.append(_text(seconds_x, y + 16, f"{figures['seconds']:.1f}", anchor="end"))
            parts.append(_text(spill_x, y + 16, f"{figures['spill']:+.2f}", anchor="end"))
    return parts


def _cell(x: float, y: float, value: float | None) -> list[str]:
    """Darker is better; nothing where it was not measured."""
    box = f'width="{_CELL - 6}" height="{_ROW - 6}" rx="3"'
    if value is None:
        return [f'<rect x="{x}" y="{y}" {box} fill="#f4f4f4"/>']
    red, green, blue = (round(245 + (end - 245) * value) for end in (30, 110, 120))
    ink = "#fff" if value > 0.55 else "#222"
    return [
        f'<rect x="{x}" y="{y}" {box} fill="rgb({red},{green},{blue})"/>',
        _text(x + _CELL / 2 - 3, y + 16, f"{100 * value:.0f}", anchor="middle", colour=ink),
    ]


def _ranks(
    methods: Sequence[dict[str, Any]], left: float, top: float, width: float, height: float
) -> list[str]:
    """Rank 1 is at the top; a diamond stands at the edited layers."""
    count = len(methods[0]["readings"])
    worst = max(reading["rank_last"] for method in methods for reading in method["readings"])
    decades = max(1, math.ceil(math.log10(max(worst, 2))))
    inner = left + 56

    def at(layer: int, rank: float) -> tuple[float, float]:
        x = inner + (width - 76) * layer / max(1, count - 1)
        return round(x, 1), round(top + 30 + (height - 60) * math.log10(max(rank, 1)) / decades, 1)

    parts = [_text(left, top, "Rank of the new object behind the prompt, read at each layer", weight=600)]
    for decade in range(decades + 1):
        _, y = at(0, 10**decade)
        parts.append(f'<path d="M{inner} {y}H{left + width - 20}" stroke="#e4e4e4"/>')
        parts.append(_text(inner - 8, y + 4, f"{10**decade:,}", anchor="end", size=11, colour="#666"))
    for layer in range(0, count, max(1, count // 10)):
        x, y = at(layer, 10**decades)
        parts.append(_text(x, y + 20, str(layer), anchor="middle", size=11, colour="#666"))
    parts.append(_text(inner + (width - 76) / 2, top + height + 12, "layer", anchor="middle", colour="#666"))
    for method in methods:
        places = [at(reading["layer"], reading["rank_last"]) for reading in method["readings"]]
        line = " ".join(f"{x},{y}" for x, y in places)
        dashed = ' stroke-dasharray="5 4"' if method["method"] == ORIGINAL else ""
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{_colour(method)}" stroke-width="2.2"{dashed}/>'
        )
        if method["method"] != "kv":
            for layer in method["layers"]:
                x, y = places[layer]
                parts.append(_diamond(x, y, _colour(method)))
    return parts


def _contributions(
    methods: Sequence[dict[str, Any]], left: float, top: float, width: float, height: float
) -> list[str]:
    """Two bars for each method: what the edited MLPs say themselves, and what heads carry to the last token."""
    parts = [
        _text(left, top, "Who says it: change in direct contribution", weight=600),
        _text(left, top + 20, "■ MLPs of the edited layers", size=11, colour="#444"),
        _text(left + 176, top + 20, "□ attention heads that gained", size=11, colour="#444"),
    ]
    values = [[m["figures"].get(f"{part}_contribution") for part in ("mlp", "head")] for m in methods]
    known = [value for pair in values for value in pair if value is not None]
    low, high = min([0.0, *known]), max([0.1, *known])
    start, room = left + 92, width - 140
    zero = start + room * -low / (high - low)
    step = min(46.0, (height - 40) / max(1, len(methods)))
    for row, (method, (mlp, heads)) in enumerate(zip(methods, values, strict=True)):
        y = top + 38 + row * step
        parts.append(_text(left, y + step / 2, _label(method), weight=600))
        for place, (value, fill) in enumerate(((mlp, _colour(method)), (heads, "#fff"))):
            if value is None:  # it writes no weights
                continue
            span = room * abs(value) / (high - low)
            x = zero if value >= 0 else zero - span
            thick = step * 0.3
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 4 + place * (thick + 3):.1f}" width="{max(span, 1):.1f}" '
                f'height="{thick:.1f}" fill="{fill}" stroke="{_colour(method)}" stroke-width="1.4"/>'
            )
            end = max(zero, x + span) + 6
            parts.append(
                _text(end, y + 3 + thick + place * (thick + 3), f"{value:+.1f}", size=10.5, colour="#555")
            )
    parts.append(f'<path d="M{zero:.1f} {top + 34}V{top + 40 + step * len(methods):.1f}" stroke="#999"/>')
    return parts


def _said(methods: Sequence[dict[str, Any]], top: float) -> list[str]:
    parts = [_text(_NAME_X, top, "What it goes on to say behind the first fact's prompt", weight=600)]
    for row, method in enumerate(methods):
        y = top + 28 + 24 * row
        words = " ".join(method["said"].split())
        shown = words if len(words) <= _SAID else words[: _SAID - 1] + "…"
        parts.append(_dot(_NAME_X + 5, y - 5, _colour(method)))
        parts.append(_text(_NAME_X + 18, y, _label(method), weight=600))
        parts.append(_text(_CELL_X, y, shown, colour="#333"))
    return parts


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 13,
    weight: int = 400,
    anchor: str = "start",
    colour: str = "#111",
) -> str:
    # Facts and answers are untrusted: control characters are no XML, the rest is escaped.
    shown = written("".join(letter if letter.isprintable() else "�" for letter in words))
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{shown}</text>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>'


def _diamond(x: float, y: float, colour: str) -> str:
    return f'<path d="M{x} {y - 7}l7 7l-7 7l-7 -7z" fill="{colour}" stroke="#fff" stroke-width="1.2"/>'


def _label(method: dict[str, Any]) -> str:
    name = str(method["method"])
    return _LABELS.get(name, name)


def _colour(method: dict[str, Any]) -> str:
    return _COLOURS.get(str(method["method"]), "#000")
