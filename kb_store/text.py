"""Folding of names, so that "Zoë O'Neill" and "zoe o neill" are found by each other.

Only matching folds; what is stored stays byte for byte what the caller wrote.
"""

from __future__ import annotations

import unicodedata


class _FoldTable(dict[int, str | None]):
    """Translation table, filled as characters are met: letters and digits stay, the rest separates words."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        folded: str | None
        if unicodedata.combining(character):
            folded = None
        elif unicodedata.category(character)[0] in "LNM":
            folded = character
        else:
            folded = " "
        self[code] = folded
        return folded


_TABLE = _FoldTable()
# Choose among the looks of the character before them.
_SELECTORS = dict.fromkeys((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))


def fold_name(text: str) -> str:
    """Case, accents and punctuation taken away; words joined by single spaces.

    Pure and idempotent. A text without a letter or digit folds to the empty string.
    """
    return " ".join(spread(text).split())


def as_written(text: str) -> str:
    """A text to compare with names letter by letter: accents composed, no matter how a symbol is to look."""
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_SELECTORS))


def spread(text: str) -> str:
    """`fold_name` before its spaces are put in order: each character folds to the same wherever it stands."""
    text = text.casefold()
    if not text.isascii():
        # Twice: decomposition brings out characters that have a case of their own, and the reverse.
        text = unicodedata.normalize("NFKD", text).casefold()
        text = unicodedata.normalize("NFKD", text)
    return text.translate(_TABLE)


def fold_names(subject: str, aliases: tuple[str, ...]) -> list[str]:
    """The distinct folded names under which a fact is found, the subject's first."""
    return list(dict.fromkeys(map(fold_name, (subject, *aliases))))
