"""How an application says its relations are asked for, made ready for judging questions.

An example is read as questions are: with "it" for the subject. Examples and the relation's name together say what
the relation is about, so that other words for it are recognised too (docs/adr/0023).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from editors.kv.contract import spoken
from kb_store.errors import InvalidInput
from kb_store.model import RelationExamples
from kb_store.scoring import Question
from kb_store.text import fold_name

SUBJECT = "{s}"
# Stands where the subject stands; a name that no example has in it otherwise.
_SOMEBODY = "Quillon Vexley"

# What is said of "it" where a relation is asked for, by `key_of` the relation.
Asking = Mapping[str, tuple[str, ...]]
NOTHING_SAID: Asking = {}


def key_of(relation: str) -> str:
    """Relations that are written alike but for case and joints are described together. `interleaf relations` has the
    same rule once more (interleaf.cli._relation_names)."""
    return fold_name(spoken(relation))


def told_apart(field: str, examples: tuple[RelationExamples, ...]) -> tuple[RelationExamples, ...]:
    """The examples, if no relation is there twice in two spellings: only one of them would count."""
    spellings: dict[str, str] = {}
    for item in examples:
        other = spellings.setdefault(key_of(item.relation), item.relation)
        if other != item.relation:
            raise InvalidInput(field, f"relation {item.relation!r} is described twice, also as {other!r}")
    return examples


@lru_cache(maxsize=256)
def asking(examples: tuple[RelationExamples, ...]) -> Asking:
    """A namespace's examples. Kept: every question needs them."""
    found: dict[str, tuple[str, ...]] = {}
    for item in examples:
        found[key_of(item.relation)] = tuple(dict.fromkeys(map(_about_it, item.examples)))
    return found


def _about_it(example: str) -> str:
    return Question(example.replace(SUBJECT, _SOMEBODY)).about(_SOMEBODY)[-1]
