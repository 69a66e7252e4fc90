"""Which names in a text are but part of a longer one, against the definition read out word by word."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from kb_store.contained import Containing, Span
from kb_store.scoring import CONTAINED, Candidate, Question
from kb_store.words import ARTICLES

_WORDS = st.lists(st.sampled_from(["the", "a", "sun", "nord"]), min_size=1, max_size=12)


@st.composite
def _texts(draw: st.DrawFn) -> tuple[list[str], list[Span], Span]:
    words = draw(_WORDS)
    span = st.tuples(st.integers(0, len(words) - 1), st.integers(1, len(words))).filter(lambda s: s[0] < s[1])
    return words, draw(st.lists(span, max_size=6)), draw(span)


@given(_texts())
def test_a_name_is_part_of_another_where_that_has_more_telling_words(
    text: tuple[list[str], list[Span], Span],
) -> None:
    words, spans, (start, end) = text
    around = [(first, last) for first, last in spans if first <= start and end <= last]
    more = [(*words[first:start], *words[end:last]) for first, last in around]
    names = Containing(words, spans)
    assert names.says_more((start, end)) == any(set(words) - ARTICLES for words in more)
    assert names.contains(range(start, end)) == bool(around)
    assert not names.contains(())


def test_a_text_that_only_repeats_names_is_scored_in_a_moment() -> None:
    """As long as a query may be, with a name and a longer one in every word: it took minutes, for every caller."""
    candidates = [Candidate("ab", f"r{number}") for number in range(60)] + [Candidate("ab ab", "r")]
    start = time.monotonic()
    covers = Question(" ".join(["ab"] * 10_900)).score(candidates)
    assert time.monotonic() - start < 10
    assert {cover.subject for cover in covers[:60]} == {CONTAINED}
