"""Which texts go through a model together: each is padded to the longest of its lot, and padding costs what text does.

A few questions among forty names of relations would have every name read as if it were as long as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGER = 1.5  # times the shortest of a lot: more padding than that is worth a forward of its own
_SMALL = 64  # tokens: a forward of fewer takes about as long as one of so many


def alike(tokens: Sequence[int], most: int) -> list[list[int]]:
    """Places of texts of so many tokens, in lots of at most `most` texts; the shortest first."""
    lots: list[list[int]] = []
    shortest = 0
    for place in sorted(range(len(tokens)), key=tokens.__getitem__):
        lot = lots[-1] if lots else []
        apart = tokens[place] > _LONGER * shortest and len(lot) * shortest >= _SMALL
        if not lot or len(lot) == most or apart:
            lots.append([place])
            shortest = tokens[place]
        else:
            lot.append(place)
    return lots


def guessed(text: str) -> int:
    """Tokens of a text, near enough to sort it by."""
    return 1 + len(text) // 4
