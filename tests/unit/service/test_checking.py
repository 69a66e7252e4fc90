"""What is taken for the answer of a text that a model said, and for the subject of a prompt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import torch

from engines.contract import InjectedFact, KVTokens
from kb_store.model import Content, Fact
from service.commands.checking import clause_of, subject_in
from service.serving.knowledge import Known


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (" Paris. It is large.", "Paris"),
        ("Paris.", "Paris"),
        ("Paris!\nNext", "Paris"),
        ("Paris; it is large", "Paris"),
        ("\n\nParis\nis", "Paris"),
        (" 17.2.20. Then", "17.2.20"),
        ("3.5 km. Then", "3.5 km"),
        ("St. Louis, Missouri. It", "St. Louis, Missouri"),
        ("Dr. J. K. Rowling. She", "Dr. J. K. Rowling"),
        ("It is 5. Then", "It is 5"),
        (".", "."),
    ],
)
def test_an_answer_ends_where_its_clause_does(text: str, clause: str) -> None:
    assert clause_of(text) == clause


def test_a_name_that_stands_as_a_word_comes_before_a_longer_one_inside_of_another() -> None:
    now, empty = datetime(2026, 1, 1, tzinfo=UTC), torch.zeros(1, 1, 1, 1)
    content = Content("Rome", "mayor", "Eva", aliases=("Roman",))
    fact = Fact("n", "a", "a", content, 2, 2, "e", now, now)
    known = Known(fact, 0.5, InjectedFact(KVTokens("a@2", "enc", empty, empty)))
    assert subject_in("A Romanian asks who the mayor of rome is", known) == "Rome"
    assert subject_in("A Romanian asks", known) == "Roman"
    assert subject_in("Who is it?", known) == ""
