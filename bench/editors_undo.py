"""Undo: an edit is applied and taken back, or its computation fails somewhere; every tensor is as it was.

Each try is of one method, in turn. In every second one an exception is thrown at a random call of any of the model's
modules; in the others the computed edit is applied, checked to have changed a tensor, and reverted. Then the digests
of all of the model's tensors are those from before, and no hook is left on any module that was not there before
(transformers leaves some of its own behind when it was once asked for all layers' states).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bench.editors_ring import Ring
from bench.kept import Kept
from editors.metrics.counterfact import EditCase
from editors.weights.delta import tensor_digest
from editors.weights.model import EditableModel

Row = dict[str, Any]


class Thrown(Exception):
    """What the tries throw."""


@contextmanager
def failing_at(call: int) -> Iterator[list[int]]:
    """The given call of any module, counted from 1, throws; 0: none does. Gives the count so far."""
    seen = [0]

    def hook(module: nn.Module, args: Any) -> None:
        seen[0] += 1
        if seen[0] == call:
            raise Thrown

    handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def digests(editable: EditableModel) -> dict[str, str]:
    """Of every tensor of the model."""
    return {name: tensor_digest(tensor) for name, tensor in editable.model.state_dict().items()}


def undo_tries(ring: Ring, kept: Kept, cases: Sequence[EditCase], tries: int) -> None:
    """A row for each try."""
    before: dict[str, str] | None = None
    calls: dict[str, int] = {}
    methods = sorted(ring.settings)
    for number in range(tries if methods else 0):
        if _row(number) in kept or kept.time_is_up:
            continue
        before = before or digests(ring.editable)
        method = methods[number // 2 % len(methods)]
        kept.keep(_row(number), _tried(ring, number, method, cases[number % len(cases)], calls, before))


def undo_keys(kept: Kept, tries: int) -> dict[str, Any]:
    """`undo_exact`: whether all tries left every tensor as it was; null without any."""
    rows = [row for number in range(tries) if (row := kept.get(_row(number)))]
    exact = all(row["exact"] for row in rows) if rows else None
    thrown = sum(bool(row["thrown"]) for row in rows)
    return {"undo_exact": exact, "undo_tries": len(rows), "undo_thrown": thrown}


def _row(number: int) -> str:
    return f"undone/{number}"


def _hooks(editable: EditableModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in editable.model.modules())


def _tried(
    ring: Ring, number: int, method: str, case: EditCase, calls: dict[str, int], before: dict[str, str]
) -> Row:
    editable = ring.editable
    hooks = _hooks(editable)
    thrown, changed, at = False, False, 0
    if number % 2:
        # A computation calls modules about as often as another of the same method; it may also end before.
        at = random.Random(number).randint(1, calls.get(method, 2000))
        try:
            with failing_at(at):
                ring.editor(method).compute(editable, [case.request], ring.means)
        except Thrown:
            thrown = True
    else:
        with failing_at(0) as seen:
            delta = ring.editor(method).compute(editable, [case.request], ring.means)
        calls[method] = seen[0]
        with editable.applied(delta):
            changed = all(change.before != change.after for change in delta.changes)
    exact = digests(editable) == before and _hooks(editable) == hooks and not editable.deltas
    return {
        "method": method,
        "thrown": thrown,
        "at": at,
        "exact": exact and (thrown or changed or number % 2 == 1),
    }
