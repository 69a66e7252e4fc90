"""Texts of others in pictures."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

# Characters that XML has no way to write: with one of them there is no picture.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(text: str) -> str:
    """As it may stand between tags and in attributes."""
    return escape(_UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text), {'"': "&quot;"})
