"""The built-in fact bank: true facts about countries, places, people, chemistry, language and things.

Made once by scripts/build_factbank.py and shipped as package data: `facts.tsv.gz` (the facts), `relations.toml`
(what their relations mean and how people speak of them), `manifest.json` (digest and counts), NOTICE (sources).
Loading needs nothing but the standard library.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from kb_store.errors import StoreError
from kb_store.model import Content

HEADER = ["relation", "subject", "object", "aliases", "source"]


class FactBankDamaged(StoreError):
    """The table is not the one that the manifest describes."""

    reason = "FACT_BANK_DAMAGED"


@dataclass(frozen=True, slots=True)
class RelationInfo:
    """One relation of the bank. `name` is what its facts carry; several relations may share a name."""

    relation_id: str
    name: str
    subject_type: str
    object_type: str
    single_valued: bool
    # The relation that leads back from object to subject, or empty.
    inverse: str
    source: str
    # A sentence with {s} and {o}.
    statement: str
    # Texts with {s} that the object continues, after a space.
    templates: tuple[str, ...]
    count: int


@cache
def relations() -> tuple[RelationInfo, ...]:
    """All relations, in the order of relations.toml."""
    counts = _manifest()["relations"]
    return tuple(
        RelationInfo(
            relation_id=entry["id"],
            name=entry["name"],
            subject_type=entry["subject_type"],
            object_type=entry["object_type"],
            single_valued=entry["single_valued"],
            inverse=entry.get("inverse", ""),
            source=entry["source"],
            statement=entry["statement"],
            templates=tuple(entry["templates"]),
            count=counts[entry["id"]],
        )
        for entry in tomllib.loads(_read("relations.toml").decode())["relation"]
    )


def digest() -> str:
    """SHA-256 of the table."""
    return str(_manifest()["sha256"])


def load_facts(
    relations: Collection[str] | None = None,
    limit: int | None = None,
    exclude_pairs: Collection[tuple[str, str]] = (),
) -> Iterator[Content]:
    """The facts, in the same order always.

    `relations` are ids or names; an unknown one is an error. `exclude_pairs` leaves out facts with such a
    (subject, object), for training that must not see what an evaluation asks for; case does not matter.
    """
    chosen = load_facts_with_relation(relations, exclude_pairs)
    return (content for _, content in islice(chosen, limit))


def load_facts_with_relation(
    wanted: Collection[str] | None = None, exclude_pairs: Collection[tuple[str, str]] = ()
) -> Iterator[tuple[RelationInfo, Content]]:
    """As `load_facts`, each with its relation, for those who need the templates."""
    by_id = {info.relation_id: info for info in relations()}
    if wanted is not None:
        unknown = set(wanted) - {key for info in by_id.values() for key in (info.relation_id, info.name)}
        if unknown:
            raise ValueError(f"the fact bank has no relation {min(unknown)!r}")
        by_id = {
            key: info for key, info in by_id.items() if info.relation_id in wanted or info.name in wanted
        }
    excluded = {(subject.casefold(), value.casefold()) for subject, value in exclude_pairs}
    return _read_table(by_id, excluded)


def read_pairs(path: Path) -> frozenset[tuple[str, str]]:
    """(subject, object) pairs from a file with one pair a line, separated by a tab."""
    try:
        return parse_pairs(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}, {error}") from None


def parse_pairs(text: str) -> frozenset[tuple[str, str]]:
    """The same from such a file's text; ValueError names the line that is no pair."""
    pairs = set()
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        fields = line.removesuffix("\n").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 2:
            raise ValueError(f"line {number}: a pair is a subject, a tab and an object")
        pairs.add((fields[0], fields[1]))
    return frozenset(pairs)


def _read_table(
    by_id: dict[str, RelationInfo], excluded: set[tuple[str, str]]
) -> Iterator[tuple[RelationInfo, Content]]:
    packed = _read("facts.tsv.gz")
    if hashlib.sha256(packed).hexdigest() != digest():
        raise FactBankDamaged("facts.tsv.gz does not match manifest.json: reinstall the package")
    with gzip.open(io.BytesIO(packed), "rt", encoding="utf-8", newline="\n") as lines:
        if next(lines).rstrip("\n").split("\t") != HEADER:
            raise FactBankDamaged("facts.tsv.gz has an unknown header")
        for line in lines:
            relation_id, subject, value, aliases, source = line.rstrip("\n").split("\t")
            info = by_id.get(relation_id)
            if info is None or (subject.casefold(), value.casefold()) in excluded:
                continue
            names = tuple(aliases.split("|")) if aliases else ()
            yield info, Content(subject, info.name, value, names, source)


@cache
def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(_read("manifest.json"))
    return manifest


def _read(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()
