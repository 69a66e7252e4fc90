"""Lexical search: facts whose name stands in a text, then facts of which some words do. SQLite's dialect.

Whole names are found by walking `fact_names` like a trie, from every word of the text at once: one statement
per word of the longest name met, whatever the length of the text. Words go through the full text, unranked
and bounded: a word that thousands of names share says nothing alone and is asked only together with a
neighbour. The full text knows no namespaces, so a word that is frequent elsewhere may be passed over here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from sqlalchemy import Connection

from kb_store.model import LexicalHit
from kb_store.sql.backend import Backend
from kb_store.text import fold_name
from kb_store.words import FUNCTION_WORDS, word_spans

# A word of more names than this is too frequent to be asked alone.
MAX_FREQUENCY = 512
# Words asked of the full text, from the end of the text: there the question stands.
MAX_WORDS = 24
# Names of nothing but symbols, checked one by one.
_MAX_SYMBOLS = 256

_SMALLEST_FROM = """
SELECT grams.value, (
    SELECT folded_name FROM fact_names
    WHERE namespace = ?1 AND folded_name >= grams.value ORDER BY folded_name LIMIT 1
) FROM json_each(?2) AS grams
"""
_ROWS_NAMED = "SELECT row FROM fact_names WHERE namespace = ?1 AND folded_name = ?2 ORDER BY row LIMIT ?3"
_SYMBOLS = """
SELECT facts.row, facts.subject, facts.aliases FROM fact_names JOIN facts ON facts.row = fact_names.row
WHERE fact_names.namespace = ?1 AND fact_names.folded_name = '' LIMIT ?2
"""
_ROWS_MATCHING = "SELECT rowid FROM facts_fts WHERE facts_fts MATCH ?1 LIMIT ?2"
_ROWS_OF = """
SELECT row FROM facts WHERE row IN (SELECT value FROM json_each(?2))
AND namespace = ?1 AND delete_time IS NULL
"""


class LexicalSearching(Backend):
    """The contract's LexicalSearch."""

    def search_lexical(self, namespace: str, text: str, *, limit: int) -> list[LexicalHit]:
        """Facts whose whole name stands in the text first; any text will do."""
        with self._reading() as connection:
            return search_lexical(connection, namespace, text, limit=limit)


def search_lexical(connection: Connection, namespace: str, text: str, *, limit: int) -> list[LexicalHit]:
    """Whole names first, the longest of them first; then by the share of rare words. Ties by row."""
    folded = fold_name(text)
    spans = word_spans(folded)
    scores: dict[int, float] = {}
    names = _whole_names(connection, namespace, folded, spans)
    for name, rows in _rows_of_names(connection, namespace, names, limit).items():
        for row in rows:
            scores.setdefault(row, 2.0 + len(name) / 1024)
    for row in _symbol_names(connection, namespace, text):
        scores.setdefault(row, 2.0)
    if len(scores) < limit:
        words = [folded[start:end] for start, end in spans]
        for row, score in _by_words(connection, namespace, words).items():
            scores.setdefault(row, score)
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [LexicalHit(row, score) for row, score in best[:limit]]


def _whole_names(
    connection: Connection, namespace: str, folded: str, spans: Sequence[tuple[int, int]]
) -> list[str]:
    """Names that stand in the text, longest first; of equal length the later first."""
    found: dict[str, int] = {}
    starts: Iterable[int] = range(len(spans))
    length = 0
    while starts:
        grams: defaultdict[str, list[int]] = defaultdict(list)
        inflected: dict[str, int] = {}
        for start in starts:
            if start + length < len(spans):
                gram = folded[spans[start][0] : spans[start + length][1]]
                grams[gram].append(start)
                inflected.update((form, start) for form in _without_ending(gram))
        asked = json.dumps([*grams, *(form for form in inflected if form not in grams)])
        alive: list[int] = []
        for gram, smallest in connection.exec_driver_sql(_SMALLEST_FROM, (namespace, asked)):
            if smallest is None:
                continue
            if smallest == gram:
                found[gram] = max(grams[gram]) if gram in grams else inflected[gram]
            if gram in grams and smallest.startswith(gram):
                alive += grams[gram]
        starts = sorted(alive)
        length += 1
    return sorted(found, key=lambda name: (name in FUNCTION_WORDS, -len(name), -found[name]))


def _without_ending(gram: str) -> Iterator[str]:
    if len(gram) > 3 and gram.endswith("s"):
        yield gram[:-1]
        if gram.endswith("es"):
            yield gram[:-2]


def _rows_of_names(
    connection: Connection, namespace: str, names: Sequence[str], limit: int
) -> dict[str, list[int]]:
    """At most `limit` rows in all. A name of very many facts must not crowd out the others."""
    found = {
        name: [row for (row,) in connection.exec_driver_sql(_ROWS_NAMED, (namespace, name, limit))]
        for name in names[:limit]
    }
    room = limit
    for place, name in enumerate(sorted(found, key=lambda name: len(found[name]))):
        share = max(1, room // (len(found) - place))
        found[name] = found[name][:share]
        room -= len(found[name])
    return found


def _symbol_names(connection: Connection, namespace: str, text: str) -> list[int]:
    """Facts with a name that folds to nothing, such as an emoji, where it stands in the text."""
    found = connection.exec_driver_sql(_SYMBOLS, (namespace, _MAX_SYMBOLS))
    return [
        row
        for row, subject, aliases in found
        if any(name and name in text for name in (subject, *json.loads(aliases)) if not fold_name(name))
    ]


def _by_words(connection: Connection, namespace: str, words: Sequence[str]) -> dict[int, float]:
    """Score of rows by the rare words, and pairs of frequent neighbours, that they contain: up to 1."""
    telling = [word for word in words if word not in FUNCTION_WORDS and (len(word) > 1 or word.isdigit())]
    asked = set(list(dict.fromkeys(reversed(telling)))[:MAX_WORDS])
    matching = {word: _matching(connection, f'"{word}"') for word in asked}
    frequent = {word for word, rows in matching.items() if len(rows) > MAX_FREQUENCY}
    evidence = [(1.0, rows) for word, rows in matching.items() if word not in frequent and rows]
    pairs = [pair for pair in dict.fromkeys(pairwise(telling)) if frequent.issuperset(pair)]
    evidence += [(2.0, _matching(connection, f'"{one}" AND "{other}"')) for one, other in pairs]
    scores: defaultdict[int, float] = defaultdict(float)
    total = 0.0
    for worth, rows in evidence:
        weight = worth * (2.0 - math.log(len(rows) + 1) / math.log(MAX_FREQUENCY + 2))
        total += weight
        for row in rows:
            scores[row] += weight
    mine = connection.exec_driver_sql(_ROWS_OF, (namespace, json.dumps(list(scores))))
    return {row: scores[row] / total for (row,) in mine}


def _matching(connection: Connection, query: str) -> list[int]:
    found = connection.exec_driver_sql(_ROWS_MATCHING, (query, MAX_FREQUENCY + 1))
    return [row for (row,) in found]
