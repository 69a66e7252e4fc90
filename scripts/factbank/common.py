"""What all sources of facts share."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʻ": "'", "ʼ": "'", "“": '"', "”": '"', "\xa0": " ", "–": "-"})
MAX_ALIASES = 8


class Triple(NamedTuple):
    """One fact of the bank. `relation` is the id of a relation in relations.toml."""

    relation: str
    subject: str
    object: str
    aliases: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Plain quotes, no-break spaces gone, single spaces, no space at either end."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_QUOTES).split())


def fold(text: str) -> str:
    """For comparing names: no case, no accents, no punctuation."""
    text = unicodedata.normalize("NFKD", clean(text).casefold())
    return " ".join("".join(c if c.isalnum() else " " for c in text if not unicodedata.combining(c)).split())


def single_valued(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Only subjects that have one object, whatever the spelling of the subject."""
    objects: dict[str, set[str]] = defaultdict(set)
    spelling: dict[str, str] = {}
    for subject, value in pairs:
        objects[fold(subject)].add(value)
        spelling.setdefault(fold(subject), subject)
    return {spelling[key]: next(iter(values)) for key, values in objects.items() if len(values) == 1 and key}


def facts(relation: str, pairs: Iterable[tuple[str, str]], **options: bool) -> Iterator[Triple]:
    """Single-valued facts of one relation; with `leaks=False` subjects that contain the object are left out."""
    for subject, value in single_valued(pairs).items():
        if options.get("leaks", True) or f" {fold(value)} " not in f" {fold(subject)} ":
            yield Triple(relation, clean(subject), clean(value))
