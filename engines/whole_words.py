"""Where words stand in a text as words of their own: "Ed" does not in "employed", nor "5" in "15", "2.5" or "-5".

One rule for all who look for a name or a value. A text's parts are its words; a number is one part with its sign and
with what holds its digits together. Scripts that write no spaces show no words: there every letter is a part. Marks
are of the letter before them, in every script: vowel signs, accents that stand alone.
"""

from __future__ import annotations

import re
import unicodedata

Span = tuple[int, int]  # where something begins and ends, in characters

# Thai to Myanmar, Khmer, and Chinese with all that stands behind it.
_UNSPACED = r"\u0e00-\u109f\u1780-\u17ff\u2e80-\U0010ffff"
_LETTER = rf"(?:\d|[^\W\d{_UNSPACED}])"
# No letters to `re`. What joins letters is one here; what only chooses a letter's look (fe00 to fe0f) is none.
_BEHIND = (*range(0x300, 0xFE00), *range(0xFE10, 0x10000))
_MARK = "[\u200d{}]".format("".join(c for c in map(chr, _BEHIND) if unicodedata.category(c)[0] == "M"))
_WORD = rf"(?:{_LETTER}{_MARK}*)+"
_SIGN = rf"(?<!{_LETTER})(?<!{_MARK})[-−](?=\d)"  # "2010-2015" and "Boeing-747" have none
_PART = re.compile(rf"(?:{_SIGN})?{_WORD}(?:(?<=\d)[.,:](?=\d){_WORD})*|\w{_MARK}*")


def parts(text: str) -> list[Span]:
    """Its words and numbers, in order."""
    return [part.span() for part in _PART.finditer(text)]


def standing(words: str, text: str, *, any_case: bool = False) -> list[Span]:
    """Every place where they stand letter by letter, and each of their parts is a part of the text."""
    found = _found(words, text, any_case)
    wanted, there = parts(words), set(parts(text)) if found else set()
    return [span for span in found if all((span[0] + start, span[0] + end) in there for start, end in wanted)]


def mentions(words: str, text: str, *, any_case: bool = False) -> list[Span]:
    """The same; where they stand nowhere as words of their own, every place inside of others."""
    return standing(words, text, any_case=any_case) or _found(words, text, any_case)


def replaced(words: str, by: str, text: str) -> str:
    """The text with something else at every mention."""
    left = len(text)
    for start, end in reversed(mentions(words, text)):
        if end <= left:  # a mention that overlaps the next one is gone with it
            text, left = text[:start] + by + text[end:], start
    return text


def _found(words: str, text: str, any_case: bool) -> list[Span]:
    pattern = rf"(?=({re.escape(words)}))"  # looked ahead to, so that places may overlap
    places = re.finditer(pattern, text, re.IGNORECASE if any_case else re.NOFLAG) if words else ()
    return [place.span(1) for place in places]
