"""Many edits in one model: one after the other, or at once. Each can be carried on by a later run.

What is kept: the deltas of a sequence, in a folder; the values that MEMIT found, fact by fact; and for each number of
edits the outcomes over all of them, and the perplexity of ordinary text over that of the unedited model.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from bench.editors_ring import Ring
from bench.kept import Kept
from bench.ordinary_text import PASSAGES
from editors.metrics.counterfact import CaseScore, EditCase, score_cases
from editors.metrics.speaking import ModelSpeaker
from editors.weights.delta_files import MANIFEST, load_delta, save_delta
from editors.weights.memit import Memit
from editors.weights.model import EditableModel
from editors.weights.optimise import Shifts

SEQUENCE_POINTS = (1, 10, 100)
MASS_POINTS = (1, 10, 100, 1000)
_AT_ONCE = 16  # facts whose values are looked for together
_LARGEST = 700.0  # whose exponential is a number
Row = dict[str, Any]


def in_sequence(ring: Ring, kept: Kept, name: str, cases: Sequence[EditCase], points: Sequence[int]) -> None:
    """Rows for these numbers of edits, each computed on top of those before. All is taken back."""
    row = ring.row("sequence", name)
    missing = [point for point in points if f"{row}/{point}" not in kept]
    if not missing:
        return
    folder = kept.path.with_suffix(f".{row.replace('/', '-')}")
    editable, editor = ring.editable, ring.editor(name)
    plain = _plain(ring, kept)
    try:
        for number, case in enumerate(cases[: max(missing)], 1):
            place = folder / str(number)
            if not (place / MANIFEST).is_file():
                if kept.time_is_up:
                    return
                save_delta(editor.compute(editable, [case.request], ring.means), place)
            editable.apply(load_delta(place))
            if number in missing:
                kept.keep(f"{row}/{number}", _measured(editable, cases[:number], plain))
    finally:
        editable.revert_all()
    if max(missing) == max(SEQUENCE_POINTS):
        shutil.rmtree(folder)


def mass_edit(ring: Ring, kept: Kept, cases: Sequence[EditCase], points: Sequence[int]) -> None:
    """Rows for these numbers of edits at once by MEMIT. A fact's value does not depend on the other facts: all
    numbers share those that were found."""
    editor = ring.editor("memit", facts_at_once=_AT_ONCE)
    if not isinstance(editor, Memit):
        raise TypeError("memit is made by another class")
    row, editable = ring.row("mass", "memit"), ring.editable
    for point in points:
        if f"{row}/{point}" in kept or kept.time_is_up:
            continue
        mine = list(cases[:point])
        found = _values(ring, kept, editor, mine)
        if found is None:
            return
        plain = _plain(ring, kept)
        delta = editor.spread(editable, [case.request for case in mine], found, ring.means)
        with editable.applied(delta):
            kept.keep(f"{row}/{point}", _measured(editable, mine, plain))


def _values(ring: Ring, kept: Kept, editor: Memit, cases: Sequence[EditCase]) -> Shifts | None:
    """None where the time was up before all were found."""
    names = [f"{ring.row('value', 'memit')}/{_name(case)}" for case in cases]
    missing = [at for at, name in enumerate(names) if name not in kept]
    for start in range(0, len(missing), _AT_ONCE):
        if kept.time_is_up:
            return None
        part = missing[start : start + _AT_ONCE]
        made = editor.values(ring.editable, [cases[at].request for at in part], ring.means)
        for place, at in enumerate(part):
            kept.keep(
                names[at],
                {
                    "shift": made.shift[place].tolist(),
                    "initial": made.initial[place].tolist(),
                    "loss": made.losses[place],
                    "steps": made.steps[place],
                },
            )
    rows = [kept.get(name) or {} for name in names]
    device = ring.editable.device
    return Shifts(
        torch.tensor([row["shift"] for row in rows], device=device),
        torch.tensor([row["initial"] for row in rows], device=device),
        tuple(row["loss"] for row in rows),
        tuple(row["steps"] for row in rows),
    )


@torch.no_grad()
def perplexity(editable: EditableModel) -> float:
    """Of ordinary text that nothing was trained or tuned on."""
    total, count = 0.0, 0
    for passage in PASSAGES:
        ids = torch.tensor([editable.prompts.encode(passage)], device=editable.device)
        logits = editable.model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += float(F.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        count += ids.shape[1] - 1
    mean = total / count
    return math.exp(mean) if mean < _LARGEST else math.inf


def _plain(ring: Ring, kept: Kept) -> float:
    """The unedited model's."""
    if "perplexity" not in kept:
        kept.keep("perplexity", {"plain": perplexity(ring.editable)})
    return float((kept.get("perplexity") or {})["plain"])


def outcome(score: CaseScore) -> list[bool]:
    """es, ps, ns of a record with one prompt of each kind."""
    return [bool(score.es), bool(score.ps), bool(score.ns)]


def _measured(editable: EditableModel, cases: Sequence[EditCase], plain: float) -> Row:
    """A wrecked model's perplexity has no end, which JSON does not know: null."""
    scores = score_cases(ModelSpeaker(editable.model, editable.tokenizer), cases)
    ratio = perplexity(editable) / plain
    table = [outcome(score) for score in scores]
    return {"outcomes": table, "perplexity": ratio if math.isfinite(ratio) else None}


def _name(case: EditCase) -> str:
    return f"{case.request.prompt}|{case.request.target}"
