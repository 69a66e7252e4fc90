"""Grafting as bars: for each scheme how often the answer is among the five best, and its mean probability."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from circuits.grafting.schemes import Outcome
from engines.svg import written

_BARS = (("#0072b2", "first token among the five best"), ("#e69f00", "its mean probability"))
_LABELS = {
    "pre": "as it was",
    "sft": "fine-tuned",
    "fe": "first entity (FE)",
    "lt": "last token (LT)",
    "fe_lt": "FE and LT",
    "not_fe": "all but FE",
    "not_lt": "all but LT",
    "complement": "all but FE and LT",
    "o_ffn": "O and FFN",
    "o": "O, attention's output",
    "ffn": "FFN",
    "attention_o_ffn": "attention, O and FFN",
    "attention": "attention: Q, K, V",
}
_COMPONENTS = {"output": "O", "ffn": "FFN"}
_QUARTERS = {"quarter1": "first", "quarter2": "second", "quarter3": "third", "quarter4": "last"}
_LEFT, _WIDE, _ROW, _TOP = 210, 420, 40, 92


def picture(outcomes: Sequence[Outcome], title: str = "Where the new weights are needed") -> str:
    """One row for each outcome."""
    height, width = _TOP + _ROW * len(outcomes) + 44, _LEFT + _WIDE + 150
    cases = len(outcomes[0].rank) if outcomes else 0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{written(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="600">{written(title)}</text>',
        f'<text x="20" y="50" fill="#666">{cases} questions; fine-tuned weights at these positions only</text>',
        f'<text x="{_LEFT + _WIDE + 62}" y="{_TOP - 12}" fill="#444">median rank</text>',
    ]
    x = _LEFT
    for colour, text in _BARS:
        parts.append(f'<rect x="{x}" y="{_TOP - 26}" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="{_TOP - 16}" fill="#444">{text}</text>')
        x += 220
    for share in (0, 0.5, 1):
        x_at, bottom = _LEFT + share * _WIDE, _TOP + _ROW * len(outcomes)
        parts.append(f'<line x1="{x_at}" y1="{_TOP}" x2="{x_at}" y2="{bottom}" stroke="#ccc"/>')
        parts.append(
            f'<text x="{x_at}" y="{bottom + 18}" text-anchor="middle" fill="#888">{share:.0%}</text>'
        )
    for at, each in enumerate(outcomes):
        y = _TOP + at * _ROW
        label = _label(each.scheme.label)
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 19}" text-anchor="end" fill="#222">{written(label)}</text>'
        )
        for line, ((colour, name), value) in enumerate(
            zip(_BARS, (fmean(each.top5), fmean(each.probability)), strict=True)
        ):
            top = y + 3 + line * 14
            parts.append(
                f'<g><title>{written(label)}: {name} {value:.3f}</title><rect x="{_LEFT}" y="{top}" '
                f'width="{max(1.0, value * _WIDE):.1f}" height="12" fill="{colour}"/>'
                f'<text x="{_LEFT + value * _WIDE + 6:.1f}" y="{top + 10}" font-size="10.5" fill="#444">'
                f"{value:.0%}</text></g>"
            )
        parts.append(
            f'<text x="{_LEFT + _WIDE + 100}" y="{y + 19}" text-anchor="middle" fill="#444">'
            f"{median(each.rank) + 1:.0f}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _label(scheme: str) -> str:
    component, _, quarter = scheme.partition("_")
    if component in _COMPONENTS and quarter in _QUARTERS:
        return f"{_COMPONENTS[component]}, {_QUARTERS[quarter]} quarter of layers"
    return _LABELS.get(scheme, scheme.replace("_", " "))
