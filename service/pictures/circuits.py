"""The diagnostics' pictures, drawn from the very data that they come with."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.emergence import Emergence, Told
from circuits.headmap import HeadMap
from circuits.heads import HeadReport, Role
from circuits.knockout import Curve
from circuits.lens import Trajectory
from circuits.reading import FactReading
from service.pictures.chart import Line, line_chart
from service.pictures.map import heat_map

_LETTERS = {Role.MOVER: "M", Role.RELATION: "R", Role.MIXTURE: "X"}
_LOWEST = -20.0  # log-probabilities below it are drawn at the edge
_LONGEST = 18


def trajectories(answers: Sequence[Trajectory], overtaken: int | None = None) -> str:
    """Log-probability by depth: whole layers on the axis, two points each."""
    lines = [
        Line(_short(each.text), [((at + 1) / 2, value) for at, value in enumerate(each.log_probability)])
        for each in answers
    ]
    marks = [] if overtaken is None else [(overtaken + 1) / 2]
    return line_chart(
        "What the model would answer at every depth",
        "layers passed",
        "log-probability of the answer",
        lines,
        marks=marks,
        lowest=_LOWEST,
    )


def knockout_curves(title: str, x_label: str, curves: Sequence[Curve]) -> str:
    """Relative change of the answer's probability; drawn up to a doubling."""
    lines = [
        Line(curve.what, [(at, min(1.0, value)) for at, value in enumerate(curve.relative)])
        for curve in curves
    ]
    return line_chart(title, x_label, "change of probability, (p' - p) / p", lines, lowest=-1.0)


def head_map(reports: Sequence[HeadReport], layers: int, heads: int) -> str:
    """Each head's direct say, and what it was found to be."""
    values = [[0.0] * layers for _ in range(heads)]
    marks: dict[tuple[int, int], str] = {}
    for report in reports:
        values[report.head.head][report.head.layer] = report.direct
        if report.role in _LETTERS:
            marks[report.head.head, report.head.layer] = _LETTERS[report.role]
    return heat_map(
        "What each head says to the answer",
        "layer",
        [f"H{head}" for head in range(heads)],
        values,
        marks=marks,
        legend="M: mover, R: relation, X: both",
        what="logits",
    )


def reading_map(reading: FactReading, heads: int) -> str:
    """What the answer loses when a head is blind to facts."""
    layers = sorted({each.head.layer for each in reading.heads})
    values = [[0.0] * len(layers) for _ in range(heads)]
    for each in reading.heads:
        values[each.head.head][layers.index(each.head.layer)] = each.delta
    names = ", ".join(str(layer) for layer in layers)
    return heat_map(
        "What the answer loses when a head cannot read the facts",
        f"layers that read facts, in order: {names}",
        [f"H{head}" for head in range(heads)],
        values,
        what="change of log-probability",
    )


def located_map(found: HeadMap) -> str:
    """What the answers lose when a head is silent too."""
    heads = found.losses.shape[1]
    cost = (found.losses - found.plain).T.tolist()
    return heat_map(
        "What the answers lose when a head is silent too"
        if found.conditioned
        else "What the answers lose when a head is silent",
        "layer",
        [f"H{head}" for head in range(heads)],
        cost,
        marks={(head, layer): "X" for layer, chosen in found.heads.items() for head in chosen},
        legend="X: located",
        what="nats a token",
    )


def emergence_map(found: Emergence, told: Told) -> str:
    """What each head is worth where the fact is told, less what it is worth where it is not."""
    change = found.worth[told] - found.worth[Told.NOWHERE]
    where = "stands in the prompt" if told is Told.PROMPT else "is injected"
    return heat_map(
        f"Heads that come in when the fact {where}",
        "layer",
        [f"H{head}" for head in range(change.shape[1])],
        change.T.tolist(),
        marks={(head.head, head.layer): "E" for head in found.entering(told)},
        legend="E: comes in",
        what="more log-probability lost without it",
    )


def gradient_map(pieces: Sequence[str], scores: Sequence[Sequence[float]]) -> str:
    """Gradient x input: a row for each token of the prompt."""
    by_token = [[float(layer[at]) for layer in scores] for at in range(len(pieces))]
    return heat_map(
        "What the answer rests on (gradient x input)", "layer", list(pieces), by_token, what="nats"
    )


def recall_chart(rate: Sequence[float], held: Sequence[float]) -> str:
    """Attributes by layer."""
    return line_chart(
        "What the subject's representation holds",
        "layer",
        "share",
        [
            Line("among 50 words", list(enumerate(rate))),
            Line("held in the top 500", list(enumerate(held))),
        ],
    )


def _short(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
