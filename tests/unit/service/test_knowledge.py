"""Which facts are shown, and in which order they are said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from editors.kv.prior import MIN_SUBJECT_COVER
from kb_store.model import Content, Fact
from kb_store.scoring import Question, subject_cover
from service.serving.knowledge import _shown

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_RELATIONS = ("chef", "house wine", "fish supplier")


def _found(*relations: str) -> list[tuple[Fact, float]]:
    return [
        (Fact("n", name, name, Content("Chez Ana", name, "x"), 1, 1, "e", _NOW, _NOW), 0.5)
        for name in relations
    ]


@pytest.mark.parametrize(
    ("text", "biases", "shown"),
    [
        # One of two that are asked for is likely: so is the other, as much.
        (
            "The house wine and the chef of Chez Ana?",
            [8.0, None, None],
            {"chef": (8, 2), "house wine": (8, 1)},
        ),
        (
            "The house wine and the chef of Chez Ana?",
            [3.0, 8.0, 1.0],
            {"chef": (8, 2), "house wine": (8, 1), "fish supplier": (1, 0)},
        ),
        # What is asked for is not: nothing is shown for being named.
        ("The house wine and the chef of Chez Ana?", [None, None, None], {}),
        ("The house wine and the chef of Chez Ana?", [None, None, 8.0], {"fish supplier": (8, 0)}),
        ("The chef of Chez Ana?", [8.0, None, 2.0], {"chef": (8, 0), "fish supplier": (2, 0)}),
    ],
)
def test_what_is_asked_for_together_is_seen_alike(
    text: str, biases: list[float | None], shown: dict[str, tuple[float, int]]
) -> None:
    weighed = _shown(Question(text), _found(*_RELATIONS), biases)
    assert {item.fact.uid: (item.bias, item.order) for item in weighed} == shown


@pytest.mark.parametrize(
    ("text", "namesake"),
    [
        ("The recruiter of Mary Goldberg is", "Mary Goldberg-Gara"),
        ("Who recruited Raj Georgiou?", "Raj J. Georgiou"),
        ("Infectious agent responsible for Telkofell fever:", "Telkofell fever-folm"),
        ("Rojas High School starts its term on", "Rojas Hiph School"),
    ],
)
def test_a_namesake_is_not_the_subject(text: str, namesake: str) -> None:
    assert subject_cover(text, namesake) < MIN_SUBJECT_COVER
