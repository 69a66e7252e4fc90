"""Draws names and values from word lists and weighted patterns.

A pattern is a text with slots. `{word}` is drawn from the pattern group or the list of that name (inside a group of
the same name: from the list, so that a group may extend its list). `{lo-hi}` is a whole number, `{~lo-hi}` one with
evenly spread magnitude; a Python format may follow, as in `{1-12:02}` or `{~100-100000:,}`. `{letter}`,
`{lower_letter}`, `{roman}` and `{ordinal}` are what they say.
"""

from __future__ import annotations

import math
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_SLOT = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"(~?)(-?\d+)-(\d+)(?::(.+))?")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")


class GrammarError(ValueError):
    """A pattern names a slot that does not exist, or data are not as they must be."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """Lists of words and groups of weighted patterns. The same generator state gives the same text."""

    lists: Mapping[str, Sequence[str]]
    groups: Mapping[str, Mapping[str, float]]

    def knows(self, kind: str) -> bool:
        """Whether something can be drawn for this kind."""
        return kind in self.groups or kind in self.lists

    def draw(self, kind: str, rng: random.Random, within: str | None = None) -> str:
        """One text of a kind; `within` is the group whose pattern asks, which then means its own list."""
        if kind in self.groups and kind != within:
            group = self.groups[kind]
            pattern = rng.choices(list(group), weights=list(group.values()))[0]
            return self._fill(pattern, kind, rng)
        if kind in self.lists:
            return rng.choice(self.lists[kind])
        raise GrammarError(f"nothing can be drawn for {kind!r}")

    def slots(self) -> dict[str, set[str]]:
        """The words each group's patterns ask for, special slots and ranges left out."""
        return {
            kind: {
                slot
                for pattern in group
                for slot in _SLOT.findall(pattern)
                if slot not in _SPECIAL and not _RANGE.fullmatch(slot)
            }
            for kind, group in self.groups.items()
        }

    def _fill(self, pattern: str, kind: str, rng: random.Random) -> str:
        def replace(match: re.Match[str]) -> str:
            slot = match.group(1)
            if span := _RANGE.fullmatch(slot):
                return _number(rng, span)
            if special := _SPECIAL.get(slot):
                return special(rng)
            return self.draw(slot, rng, within=kind)

        return _SLOT.sub(replace, pattern)


def _number(rng: random.Random, span: re.Match[str]) -> str:
    low, high = int(span[2]), int(span[3])
    value = (
        rng.randint(low, high) if not span[1] else round(math.exp(rng.uniform(math.log(low), math.log(high))))
    )
    return format(value, span[4] or "d")


def _ordinal(rng: random.Random) -> str:
    day = rng.randint(1, 28)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th") if not 11 <= day <= 13 else "th"
    return f"{day}{ending}"


_SPECIAL: dict[str, Callable[[random.Random], str]] = {
    "letter": lambda rng: rng.choice(string.ascii_uppercase),
    "lower_letter": lambda rng: rng.choice(string.ascii_lowercase),
    "roman": lambda rng: rng.choice(_ROMAN),
    "ordinal": _ordinal,
}
