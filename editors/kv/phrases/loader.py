"""Reads the phrase bank from the TOML files beside this module."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from editors.kv.phrases.bank import PhraseBank, Phrasing, Relation, Split
from editors.kv.phrases.grammar import Grammar, GrammarError

_HELD_OUT_PHRASINGS = 4
_WIDE = "relations_wide_"  # relations for breadth: few phrasings each, and all of them are trained on


@cache
def load() -> PhraseBank:
    """The whole bank; read once. Raises GrammarError where the data contradict themselves."""
    files = {
        entry.name: entry.read_bytes()
        for entry in resources.files(__package__).iterdir()
        if entry.name.endswith(".toml")
    }
    tables = {name: tomllib.loads(files[name].decode()) for name in sorted(files)}
    relations = tuple(
        _relation(name, table, 0 if file.startswith(_WIDE) else _HELD_OUT_PHRASINGS)
        for file, content in tables.items()
        if file.startswith("relations_")
        for name, table in content.items()
    )
    spoken = tables["spoken.toml"]
    patterns = {
        kind: group
        for file in ("patterns_names.toml", "patterns_values.toml")
        for kind, group in tables[file].items()
    }
    lists = {
        name: _listed(values)
        for file in ("names.toml", "objects.toml", "things.toml")
        for name, values in tables[file].items()
    }
    lists |= {
        _own_kind(name): _listed(table["objects"])
        for file, content in tables.items()
        if file.startswith("relations_")
        for name, table in content.items()
        if "objects" in table
    }
    bank = PhraseBank(
        relations=relations,
        frames=tuple(_phrasing(entry) for entry in spoken["frames"]),
        continuations=tuple(spoken["continuations"]),
        sentences=tuple(spoken["sentences"]),
        grammar=Grammar(lists, patterns),
        digest=_digest(files),
    )
    _check(bank)
    return bank


def _relation(name: str, table: Mapping[str, Any], kept_back: int) -> Relation:
    phrasings = tuple(_phrasing(entry) for entry in table["phrasings"])
    trained = len(phrasings) - kept_back
    split: Split = "held_out" if table.get("held_out", False) else "train"
    return Relation(
        name=name,
        subject_kind=table["subject"],
        object_kind=_own_kind(name) if "objects" in table else table["object"],
        question=table["question"],
        train_phrasings=phrasings[:trained],
        held_out_phrasings=phrasings[trained:],
        split=split,
        also=tuple(table.get("also", ())),
    )


def _own_kind(relation: str) -> str:
    """The object kind of a relation that lists its own objects."""
    return f"object of {relation}"


def _phrasing(entry: str | list[str]) -> Phrasing:
    if isinstance(entry, str):
        return Phrasing(entry)
    user, start = entry
    return Phrasing(start, user)


def _listed(values: str | list[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        values = values.replace("\n", " ").split(",")
    return tuple(dict.fromkeys(value.strip() for value in values if value.strip()))


def _check(bank: PhraseBank) -> None:
    grammar = bank.grammar
    unknown = {slot for slots in grammar.slots().values() for slot in slots if not grammar.knows(slot)}
    for relation in bank.relations:
        unknown |= {kind for kind in (relation.subject_kind, relation.object_kind) if not grammar.knows(kind)}
    if unknown:
        raise GrammarError(f"no list and no pattern for: {', '.join(sorted(unknown))}")


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].replace(b"\r\n", b"\n")
        digest.update(f"{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()
