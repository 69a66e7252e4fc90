"""Knockout: attention edges into the last position taken out in windows of layers, and sub-layers without a say.

An edge is taken out before the softmax, so that what remains is weighted anew. A sub-layer's whole output is zero,
its biases included.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from circuits.errors import InvalidProbe
from circuits.interventions import Block, Part, Site, ablated, blocked
from circuits.lab import Lab, Passes, batches
from circuits.probe import Placed

WINDOW = 9  # layers, as Geva et al. 2023 have it


class Source(enum.Enum):
    """Which positions the last one may not attend to."""

    SUBJECT = "subject"
    RELATION = "relation"
    LAST = "last"  # itself
    OTHERS = "others"  # everything but the subject and itself


@dataclass(frozen=True, slots=True)
class Curve:
    """What a knockout around each layer does to the answer's probability (all of its tokens).

    log_change: change of its log-probability; relative: (p' - p) / p.
    """

    what: str
    layers: tuple[int, ...]
    log_change: tuple[float, ...]

    @property
    def relative(self) -> tuple[float, ...]:
        """-1: gone; 0: unchanged."""
        return tuple(math.expm1(min(change, 50.0)) for change in self.log_change)


def edge_knockout_cost(lab: Lab, sources: int, longest: int = 0) -> Passes:
    """For one probe of so many tokens, its answer among them."""
    return Passes(forward=1 + math.ceil(sources * lab.layers / lab.rows_for(longest)))


def edge_knockout(
    lab: Lab,
    placed: Placed,
    tokens: Sequence[int],
    sources: Sequence[Source] = tuple(Source),
    window: int = WINDOW,
) -> list[Curve]:
    """Blocks the edges from each source into the positions that say the answer, in a window centred at each layer."""
    row = [*placed.ids, *tokens]
    said = range(placed.last, placed.last + len(tokens))
    keys = {source: _positions(placed, source) for source in sources}
    plain = _said(lab, [row], placed)[0]
    wanted = [(source, layer) for source in sources for layer in range(lab.layers) if keys[source]]
    changes: dict[Source, list[float]] = {source: [] for source in sources}
    for part in batches(wanted, lab.rows_for(len(row))):
        blocks = []
        for at, (source, layer) in enumerate(part):
            layers = window_of(layer, window, lab.layers)
            if source is Source.LAST:
                # Each position that says a token is kept from itself, unless it is all that there is.
                blocks += [Block(layers, (each,), (each,), rows=(at,)) for each in said if each > 0]
            else:
                blocks.append(Block(layers, said, keys[source], rows=(at,)))
        with blocked(lab.spec, blocks):
            found = _said(lab, [row] * len(part), placed)
        for (source, _), value in zip(part, found, strict=True):
            changes[source].append(value - plain)
    return [
        Curve(source.value, tuple(range(lab.layers)), tuple(changes[source]))
        for source in sources
        if keys[source]
    ]


def sublayer_knockout_cost(lab: Lab, longest: int = 0) -> Passes:
    """For one probe of so many tokens, its answer among them."""
    return Passes(forward=1 + math.ceil(2 * lab.layers / lab.rows_for(longest)))


def sublayer_knockout(lab: Lab, placed: Placed, tokens: Sequence[int], span: int = WINDOW) -> list[Curve]:
    """Zeroes the output of attention, or of the MLP, at every position in `span` layers from each layer on."""
    row = [*placed.ids, *tokens]
    plain = _said(lab, [row], placed)[0]
    wanted = [(part, layer) for part in (Part.ATTENTION, Part.MLP) for layer in range(lab.layers)]
    changes: dict[Part, list[float]] = {Part.ATTENTION: [], Part.MLP: []}
    for part in batches(wanted, lab.rows_for(len(row))):
        with ExitStack() as stack:
            for at, (what, first) in enumerate(part):
                rows = torch.zeros(len(part), 1, dtype=torch.bool)
                rows[at] = True
                sites = [Site(what, layer) for layer in range(first, min(first + span, lab.layers))]
                stack.enter_context(ablated(lab.spec, sites, where=rows))
            found = _said(lab, [row] * len(part), placed)
        for (what, _), value in zip(part, found, strict=True):
            changes[what].append(value - plain)
    layers = tuple(range(lab.layers))
    return [Curve(what.value, layers, tuple(values)) for what, values in changes.items()]


def window_of(layer: int, window: int, layers: int) -> range:
    """The layers of a window centred there, clipped."""
    if window < 1:
        raise InvalidProbe("window", "must be at least 1")
    half = window // 2
    return range(max(0, layer - half), min(layers, layer - half + window))


def _positions(placed: Placed, source: Source) -> tuple[int, ...]:
    if source is Source.SUBJECT:
        return tuple(at for at in placed.subject if at != placed.last)
    if source is Source.RELATION:
        return tuple(at for at in placed.relation if at != placed.last)
    if source is Source.LAST:
        return (placed.last,) if placed.last else ()
    return tuple(at for at in range(placed.last) if at not in placed.subject)


def _said(lab: Lab, rows: Sequence[Sequence[int]], placed: Placed) -> list[float]:
    """Log-probability of everything behind the prompt, per row."""
    return [float(each.sum()) for each in lab.said(rows, [len(placed.ids)] * len(rows))]
