"""Which names mean one relation, as the server judges it: here too, since the client has nothing of the server's."""

from __future__ import annotations

import re
import unicodedata

_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s]+")
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SPACED = re.compile(f"(?<=[{_UNSPACED}]) | (?=[{_UNSPACED}])")
_VOICED = re.compile("[\u3040-\u30ff][\u3099\u309a]")
_SIGNS = dict.fromkeys(map(ord, "™℠"), " ")
_SELECTORS = re.compile("[\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_NON_JOINER = "\u200c"


def key_of(relation: str) -> str:
    """`worksFor`, `works_for` and "Works for" are one relation, and so are names that differ in accents alone."""
    text = " ".join(_WORD_ENDS.sub(" ", relation).split()) or relation
    text = unicodedata.normalize("NFKD", text.translate(_SIGNS).casefold())
    text = unicodedata.normalize("NFKD", text.casefold())
    text = _VOICED.sub(lambda kana: unicodedata.normalize("NFC", kana[0]), text)
    return _SPACED.sub("", " ".join("".join(map(_folded, text)).split()))


def _folded(character: str) -> str:
    """Letters, digits and vowel signs stay, accents and what is not seen go, the rest separates words."""
    category = unicodedata.category(character)
    if unicodedata.combining(character) or _SELECTORS.match(character):
        return ""
    if category[0] in "LNM":
        return character
    return "" if category == "Cf" and character != _NON_JOINER else " "
