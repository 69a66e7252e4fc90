"""What batching buys: values looked for one fact at a time, and sixteen at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from bench.editors_ring import Ring
from bench.kept import Kept
from editors.metrics.counterfact import EditCase
from editors.weights.memit import Memit

SIZES = (1, 16)


def batched_values(ring: Ring, kept: Kept, cases: Sequence[EditCase], repeats: int) -> None:
    """Rows of the same facts, in turn alone and together, so that a busy hour weighs on both."""
    if "memit" not in ring.settings:
        return
    for repeat in range(repeats):
        part = cases[repeat * max(SIZES) : (repeat + 1) * max(SIZES)]
        for size in SIZES:
            kept.row(_name(ring, repeat, size), partial(_timed, ring, part, size))


def cost_keys(ring: Ring, kept: Kept, repeats: int) -> dict[str, Any]:
    """`facts_per_s_1`, `facts_per_s_16` and their ratio, over the repeats that have both; null without any."""
    keys: dict[str, Any] = {f"facts_per_s_{size}": None for size in SIZES} | {"ratio_facts_per_s_16": None}
    if "memit" not in ring.settings:
        return keys
    rows = [[kept.get(_name(ring, repeat, size)) for size in SIZES] for repeat in range(repeats)]
    both = [[row["facts_per_s"] for row in pair if row] for pair in rows if all(pair)]
    if both:
        keys |= {f"facts_per_s_{size}": fmean(pair[at] for pair in both) for at, size in enumerate(SIZES)}
        keys["ratio_facts_per_s_16"] = fmean(pair[1] / pair[0] for pair in both)
    return keys


def _timed(ring: Ring, cases: Sequence[EditCase], size: int) -> dict[str, Any]:
    editor = ring.editor("memit", facts_at_once=size)
    if not isinstance(editor, Memit):
        raise TypeError("memit is made by another class")
    began = time.perf_counter()
    editor.values(ring.editable, [case.request for case in cases], ring.means)
    return {"facts_per_s": len(cases) / (time.perf_counter() - began)}


def _name(ring: Ring, repeat: int, size: int) -> str:
    return f"{ring.row('cost', 'memit')}/{repeat}/{size}"
