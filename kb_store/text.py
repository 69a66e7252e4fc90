"""Folding of names, so that "Zoë O'Neill" and "zoe o neill" are found by each other.

Only matching folds; what is stored stays byte for byte what the caller wrote.
"""

from __future__ import annotations

import re
import unicodedata

# Scripts written without spaces: every character is a word of its own.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SPACED = re.compile(f"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])")
_VOICED = re.compile("[\u3040-\u30ff][\u3099\u309a]")
_NON_JOINER = "\u200c"  # stands where Persian has half a space

# Choose among the looks of the character before them, or keep it from its neighbour.
_SELECTORS = dict.fromkeys((0x034F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
# Letters when decomposed, which are no part of the name before them.
_SIGNS = dict.fromkeys(map(ord, "™℠"), " ")


class _FoldTable(dict[int, str | None]):
    """Translation table, filled as characters are met: letters and digits stay, what is not seen goes, the rest
    separates words."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        folded: str | None
        if unicodedata.combining(character) or code in _SELECTORS:
            folded = None
        elif category[0] in "LNM":
            folded = character
        else:
            folded = None if category == "Cf" and character != _NON_JOINER else " "
        self[code] = folded
        return folded


_TABLE = _FoldTable()


def fold_name(text: str) -> str:
    """Case, accents and punctuation taken away; words joined by single spaces where their script has spaces.

    Pure and idempotent. A text without a letter or digit folds to the empty string.
    """
    folded = " ".join(spread(text).split())
    return folded if folded.isascii() else _SPACED.sub("", folded)


def as_written(text: str) -> str:
    """A text to compare with names letter by letter: accents composed, no matter how a symbol is to look."""
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_SELECTORS))


def spread(text: str) -> str:
    """`fold_name` before its spaces are put in order: each character folds to the same wherever it stands."""
    if text.isascii():
        return text.casefold().translate(_TABLE)
    text = text.translate(_SIGNS).casefold()
    # Twice: decomposition brings out characters that have a case of their own, and the reverse.
    text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text)
    # Kana of another voice are other letters ("papa" is not "haha"), not letters with an accent.
    text = _VOICED.sub(lambda kana: unicodedata.normalize("NFC", kana[0]), text)
    return text.translate(_TABLE)


def fold_names(subject: str, aliases: tuple[str, ...]) -> list[str]:
    """The distinct folded names under which a fact is found, the subject's first."""
    return list(dict.fromkeys(map(fold_name, (subject, *aliases))))
