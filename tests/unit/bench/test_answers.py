"""What counts as an exact answer."""

from __future__ import annotations

import pytest

from bench.answers import auroc, intruders, is_clean, occurrences, said_again, says, says_first


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (" Lund", "Lund"),
        ("Lund, a town", "Lund"),
        ("\nLund\n", "Lund"),
        ("Lund's best bakery", "Lund"),
        ("New   York. It", "New York"),
        ("3,500 people", "3,500"),
        ("3. Then", "3"),
        ("in 1999, when", "in 1999"),
        ("Halvorsen Inc. was", "Halvorsen Inc."),
        ("Zoe\u0308 Keller", "Zoë Keller"),
        ("$12 million (2019)", "$12 million"),
    ],
)
def test_a_whole_object_at_the_start_counts(answer: str, value: str) -> None:
    assert says_first(answer, value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Lundström", "Lund"),
        ("Lund-Lara works", "Lund"),
        ("the Lund", "Lund"),
        ("lund", "Lund"),
        ("3.5 litres", "3"),
        ("3,500", "3"),
        ("14 March 20311", "14 March 2031"),
        ("12:30", "12"),
        ("Anders", "Anders Lund"),
        ("O'Neill", "O"),
        ("", "Lund"),
        ("anything", ""),
    ],
)
def test_a_part_a_longer_word_or_another_place_does_not(answer: str, value: str) -> None:
    assert not says_first(answer, value)


def test_occurrences_are_whole_words() -> None:
    assert occurrences("Lund, Lundström, Lund and Klippan-Lund", "Lund") == 2
    assert occurrences("Lund Lund", "Lund") == 2
    assert occurrences("13 and 3 and 3.5 and 0.3", "3") == 1
    assert says("It was built in Rome.", "Rome")
    assert not says("It was romantic.", "Rome")


def test_repetition_is_a_second_time() -> None:
    assert said_again("Coimbra, Coimbra, and so on", "Coimbra")
    assert not said_again("Coimbra, where students sing", "Coimbra")
    assert not said_again("In Coimbra, in Coimbra", "Coimbra")


@pytest.mark.parametrize(
    ("answer", "stopped", "clean"),
    [
        ("Lund", True, True),
        ("She lives in Lund.", True, True),
        ('They call it "Lund".', True, True),
        ('They call it "Lund."', True, True),
        ("She lives in Lund. Lund is nice.", True, False),
        ("She lives in Lund.", False, False),
        ("She lives in Lund and", True, False),
        ("She lives in Lundström.", True, False),
    ],
)
def test_a_clean_chat_answer_says_it_once_and_ends(answer: str, stopped: bool, clean: bool) -> None:
    assert is_clean(answer, "Lund", stopped=stopped) is clean


def test_an_intruder_is_said_because_of_the_facts_only() -> None:
    objects = ["Oslo", "Rome", "Bern", "Oslo"]
    assert intruders("Oslo or Rome", "I think Rome", "Where?", objects) == ["Oslo"]
    assert intruders("Bern", "Berlin", "From Bern to", objects) == []


def test_auroc() -> None:
    assert auroc([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert auroc([0.1], [0.9]) == 0.0
    assert auroc([0.5, 0.5], [0.5]) == 0.5
    assert auroc([0.9, 0.3], [0.5, 0.1]) == 0.75
    with pytest.raises(ValueError, match="both"):
        auroc([], [0.1])
