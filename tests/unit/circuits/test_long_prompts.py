"""What studies hold of a long prompt: logits of the answer alone, and no more tokens in a pass than of short ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from torch import Tensor, nn

from circuits.discovery.scoring import Case
from circuits.emergence import TellingCase, emergence, emergence_cost
from circuits.hallucination.check import check
from circuits.headmap import judge_silenced, locate_heads, locating_cost
from circuits.heads import heads_cost, study_heads
from circuits.knockout import (
    Source,
    edge_knockout,
    edge_knockout_cost,
    sublayer_knockout,
    sublayer_knockout_cost,
)
from circuits.lab import Lab, Meter, Passes
from circuits.probe import Probe, answer_tokens
from circuits.reading import read_facts
from circuits.recall import gradient_times_input, look_at_prompt
from tests.unit.circuits.labs import ANSWER, PROMPT, SUBJECT, placed_in, tiny_lab

SAID = len(ANSWER) + 1  # a letter is a token, and the answer begins with a space
CASE = Case(tuple(range(10, 26)), (150, 99))


@dataclass
class Held:
    """rows, length: of passes; logits: positions of a row that they were made of."""

    passes: list[tuple[int, int]] = field(default_factory=list)
    logits: list[int] = field(default_factory=list)


@contextmanager
def watched(lab: Lab) -> Iterator[Held]:
    held = Held()

    def began(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        held.passes.append((args[0].shape[0], args[0].shape[1]))

    def projected(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if output.dim() == 3:  # of a pass, not of states that are looked at
            held.logits.append(output.shape[1])

    hooks = [
        lab.spec.embedding.register_forward_pre_hook(began),
        lab.spec.lm_head.register_forward_hook(projected),
    ]
    try:
        yield held
    finally:
        for hook in hooks:
            hook.remove()


def knocked(lab: Lab) -> list[float]:
    curves = edge_knockout(lab, placed_in(lab), answer_tokens(lab, PROMPT, ANSWER), window=2)
    return [change for curve in curves for change in curve.log_change]


def silenced(lab: Lab) -> list[float]:
    curves = sublayer_knockout(lab, placed_in(lab), answer_tokens(lab, PROMPT, ANSWER), span=2)
    return [change for curve in curves for change in curve.log_change]


def without_heads(lab: Lab) -> list[float]:
    reports, _ = study_heads(lab, Probe(PROMPT, SUBJECT, ANSWER), None)
    return [report.delta for report in sorted(reports, key=lambda each: str(each.head))]


def come_in(lab: Lab) -> list[float]:
    case = TellingCase(CASE.prompt[4:], CASE.prompt, CASE.answer)
    return [float(each) for worth in emergence(lab, [case]).worth.values() for each in worth.flatten()]


def located(lab: Lab) -> list[float]:
    return [float(each) for each in locate_heads(lab, [CASE] * 3, 1).losses.flatten()]


def judged(lab: Lab) -> list[float]:
    found = judge_silenced(lab, [CASE] * 3, {1: (0,)})
    return [found.loss, found.right]


STUDIES: list[tuple[Callable[[Lab], list[float]], Callable[[Lab, int], Passes]]] = [
    (knocked, lambda lab, longest: edge_knockout_cost(lab, len(Source), longest)),
    (silenced, sublayer_knockout_cost),
    (without_heads, lambda lab, longest: heads_cost(lab, True, longest)),
    (come_in, lambda lab, longest: emergence_cost(lab, 1, False, longest)),
    (located, lambda lab, longest: locating_cost(lab, 3, longest=longest)),
    (judged, lambda lab, longest: Passes(-(-3 // lab.rows_for(longest)))),
]


@pytest.mark.parametrize(("study", "cost"), STUDIES)
def test_a_pass_over_long_prompts_carries_fewer_rows_and_finds_the_same(
    study: Callable[[Lab], list[float]],
    cost: Callable[[Lab, int], Passes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = tiny_lab(rows=7)
    plain, bound = study(lab), 50
    monkeypatch.setattr("circuits.lab._TOKENS", bound)
    with watched(lab) as held, lab.metered(Meter()) as meter:
        assert study(lab) == pytest.approx(plain, abs=1e-4)
    assert all(rows * length <= bound for rows, length in held.passes)
    longest = max(length for _, length in held.passes)
    assert 1 < lab.rows_for(longest) < lab.rows
    assert meter.done.total <= cost(lab, longest).total
    monkeypatch.setattr("circuits.lab._TOKENS", 1)
    assert lab.rows_for(longest) == 1


@pytest.mark.parametrize(
    "study",
    [
        *(study for study, _ in STUDIES),
        lambda lab: gradient_times_input(lab, placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)),
        lambda lab: look_at_prompt(lab, placed_in(lab)),
        lambda lab: check(lab, PROMPT, SUBJECT, ANSWER, truth="Orb", facts=[lab.adapter.fact("one", 3)]),
        lambda lab: read_facts(
            lab, placed_in(lab), answer_tokens(lab, PROMPT, ANSWER), [lab.adapter.fact("one", 3)]
        ),
    ],
)
def test_logits_are_made_of_the_answer_alone(study: Callable[[Any], object]) -> None:
    lab = tiny_lab()
    with watched(lab) as held:
        study(lab)
    assert max(held.logits) <= SAID + 1  # of the prompt's last position, of the answer's tokens
