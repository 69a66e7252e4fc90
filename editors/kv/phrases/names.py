"""Names that are easily mistaken for each other."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_VOWELS = "aeiou"
_CONSONANTS = "bcdfgklmnprstvz"
_ENDINGS = ("er", "ov", "sen", "ini", "a", "es", "ski", "mann", "ton", "by")
_ATTEMPTS = 40


def near_duplicate(name: str, rng: random.Random) -> str:
    """A name that differs a little: a letter, a digit, an initial, an ending. Never the name itself."""
    for _ in range(_ATTEMPTS):
        changed = rng.choice(_CHANGES)(name, rng)
        if changed != name and changed.strip():
            return changed
    return f"{name} II"


def _another_letter(name: str, rng: random.Random) -> str:
    places = [match.start() for match in re.finditer(r"(?<=\w)[a-z]", name)]
    if not places:
        return name
    at = rng.choice(places)
    pool = _VOWELS if name[at] in _VOWELS else _CONSONANTS
    return name[:at] + rng.choice(pool) + name[at + 1 :]


def _doubled_letter(name: str, rng: random.Random) -> str:
    places = [match.start() for match in re.finditer(r"(?<=[a-z])[lmnrst](?=[a-z])", name)]
    if not places:
        return name
    at = rng.choice(places)
    return name[:at] + name[at] + name[at:]


def _swapped_letters(name: str, rng: random.Random) -> str:
    places = [match.start() for match in re.finditer(r"(?<=\w)[a-z](?=[a-z])", name)]
    if not places:
        return name
    at = rng.choice(places)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def _another_number(name: str, rng: random.Random) -> str:
    numbers = list(re.finditer(r"\d+", name))
    if not numbers:
        return name
    chosen = rng.choice(numbers)
    value = max(1, int(chosen[0]) + rng.choice((-2, -1, 1, 2, 10)))
    return name[: chosen.start()] + str(value) + name[chosen.end() :]


def _another_ending(name: str, rng: random.Random) -> str:
    head, _, last = name.rpartition(" ")
    if len(last) < 5 or not last.isalpha():
        return name
    return f"{head} {last[:-2]}{rng.choice(_ENDINGS)}".strip()


def _with_initial(name: str, rng: random.Random) -> str:
    words = name.split()
    if len(words) != 2 or not all(word.isalpha() for word in words):
        return name
    return f"{words[0]} {rng.choice('ABCDEFGHJKLMNPRSTVW')}. {words[1]}"


def _same_first_word(name: str, rng: random.Random) -> str:
    words = name.split()
    if len(words) != 2 or len(words[1]) < 4:
        return name
    return f"{words[0]} {words[1]}-{words[1][0]}{rng.choice(('ara', 'olm', 'ast', 'und', 'elin'))}"


_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _another_letter,
    _another_letter,
    _doubled_letter,
    _swapped_letters,
    _another_number,
    _another_number,
    _another_ending,
    _with_initial,
    _same_first_word,
)
