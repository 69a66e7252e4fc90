"""The model's answers to questions, batch by batch, kept: what benchmarks of right answers begin with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType

from bench.kept import Kept, Row
from circuits import answered
from circuits import probe as placing
from circuits.answered import Answered, answer_all
from circuits.lab import Lab
from circuits.probe import Probe, place

ANSWERED_BY: Sequence[ModuleType] = (answered, placing)


def answers(lab: Lab, probes: Sequence[tuple[str, Probe]], kept: Kept) -> Iterator[Answered]:
    """As `answer_all`; ends where it is too late to ask more."""
    for start in range(0, len(probes), lab.rows):
        part = probes[start : start + lab.rows]
        name = "\n".join(["asked", *(str(probe.prompt) for _, probe in part)])
        row = kept.row(name, partial(_asked, lab, part))
        if row is None:
            return
        for at, tokens, answer, right in row["answers"]:
            relation, probe = part[at]
            placed = place(lab, probe.prompt, probe.subject, probe.relation)
            yield Answered(probe, relation, placed, tuple(tokens), answer, right)


def _asked(lab: Lab, part: Sequence[tuple[str, Probe]]) -> Row:
    places = {id(probe): at for at, (_, probe) in enumerate(part)}
    return {
        "answers": [
            [places[id(item.probe)], list(item.tokens), item.answer, item.right]
            for item in answer_all(lab, part)
        ]
    }
