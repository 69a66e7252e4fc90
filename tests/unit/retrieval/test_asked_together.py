"""Which facts a text asks for together."""

from __future__ import annotations

import pytest

from kb_store.scoring import Candidate, Question
from kb_store.together import asked_together

_ANA = [("Chez Ana", relation) for relation in ("chef", "pastry chef", "opening hours", "cuisine")]
_LANDS = [(land, relation) for relation in ("capital", "currency") for land in ("Mali", "Togo")]


def _asked(text: str, facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    candidates = [Candidate(*fact) for fact in facts]
    return [facts[at] for at in asked_together(Question(text), candidates)]


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("What are the chef and the opening hours of Chez Ana?", ["chef", "opening hours"]),
        ("Tell me the opening hours of Chez Ana, and the cuisine too.", ["opening hours", "cuisine"]),
        ("The cuisine, the hours of opening and the chef of Chez Ana", ["cuisine", "opening hours", "chef"]),
        ("The pastry chef and the chef of Chez Ana are", ["pastry chef", "chef"]),
        ("Who is the pastry chef of Chez Ana?", []),  # "chef" is part of what names another one
        ("What is the cuisine of Chez Ana?", []),
        ("What are the chef and the cuisine of Chez Zoe?", []),
        ("What are the chef and the cuisine there?", []),
        ("Opening a window takes hours, said the pastry cook of Chez Ana", []),
        ("", []),
    ],
)
def test_of_one_subject_what_is_named_by_words_of_its_own(text: str, relations: list[str]) -> None:
    assert _asked(text, _ANA) == [("Chez Ana", relation) for relation in relations]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("What is the capital of Mali and of Togo?", [("Mali", "capital"), ("Togo", "capital")]),
        ("Compare the currency of Togo with that of Mali.", [("Togo", "currency"), ("Mali", "currency")]),
        (
            "What is the capital of Togo, and what is the capital of Mali?",
            [("Togo", "capital"), ("Mali", "capital")],
        ),
        # Several of both: each relation is of the subject that stands nearest.
        ("The capital of Mali and the currency of Togo", [("Mali", "capital"), ("Togo", "currency")]),
        ("Mali's currency and Togo's capital are", [("Mali", "currency"), ("Togo", "capital")]),
        (
            "What are the capital and the currency of Mali, a neighbour of Togo?",
            [("Mali", "capital"), ("Mali", "currency")],
        ),
        ("What is the capital of Mali, where half of Niger's river runs?", []),
    ],
)
def test_of_several_subjects(text: str, facts: list[tuple[str, str]]) -> None:
    assert _asked(text, _LANDS) == facts


def test_a_name_that_is_part_of_a_longer_one_is_not_named() -> None:
    facts = [("Norwind", "seat"), ("Norwind Asia", "seat"), ("Norwind Asia", "owner")]
    assert _asked("The seat and the owner of Norwind Asia", facts) == facts[1:]
    assert _asked("The seat of Norwind Asia", facts) == []
    assert _asked("The seat of Norwind and of Norwind Asia", facts) == facts[:2]


def test_words_of_a_name_ask_for_nothing() -> None:
    facts = [("Capital Bank", "capital"), ("Capital Bank", "seat")]
    assert _asked("What is the seat of Capital Bank?", facts) == []
    assert _asked("What are the seat and the capital of Capital Bank?", facts) == [facts[1], facts[0]]


def test_all_objects_of_a_relation_are_asked_for_by_its_name() -> None:
    facts = [("Ana", "child"), ("Ana", "child"), ("Ana", "seat")]
    candidates = [Candidate(*fact) for fact in facts]
    assert asked_together(Question("Name every child of Ana."), candidates) == (0, 1)


def test_a_text_that_repeats_itself_asks_for_no_more() -> None:
    facts = [("Ana", relation) for relation in ("chef", "house wine", "pastry chef", "cuisine")]
    assert _asked("chef of Ana, house wine of Ana, " * 2000, facts) == facts[:2]
    assert _asked("Ana " * 5000 + "chef " * 5000, facts) == []


def test_other_names_of_a_subject_are_names() -> None:
    candidates = [Candidate("Anna Keller", relation, ("AK",)) for relation in ("employer", "seat")]
    assert asked_together(Question("What are the seat and the employer of AK?"), candidates) == (1, 0)
