"""From kept rows to the keys of the last line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from bench.common import sample_keys, share_keys
from bench.counterfact_records import score_keys
from bench.editors_kv import POINTS as KV_POINTS
from bench.editors_kv import row_name
from bench.editors_many import MASS_POINTS, SEQUENCE_POINTS
from bench.editors_ring import RIVALS, Ring
from bench.editors_single import PLAIN
from bench.kept import Kept

Row = Mapping[str, Any]
_RATES = ("reliability", "generality", "locality")


def single_keys(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """By method; null for one without rows."""
    keys: dict[str, Any] = {}
    for name in (*RIVALS, PLAIN):
        mine = rows.get(name) or []
        keys |= dict.fromkeys(f"{kind}_{name}" for kind in ("es", "ps", "ns", "s", "seconds"))
        if mine:
            keys |= _of(name, mine)
    return keys


def _of(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    keys: dict[str, Any] = dict(score_keys(f"_{name}", [row["outcome"] for row in rows]))
    for place, rate in enumerate(_RATES):
        keys[f"{rate}_{name}"] = fmean(row["rates"][place] for row in rows)
    keys |= share_keys(f"free_{name}", [row["free"][0] for row in rows])
    keys |= share_keys(f"free_paraphrase_{name}", [row["free"][1] for row in rows])
    keys |= share_keys(f"unchanged_{name}", [row["unchanged"] for row in rows])
    keys[f"fluency_{name}"] = fmean(row["fluency"] for row in rows)
    if name == PLAIN:
        return keys
    keys |= sample_keys(f"seconds_{name}", [row["seconds"] for row in rows])
    keys |= sample_keys(f"cpu_seconds_{name}", [row["cpu_seconds"] for row in rows])
    memory = [row["peak_mb"] for row in rows if row["peak_mb"] is not None]
    keys[f"peak_mb_{name}"] = fmean(memory) if memory else None
    return keys


def many_keys(ring: Ring, kept: Kept, sequences: Sequence[str]) -> dict[str, Any]:
    """Sequences and masses; null for numbers of edits that were not reached."""
    keys: dict[str, Any] = {}
    for name in sequences:
        row = ring.row("sequence", name)
        for point in SEQUENCE_POINTS:
            keys |= _many(f"seq{point}_{name}", kept.get(f"{row}/{point}"))
    for point in MASS_POINTS:
        keys |= _many(f"mass{point}_memit", kept.get(f"{ring.row('mass', 'memit')}/{point}"))
    for point in KV_POINTS:
        keys |= _many(f"mass{point}_kv", kept.get(row_name(ring.facts_digest, point)))
    return keys


def _many(name: str, row: Row | None) -> dict[str, Any]:
    if row is None:
        return {name: None}
    scores = score_keys("", row["outcomes"])
    found: dict[str, Any] = {f"{name}{end}": scores[f"s{end}"] for end in ("", "_lo", "_hi")}
    return {**found, f"ppl_{name}": row["perplexity"]}
