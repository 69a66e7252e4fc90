"""What a text says of a subject: the text as it is written, with a pronoun for the name.

Sentence embedders read "Which city does she live in?" better than its folded words, so punctuation and case stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from kb_store.text import fold_name
from kb_store.words import cut, pieces

PRONOUN = "it"
_NAME = "\0"  # stands where the name stood until everything is put together
_NAMES = re.compile(rf"{_NAME}(?:[^\w{_NAME}]*{_NAME})+")
_ABBREVIATED = re.compile(rf"{_NAME}\.(?=['’`:,;]|\s+[a-z])")  # the full stop of "Jr."
_GENITIVE = re.compile(rf"{_NAME}['’`]s\b")


def without_name(text: str, named: Collection[int], first: int) -> str:
    """From the word `first` of the folded text on, with the pronoun for the words at the positions `named`."""
    kept: list[str] = []
    at = 0  # words so far
    # Composed: an accent that stands by itself would cut its word in two.
    for piece in pieces(unicodedata.normalize("NFC", text.replace(_NAME, " "))):
        words = range(at, at + len(cut(fold_name(piece))))
        at = words.stop
        if words and words.stop > first:
            kept.append(_NAME if any(place in named for place in words) else piece)
        elif at > first:
            kept.append(piece)
    joined = _ABBREVIATED.sub(_NAME, _NAMES.sub(_NAME, "".join(kept)))
    return _GENITIVE.sub(f"{PRONOUN}s", joined).replace(_NAME, PRONOUN).strip()
