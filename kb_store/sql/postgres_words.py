"""Names and words on PostgreSQL: two plain B-trees, in byte order, of one namespace each.

Not the server's full text: its dictionaries fold words by the server's locale, while ours are folded in one place
(kb_store.text) on every engine; and an inverted index reads all entries of a word before it gives the first few,
while what is wanted of a frequent word is only that it is frequent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from kb_store.sql.dialect import HOLDING, TextRow
from kb_store.text import fold_name
from kb_store.words import cut

# An entry of a B-tree has at most about 2,700 bytes.
LONGEST_NAME = 600
LONGEST_WORD = 64
_SHOWN = 5

_SMALLEST_FROM = """
SELECT grams.gram, (
    SELECT folded_name FROM fact_names
    WHERE namespace = %(namespace)s AND folded_name >= grams.gram COLLATE "C" ORDER BY folded_name LIMIT 1
) FROM unnest(%(grams)s::text[]) AS grams(gram)
"""
_ADD_WORDS = """
INSERT INTO fact_words (namespace, word, "row")
SELECT %(namespace)s, word, "row" FROM unnest(%(words)s::text[], %(rows)s::bigint[]) AS given(word, "row")
"""
_REMOVE_WORDS = """
DELETE FROM fact_words USING unnest(%(words)s::text[], %(rows)s::bigint[]) AS given(word, "row")
WHERE fact_words.namespace = %(namespace)s AND fact_words.word = given.word COLLATE "C"
AND fact_words."row" = given."row"
"""
_REMOVE_NAMESPACE = "DELETE FROM fact_words WHERE namespace = %(namespace)s"
_WITH_WORD = (
    'SELECT "row" FROM fact_words WHERE namespace = %(namespace)s AND word = %(word)s '
    "LIMIT %(limit)s OFFSET %(skipped)s"
)
_WITH_BOTH = """
SELECT one."row" FROM fact_words AS one WHERE one.namespace = %(namespace)s AND one.word = %(word)s
AND NOT EXISTS (
    SELECT FROM unnest(%(others)s::text[]) AS wanted(word) WHERE NOT EXISTS (
        SELECT FROM fact_words AS other WHERE other.namespace = %(namespace)s
        AND other.word = wanted.word COLLATE "C" AND other."row" = one."row"
    )
) LIMIT %(limit)s OFFSET %(skipped)s
"""
# LATERAL with a limit: one look-up for each row, until there are enough.
_FACTS_WITH = """
SELECT hits."row" FROM ({hits}) AS hits CROSS JOIN LATERAL (
    SELECT FROM facts WHERE facts."row" = hits."row" AND delete_time IS NULL
    AND (%(moment)s::bigint IS NULL OR {holding}) LIMIT 1
) AS held LIMIT %(wanted)s
"""
_HOLDING = HOLDING.format(moment="%(moment)s::bigint")
_ALL_FACTS = 'SELECT "row", namespace, subject, aliases FROM facts WHERE delete_time IS NULL ORDER BY "row"'
_ALL_WORDS = 'SELECT "row", namespace, word FROM fact_words ORDER BY "row"'


def words_of(subject: str, aliases: Iterable[str]) -> set[str]:
    """The words under which a fact is found."""
    return {word[:LONGEST_WORD] for name in (subject, *aliases) for word in cut(fold_name(name))}


def _columns(texts: Sequence[TextRow]) -> dict[str, list[str] | list[int]]:
    words: list[str] = []
    rows: list[int] = []
    for row, subject, aliases in texts:
        for word in sorted(words_of(subject, json.loads(aliases))):
            words.append(word)
            rows.append(row)
    return {"words": words, "rows": rows}


def _with(namespace: str, words: Sequence[str], limit: int) -> tuple[str, dict[str, Any]]:
    first, *others = (word[:LONGEST_WORD] for word in words)
    asked = {"namespace": namespace, "word": first, "others": others, "limit": limit, "skipped": 0}
    return _WITH_BOTH if others else _WITH_WORD, asked


class PostgresWords:
    """The part of `Dialect` that finds names and words."""

    longest_name: int | None = LONGEST_NAME

    def smallest_names(
        self, connection: Connection, namespace: str, grams: Sequence[str]
    ) -> Iterable[tuple[str, str | None]]:
        """One probe of the key for each."""
        found = connection.exec_driver_sql(_SMALLEST_FROM, {"namespace": namespace, "grams": list(grams)})
        return [(gram, name) for gram, name in found]

    def rows_with_words(
        self, connection: Connection, namespace: str, words: Sequence[str], limit: int
    ) -> list[int]:
        """Of this namespace only."""
        statement, asked = _with(namespace, words, limit)
        return list(connection.exec_driver_sql(statement, asked).scalars())

    def facts_with_words(
        self,
        connection: Connection,
        namespace: str,
        words: Sequence[str],
        limit: int,
        *,
        among: int,
        moment: int | None,
    ) -> list[int] | None:
        """Counting last: most words of which there are many have enough facts among the first rows."""
        hits, asked = _with(namespace, words, among)
        asked |= {"moment": moment, "wanted": limit}
        statement = _FACTS_WITH.format(hits=hits, holding=_HOLDING)
        found = list(connection.exec_driver_sql(statement, asked).scalars())
        if (
            len(found) < limit
            and connection.exec_driver_sql(hits, {**asked, "limit": 1, "skipped": among}).first()
        ):
            return None
        return found

    def remove_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """In one statement."""
        connection.exec_driver_sql(_REMOVE_WORDS, {"namespace": namespace, **_columns(texts)})

    def add_text(self, connection: Connection, namespace: str, texts: Sequence[TextRow]) -> None:
        """In one statement."""
        connection.exec_driver_sql(_ADD_WORDS, {"namespace": namespace, **_columns(texts)})

    def remove_namespace_text(self, connection: Connection, namespace: str) -> None:
        """In one statement, also for a million facts."""
        connection.exec_driver_sql(_REMOVE_NAMESPACE, {"namespace": namespace})

    def check_words(self, connection: Connection) -> Iterator[str]:
        """Which facts lack words, and which rows have words of others; both tables are read once, in order."""

        def stream(statement: str) -> Iterable[Any]:
            return connection.exec_driver_sql(statement, execution_options={"stream_results": True})

        expected = (
            (row, namespace, word)
            for row, namespace, subject, aliases in stream(_ALL_FACTS)
            for word in sorted(words_of(subject, json.loads(aliases)))
        )
        found = ((row, namespace, word) for row, namespace, word in stream(_ALL_WORDS))
        missing: set[int] = set()
        astray: set[int] = set()
        for row, should, have in _side_by_side(expected, found):
            if should - have:
                missing.add(row)
            if have - should:
                astray.add(row)
        for title, rows in (("facts without some of their words", missing), ("words of other facts", astray)):
            if rows:
                some = ", ".join(map(str, islice(sorted(rows), _SHOWN)))
                yield f"{title}: rows {some}{' and more' if len(rows) > _SHOWN else ''}"


_Entry = tuple[int, str, str]


def _side_by_side(
    one: Iterable[_Entry], other: Iterable[_Entry]
) -> Iterator[tuple[int, set[_Entry], set[_Entry]]]:
    """For each row, what the one and what the other has of it; both are ordered by row."""
    tagged = merge(((entry[0], 0, entry) for entry in one), ((entry[0], 1, entry) for entry in other))
    for row, group in groupby(tagged, key=itemgetter(0)):
        sides: tuple[set[_Entry], set[_Entry]] = (set(), set())
        for _, side, entry in group:
            sides[side].add(entry)
        yield row, *sides
