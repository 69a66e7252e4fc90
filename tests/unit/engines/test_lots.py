"""Texts of like length go together, so that little is padded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.lots import alike, guessed

LENGTHS = st.lists(st.integers(1, 200), max_size=60)


@given(LENGTHS, st.integers(1, 16))
def test_every_text_is_in_one_lot_and_little_is_padded(lengths: list[int], most: int) -> None:
    lots = alike(lengths, most)
    assert sorted(place for lot in lots for place in lot) == list(range(len(lengths)))
    for lot in lots:
        assert 1 <= len(lot) <= most
        shortest, longest = lengths[lot[0]], lengths[lot[-1]]
        # What is longer by more only fills up a forward that would take as long without it.
        assert longest <= 1.5 * shortest or sum(lengths[at] <= 1.5 * shortest for at in lot) * shortest < 64


def test_long_texts_do_not_wait_for_company_and_few_short_ones_are_not_taken_apart() -> None:
    assert alike([8] * 20 + [30], 64) == [list(range(20)), [20]]
    assert alike([30, 8, 9], 64) == [[1, 2, 0]]
    assert alike([], 64) == []


def test_longer_texts_are_guessed_longer() -> None:
    assert 0 < guessed("") < guessed("a name") < guessed("a name that goes on")
