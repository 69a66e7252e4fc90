"""The phrase bank: relations, how people speak of them, and what facts may say."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from editors.kv.phrases.grammar import Grammar, GrammarError
from editors.kv.phrases.names import near_duplicate

Split = Literal["train", "held_out"]
_ATTEMPTS = 500
_NEIGHBOURS = 50
_HELD_OUT_SHARE = 0.2


def is_held_out(text: str) -> bool:
    """The side of the split a subject or object is on: by its text alone, so that it never changes."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") < _HELD_OUT_SHARE * 2**32


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A text that ends right before the object; in chat, the user's turn and the start of the assistant's.

    The object follows after one space, or directly where the text is empty (the assistant's turn begins with it).
    """

    text: str
    user: str | None = None

    @property
    def chat(self) -> bool:
        """Whether it is a pair of turns."""
        return self.user is not None

    def filled(self, subject: str, relation: str, object_: str) -> tuple[str, str]:
        """The user's turn ("" outside of chat) and the text before the object."""
        words = {"{s}": subject, "{r}": relation, "{R}": relation[:1].upper() + relation[1:]}
        words["{a}"] = "an" if object_[:1].lower() in tuple("aeiou") else "a"
        return _replaced(self.user or "", words), _replaced(self.text, words)


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation between a subject and an object of given kinds, and the ways in which people put it."""

    name: str
    subject_kind: str
    object_kind: str
    question: str
    train_phrasings: tuple[Phrasing, ...]
    held_out_phrasings: tuple[Phrasing, ...]
    split: Split
    also: tuple[str, ...] = ()  # what an application might call it instead


@dataclass(frozen=True)
class PhraseBank:
    """Everything training draws its language from. Immutable; the same generator state draws the same things."""

    relations: tuple[Relation, ...]
    frames: tuple[Phrasing, ...]
    continuations: tuple[str, ...]
    sentences: tuple[str, ...]
    grammar: Grammar = field(repr=False)
    digest: str

    @cached_property
    def _by_name(self) -> Mapping[str, Relation]:
        return {relation.name: relation for relation in self.relations}

    def relation(self, name: str) -> Relation:
        """The relation of that name; KeyError if there is none."""
        return self._by_name[name]

    def relations_of(self, split: Split) -> tuple[Relation, ...]:
        """The relations on one side of the split."""
        return tuple(relation for relation in self.relations if relation.split == split)

    def subject(self, kind: str, rng: random.Random, *, held_out: bool = False) -> str:
        """A name for a subject, from one side of the split."""
        return self._draw(kind, rng, held_out)

    def object(self, kind: str, rng: random.Random, *, held_out: bool = False) -> str:
        """A value of an object kind, from one side of the split."""
        return self._draw(kind, rng, held_out)

    def near_duplicate(self, name: str, rng: random.Random) -> str:
        """A name easily mistaken for this one, on the same side of the split."""
        changed = name
        for attempt in range(_ATTEMPTS):
            # A number has few neighbours: when none of them is on its side, theirs are tried.
            changed = near_duplicate(changed if attempt > _NEIGHBOURS else name, rng)
            if changed != name and is_held_out(changed) == is_held_out(name):
                return changed
        raise GrammarError(f"no near duplicate of {name!r} on its side of the split")

    def _draw(self, kind: str, rng: random.Random, held_out: bool) -> str:
        for _ in range(_ATTEMPTS):
            text = self.grammar.draw(kind, rng)
            if is_held_out(text) == held_out:
                return text
        raise GrammarError(f"no {kind!r} found on the wanted side of the split")


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Placeholders replaced in one pass, so that braces inside a name are left alone."""
    parts = []
    at = 0
    while (start := text.find("{", at)) >= 0:
        end = text.find("}", start)
        if end < 0:
            break
        placeholder = text[start : end + 1]
        parts += [text[at:start], words.get(placeholder, placeholder)]
        at = end + 1
    return "".join([*parts, text[at:]])
