"""Words of questions, names and relations: how a folded text is cut, and which words carry meaning."""

from __future__ import annotations

import re
from functools import lru_cache

from kb_store.text import UNSPACED, fold_name, spread

_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
# What stands for marks that fold to nothing, and for whatever else folds to part of the word beside it.
_MARK, _LETTER = "\u0300", "x"
_PIECE = re.compile(
    f"[{UNSPACED}]{_MARK}*|(?:[^\\W{UNSPACED}]|{_MARK})+|[^\\w{_MARK}{UNSPACED}]+|.", re.DOTALL
)
_JOINED = re.compile(f"[^\\s{UNSPACED}]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

_ENGLISH = """
a an the of in on at to by for from with as and or is was are were be been being has have had do does did
his her its their this that these those he she it they we us you i who whom whose what which when where how why
s t d ll re ve
"""
_FOREIGN = "de la le les el los las du des der die das den von van und et y e da do dos di del"
_COMPANY = "inc ltd llc corp corporation co company gmbh ag plc sa group limited incorporated"

ARTICLES = frozenset(("the", "a", "an"))
FUNCTION_WORDS = frozenset(_ENGLISH.split())
# Words that a name can lose and still be the same name.
WEAK_NAME_WORDS = FUNCTION_WORDS | frozenset((_FOREIGN + " " + _COMPANY).split())

_SUFFIXES = ("ing", "ed", "er", "or", "ion", "ity", "ment")
_VOWELS = frozenset("aeiouy")


def cut(folded: str) -> list[str]:
    """The words of a folded text."""
    if folded.isascii():
        return folded.split()
    return _WORD.findall(folded)


class _Shadow(dict[int, str]):
    """Translation table, filled as characters are met: shows which of them belong to words, each as one character."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = spread(character)
        if not folded:
            shown = _MARK
        elif _PIECE.fullmatch(character + _LETTER) or not _JOINED.search(folded[0] + folded[-1]):
            shown = character
        else:
            shown = _LETTER
        self[code] = shown
        return shown


_SHADOW = _Shadow()


def pieces(text: str) -> list[str]:
    """A text as it is written, cut into words and what stands between them. Nothing is lost, and no word of the folded
    text goes over from one to the next.
    """
    if text.isascii():
        return _PIECE.findall(text)
    return [text[slice(*match.span())] for match in _PIECE.finditer(text.translate(_SHADOW))]


def word_spans(folded: str) -> list[tuple[int, int]]:
    """Where the words of `cut` begin and end."""
    return [match.span() for match in _WORD.finditer(folded)]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """What inflection leaves of an English word: founder, founded and founding meet. For comparing only."""
    if not word.isascii() or not word.isalpha():
        return word
    word = _singular(word)
    for _ in range(2):
        suffix = next((end for end in _SUFFIXES if word.endswith(end)), "")
        rest = word[: -len(suffix)] if suffix else ""
        if len(rest) < 3 or not _VOWELS.intersection(rest):
            break
        word = rest
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    if word.endswith("at") and len(word) > 5:
        word = word[:-2]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") else word


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes")) and word[-4] in "sxzh":
        return word[:-2] if not word.endswith(("ases", "eses", "ises", "oses", "uses")) else word[:-1]
    return word[:-1]


@lru_cache(maxsize=65_536)
def relation_stems(relation: str) -> tuple[str, ...]:
    """Stems of the words of a relation that say what is asked; of all its words when none does."""
    words = cut(fold_name(_CAMEL.sub(" ", relation)))
    telling = [word for word in words if word not in FUNCTION_WORDS]
    return tuple(dict.fromkeys(stem(word) for word in telling or words))
