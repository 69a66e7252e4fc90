"""Which names in a text are but part of a longer one: "Norwind Shipping" in "Norwind Shipping Asia".

A text of thousands of words may repeat a name in each of them, so a span is not held against every other one: of
those that begin at a word or before it, only how far they reach is kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from kb_store.words import ARTICLES

Span = tuple[int, int]  # of words: from, up to


class Containing:
    """Spans of a text, asked whether one of them contains another."""

    def __init__(self, words: Sequence[str], spans: Iterable[Span]) -> None:
        # How many words that say something stand before each place: an article says nothing.
        self._telling = [0, *accumulate(word not in ARTICLES for word in words)]
        furthest = [0] * len(self._telling)
        for start, end in spans:
            furthest[start] = max(furthest[start], end)
        self._reach = list(accumulate(furthest, max))

    def says_more(self, inner: Span) -> bool:
        """Whether a span contains this one and has another telling word."""
        (start, end), telling = inner, self._telling
        if telling[self._reach[start]] > telling[end]:
            return True
        before = bisect_left(telling, telling[start]) - 1  # the last place with fewer telling words
        return before >= 0 and self._reach[before] >= end

    def contains(self, words: Iterable[int]) -> bool:
        """Whether a single span has all these words."""
        places = sorted(words)
        return bool(places) and self._reach[places[0]] > places[-1]
