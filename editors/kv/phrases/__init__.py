"""The language the encoder is trained on: written by hand, as data, with its own held-out side.

`load()` reads the TOML files beside this module. Relations, phrasings, objects and subjects each have a
training and a held-out side.
"""

from editors.kv.phrases.bank import PhraseBank, Phrasing, Relation, Split, is_held_out
from editors.kv.phrases.grammar import Grammar, GrammarError
from editors.kv.phrases.loader import load
from editors.kv.phrases.names import near_duplicate

__all__ = [
    "Grammar",
    "GrammarError",
    "PhraseBank",
    "Phrasing",
    "Relation",
    "Split",
    "is_held_out",
    "load",
    "near_duplicate",
]
