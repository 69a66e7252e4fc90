"""A verdict on a given answer, and its sentence, say what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from circuits.hallucination.check import Check, Verdict, check
from circuits.interventions import Head
from service.commands.checking import Checked
from service.studies.words import explained
from tests.unit.circuits.labs import PROMPT, SUBJECT, tiny_lab

ANSWERS = ("Oslo", "Ulm", "Cork", "Dole", "home", "y", "1")
MIDDLE = (0.4, 0.9)


@cache
def found(verdict: Verdict) -> list[Checked]:
    """Of all pairs of answers to tiny models, one given and the other the truth."""
    return [each for each in _pairs() if each.check.verdict is verdict]


@cache
def _pairs() -> tuple[Checked, ...]:
    return tuple(_checked())


def _checked() -> Iterator[Checked]:
    for kind in ("llama", "gpt2"):
        lab = tiny_lab(kind)
        for answer in ANSWERS:
            for truth in ANSWERS:
                if answer != truth:
                    # Behind a space, so that they part at their first letter.
                    made = check(lab, f"{PROMPT} ", SUBJECT, answer, truth=truth)
                    yield Checked(made, answer, truth, "caller", None, SUBJECT, 0.0, made.placed.pieces)


def gap(checked: Checked) -> float:
    assert checked.check.needed is not None
    return checked.check.needed.gap


def carried(made: Check) -> float:
    return sum(driver.through_subject for driver in made.drivers if isinstance(driver.node, Head))


def test_an_answer_that_the_model_does_not_prefer_has_no_story_of_how_it_came_about() -> None:
    assert found(Verdict.NOT_PREFERRED)
    assert {gap(each) <= 0 for each in found(Verdict.NOT_PREFERRED)} == {True}
    assert {gap(each) > 0 for each in _pairs() if each.check.verdict is not Verdict.NOT_PREFERRED} == {True}
    one = found(Verdict.NOT_PREFERRED)[0]
    assert explained(one) == f"The model itself prefers “{one.truth}” to “{one.answer}”."


def test_what_was_overtaken_stood_above_the_answer_and_stands_below_it() -> None:
    assert found(Verdict.LATE_OVERRIDE)
    for each in found(Verdict.LATE_OVERRIDE):
        answer, truth, since = each.check.answer, each.check.truth, each.check.overtaken
        assert truth is not None
        assert since is not None
        both = list(zip(truth.first_log_probability, answer.first_log_probability, strict=True))
        assert all(one < other for one, other in both[since:])
        count = len(both)
        assert any(
            truth.rank[at] < 10 and both[at][0] > both[at][1]
            for at in range(int(MIDDLE[0] * count), int(MIDDLE[1] * count))
        )
        said = f"“{each.truth}” stood among the first ten and above “{each.answer}” at mid-depth"
        assert explained(each) == f"{said}, and below it from layer {since // 2} on."


@pytest.mark.parametrize("verdict", [Verdict.WRONG_MOVER, Verdict.OUTWEIGHED])
def test_what_heads_bring_from_the_subject_speaks_for_what_is_said_of_it(verdict: Verdict) -> None:
    assert found(verdict)
    for each in found(verdict):
        assert (carried(each.check) > 0) == (verdict is Verdict.WRONG_MOVER)
        favoured = each.answer if verdict is Verdict.WRONG_MOVER else each.truth
        assert f"speaks for “{favoured}”" in explained(each)
