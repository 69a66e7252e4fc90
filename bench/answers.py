"""How a generated answer is judged: pure functions of texts, the same in every benchmark.

An object counts only as a whole: "Lundström" does not say "Lund", "3.5" does not say "3", "Lund-Lara" does not
say "Lund". White space is taken as one space and Unicode is composed; everything else must match to the letter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

_JOINS_LETTERS = frozenset("-'’‑")
_JOINS_DIGITS = frozenset(".,:/-")
_SENTENCE_ENDS = tuple(".!?…")
_CLOSING = "\"'”’)]»"


def says_first(answer: str, value: str) -> bool:
    """Whether the answer begins with the whole value."""
    said, wanted = _folded(answer), _folded(value)
    return bool(wanted) and said.startswith(wanted) and _ends_at(said, len(wanted))


def occurrences(text: str, value: str) -> int:
    """How often the whole value stands in the text."""
    said, wanted = _folded(text), _folded(value)
    count, at = 0, said.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        whole = _begins_at(said, at) and _ends_at(said, end)
        count += whole
        at = said.find(wanted, end if whole else at + 1)
    return count


def says(text: str, value: str) -> bool:
    """Whether the whole value stands anywhere in the text."""
    return occurrences(text, value) > 0


def said_again(answer: str, value: str) -> bool:
    """Whether an answer that begins with the value says it once more."""
    return says_first(answer, value) and occurrences(answer, value) > 1


def is_clean(answer: str, value: str, *, stopped: bool) -> bool:
    """A chat answer as it should be: the value exactly once, ended by the model, and ended as a sentence or with
    the value itself."""
    said, wanted = _folded(answer), _folded(value)
    ended = said.rstrip(_CLOSING).endswith((*_SENTENCE_ENDS, wanted))
    return stopped and ended and occurrences(said, wanted) == 1


def intruders(answer: str, plain: str, prompt: str, objects: Iterable[str]) -> list[str]:
    """Objects that the answer says though neither the plain model's answer nor the prompt does."""
    return [
        value
        for value in dict.fromkeys(objects)
        if says(answer, value) and not says(plain, value) and not says(prompt, value)
    ]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive outranks a negative; equal scores count half."""
    if not positive or not negative:
        raise ValueError("AUROC needs both positives and negatives")
    ordered = np.sort(np.asarray(negative, dtype=np.float64))
    wanted = np.asarray(positive, dtype=np.float64)
    below = np.searchsorted(ordered, wanted, side="left")
    not_above = np.searchsorted(ordered, wanted, side="right")
    return float((below + not_above).mean() / (2 * len(ordered)))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _ends_at(text: str, end: int) -> bool:
    """Whether what stands before `end` is not the beginning of a longer word or number."""
    last, rest = text[end - 1], text[end:]
    if not rest or not last.isalnum():
        return True
    if rest[0].isalnum() or rest[0] == "_":
        return False
    goes_on = len(rest) > 1 and rest[1].isalnum()
    if rest[0] in _JOINS_LETTERS and goes_on:
        return rest[1:2] == "s" and not rest[2:3].isalnum()  # a possessive leaves the name whole
    return not (rest[0] in _JOINS_DIGITS and last.isdigit() and rest[1:2].isdigit())


def _begins_at(text: str, start: int) -> bool:
    """The same before it."""
    first, before = text[start], text[:start]
    if not before or not first.isalnum():
        return True
    if before[-1].isalnum() or before[-1] == "_":
        return False
    goes_on = len(before) > 1 and before[-2].isalnum()
    if before[-1] in "-‑" and goes_on:
        return False
    return not (before[-1] in _JOINS_DIGITS and first.isdigit() and before[-2:-1].isdigit())
