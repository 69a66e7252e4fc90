"""One record edited by every method, each alone: how long it takes, and what is said then. Rows that can be kept.

The edits of weights answer side by side, each row of the batch under its own, as if it were applied alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.editors_memory import peak
from bench.editors_ring import KV, Ring
from editors.comparison.side_by_side import SideBySide
from editors.metrics.accuracy import says, unchanged
from editors.metrics.counterfact import EditCase, compared_pairs, scores_of
from editors.metrics.fluency import fluency
from editors.metrics.speaking import Forced
from editors.weights.delta import Delta
from editors.weights.rome import Rome

PLAIN = "none"  # the unedited model among the methods
TOKENS = 30  # that are generated behind each prompt
Row = dict[str, Any]


def single_rows(ring: Ring, case: EditCase, names: Sequence[str]) -> dict[str, Row]:
    """A row for each of these methods, and always one for the unedited model."""
    made = _deltas(ring, case, [name for name in names if name != KV])
    states: list[Delta | None] = [None, *(delta for delta, _ in made.values())]
    side = SideBySide(ring.editable, states)
    pairs, prompts = compared_pairs([case]), _prompts(case)
    forced, texts = side.forced(pairs), side.generate(prompts, TOKENS)
    costs: dict[str, Row] = {PLAIN: {}} | {name: cost for name, (_, cost) in made.items()}
    rows = {
        name: _row(case, forced[at], texts[at], forced[0], texts[0]) | cost
        for at, (name, cost) in enumerate(costs.items())
    }
    if KV in names and ring.facts is not None:
        with ExitStack() as stack:
            with _cost() as cost:
                state = stack.enter_context(ring.facts.edited(case))
            own = state.speaker.forced(pairs), state.speaker.generate(prompts, TOKENS)
        rows[KV] = _row(case, *own, forced[0], texts[0]) | cost
    return rows


def _deltas(ring: Ring, case: EditCase, names: Sequence[str]) -> dict[str, tuple[Delta, Row]]:
    """What each computes, and what that took. ROME's two forms share their settings, and with them the search."""
    made: dict[str, tuple[Delta, Row]] = {}
    editor = ring.editor("rrome") if {"rome", "rrome"} <= set(names) else None
    if isinstance(editor, Rome) and ring.settings["rome"] == ring.settings["rrome"]:
        with _cost() as cost:
            corrected, original = editor.both_forms(ring.editable, case.request, ring.means)
        made |= {"rome": (original, cost), "rrome": (corrected, cost)}
    for name in names:
        if name not in made:
            with _cost() as cost:
                delta = ring.editor(name).compute(ring.editable, [case.request], ring.means)
            made[name] = (delta, cost)
    return made


@contextmanager
def _cost() -> Iterator[Row]:
    """Filled at the end: by the clock, of the processor (what a busy machine does not change), and of memory."""
    cost: Row = {}
    with peak() as took:
        began, worked = time.perf_counter(), time.process_time()
        yield cost
        cost |= {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}
    cost["peak_mb"] = took.megabytes


def _prompts(case: EditCase) -> list[str]:
    return [case.request.prompt, *case.paraphrases, *case.neighbours]


def _row(
    case: EditCase,
    forced: Sequence[Forced],
    texts: Sequence[str],
    plain_forced: Sequence[Forced],
    plain_texts: Sequence[str],
) -> Row:
    """`free`: whether the edited prompt, and the paraphrase, are freely followed by the new object; `unchanged`:
    whether the neighbour's text is that of the unedited model; `rates`: reliability, generality, locality, forced."""
    (score,) = scores_of([case], forced)
    compared = [score.edited, *score.paraphrases, *score.neighbours]
    target = case.request.target
    return {
        "prompt": case.request.prompt,
        "new": target,
        "true": case.true,
        "likelihoods": [[each.new, each.true] for each in compared],
        "outcome": [bool(score.es), bool(score.ps), bool(score.ns)],
        "free": [says(text, target) for text in texts[:2]],
        "unchanged": texts[2] == plain_texts[2],
        "rates": [forced[0].accuracy, forced[2].accuracy, unchanged(plain_forced[5], forced[5])],
        "fluency": fluency(texts[:1]),
    }
