"""Lexical search: facts whose name stands in a text, then facts of which some words do.

Whole names are found by walking `fact_names` like a trie, from every word of the text at once: one statement
per word of the longest name met, whatever the length of the text. Words go through the dialect's full text,
unranked and bounded: a word that thousands of names share says nothing alone and is asked only together with a
neighbour.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, true

from kb_store.model import LexicalHit
from kb_store.sql.backend import Backend
from kb_store.sql.dialect import Dialect
from kb_store.sql.lookups import chunks
from kb_store.sql.rows import load_list, to_micros
from kb_store.sql.tables import fact_names, facts
from kb_store.text import as_written, fold_name
from kb_store.words import FUNCTION_WORDS, word_spans

# A word of more names than this is too frequent to be asked alone.
MAX_FREQUENCY = 512
# Words asked of the full text, from the end of the text: there the question stands.
MAX_WORDS = 24
# A word of more rows than this is frequent whose ever they are. Of fewer, those that are here and hold now count: a
# history of old values makes no word frequent, nor does what others store.
_MOST_LOOKED_AT = 8192
# What the walk for whole names costs at most: beginnings of names looked at in the text, a look-up for as many as it
# takes the time of. Texts that are no repetition of themselves stay far below.
_MOST_STARTS, _STARTS_PER_LOOKUP = 2_000_000, 20
# Names of nothing but symbols, checked one by one: all emoji there are, and some.
_MAX_SYMBOLS = 4096

_ROWS_NAMED = (
    select(fact_names.c.row)
    .join_from(fact_names, facts, facts.c.row == fact_names.c.row)
    .where(fact_names.c.namespace == bindparam("namespace"), fact_names.c.folded_name == bindparam("name"))
    .order_by(fact_names.c.row)
)
_SYMBOLS = (
    select(facts.c.row, facts.c.subject, facts.c.aliases)
    .join_from(fact_names, facts, facts.c.row == fact_names.c.row)
    .where(fact_names.c.namespace == bindparam("namespace"), fact_names.c.folded_name == "")
    .limit(_MAX_SYMBOLS)
)


class LexicalSearching(Backend):
    """The contract's LexicalSearch."""

    def search_lexical(
        self, namespace: str, text: str, *, limit: int, now: datetime | None = None
    ) -> list[LexicalHit]:
        """Facts whose whole name stands in the text first; any text will do."""
        with self._reading() as connection:
            moment = None if now is None else to_micros(now)
            names = _Names(connection, self._dialect, namespace, moment)
            return search_lexical(names, text, limit=limit)


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one namespace, as they are in one snapshot."""

    connection: Connection
    dialect: Dialect
    namespace: str
    moment: int | None  # facts that are not valid then are not found

    @property
    def holding(self) -> ColumnElement[bool]:
        """Of facts: those that may be found. Filtered here, since a history of old values would fill every limit."""
        if self.moment is None:
            return true()
        start, end = facts.c.valid_from, facts.c.valid_to
        return or_(start.is_(None), start <= self.moment) & or_(end.is_(None), end > self.moment)

    def smallest_from(self, grams: Sequence[str]) -> Iterable[tuple[str, str | None]]:
        """For each gram the first name that is not before it."""
        return self.dialect.smallest_names(self.connection, self.namespace, grams)

    def rows_of(self, name: str, limit: int) -> list[int]:
        """Facts of this very name, the oldest first."""
        asked = {"namespace": self.namespace, "name": name}
        return list(self.connection.execute(_ROWS_NAMED.where(self.holding).limit(limit), asked).scalars())

    def of_symbols(self) -> list[tuple[int, str, str]]:
        """Row, subject and aliases of facts with a name that folds to nothing."""
        found = self.connection.execute(_SYMBOLS.where(self.holding), {"namespace": self.namespace})
        return [(row, subject, aliases) for row, subject, aliases in found]

    def with_words(self, *words: str) -> list[int]:
        """Rows that have all these words, perhaps some of other namespaces among them; one more than is useful."""
        asked = (self.connection, self.namespace, words, MAX_FREQUENCY + 1)
        rows = self.dialect.rows_with_words(*asked)
        if len(rows) <= MAX_FREQUENCY:
            return rows
        found = self.dialect.facts_with_words(*asked, among=_MOST_LOOKED_AT, moment=self.moment)
        return rows if found is None else found

    def mine(self, rows: Iterable[int]) -> Iterator[int]:
        """Those of the rows that are live facts here, and may be found."""
        for chunk in chunks(rows):
            here = select(facts.c.row).where(
                facts.c.row.in_(chunk),
                facts.c.namespace == self.namespace,
                facts.c.delete_time.is_(None),
                self.holding,
            )
            yield from self.connection.execute(here).scalars()


def search_lexical(here: _Names, text: str, *, limit: int) -> list[LexicalHit]:
    """Whole names first, the longest of them first; then by the share of rare words. Ties by row."""
    folded = fold_name(text)
    spans = word_spans(folded)
    scores: dict[int, float] = {}
    names = _whole_names(here, folded, spans)
    for name, rows in _rows_of_names(here, names, limit).items():
        for row in rows:
            scores.setdefault(row, 2.0 + len(name) / 1024)
    for row in _symbol_names(here, text):
        scores.setdefault(row, 2.0)
    if len(scores) < limit:
        words = [folded[start:end] for start, end in spans]
        for row, score in _by_words(here, words).items():
            scores.setdefault(row, score)
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [LexicalHit(row, score) for row, score in best[:limit]]


def _whole_names(here: _Names, folded: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """Names that stand in the text, longest first; of equal length the later first."""
    words = [folded[start:end] for start, end in spans]  # a folded text is its words: spaces say nothing more
    found: dict[str, int] = {}
    alive: list[list[int]] = [list(range(len(spans)))]  # beginnings of one text each, which begins some name
    length = looked_at = 0
    while alive and looked_at < _MOST_STARTS:
        grams: dict[str, list[int]] = {}
        inflected: dict[str, int] = {}
        for starts in alive:
            looked_at += len(starts)
            for group in _by_next_word(words, starts, length):
                last = group[-1]
                gram = folded[spans[last][0] : spans[last + length][1]][: here.dialect.longest_name]
                grams[gram] = group
                for form in _without_ending(gram):
                    inflected[form] = max(last, inflected.get(form, 0))
        asked = [*grams, *(form for form in inflected if form not in grams)]
        looked_at += _STARTS_PER_LOOKUP * len(asked)
        alive = []
        for gram, smallest in here.smallest_from(asked):
            if smallest is None:
                continue
            if smallest == gram:
                found[gram] = grams[gram][-1] if gram in grams else inflected[gram]
            if gram in grams and smallest.startswith(gram) and len(gram) != here.dialect.longest_name:
                alive.append(grams[gram])
        length += 1
    return sorted(found, key=lambda name: (name in FUNCTION_WORDS, -len(name), -found[name]))


def _by_next_word(words: Sequence[str], starts: Iterable[int], length: int) -> Iterable[list[int]]:
    """Starts of one text of `length` words, by the word that follows it."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for start in starts:
        if start + length < len(words):
            groups[words[start + length]].append(start)
    return groups.values()


def _without_ending(gram: str) -> Iterator[str]:
    if len(gram) > 3 and gram.endswith("s"):
        yield gram[:-1]
        if gram.endswith("es"):
            yield gram[:-2]


def _rows_of_names(here: _Names, names: Sequence[str], limit: int) -> dict[str, list[int]]:
    """At most `limit` rows in all. A name of very many facts must not crowd out the others."""
    found = {name: here.rows_of(name, limit) for name in names[:limit]}
    room = limit
    for place, name in enumerate(sorted(found, key=lambda name: len(found[name]))):
        share = max(1, room // (len(found) - place))
        found[name] = found[name][:share]
        room -= len(found[name])
    return found


def _symbol_names(here: _Names, text: str) -> list[int]:
    """Facts with a name that folds to nothing, such as an emoji, where it stands in the text."""
    text = as_written(text)

    def stands(name: str) -> bool:
        written = as_written(name)
        return written != "" and written in text and not fold_name(name)

    return [
        row
        for row, subject, aliases in here.of_symbols()
        if stands(subject) or any(map(stands, load_list(aliases)))
    ]


def _by_words(here: _Names, words: Sequence[str]) -> dict[int, float]:
    """Score of rows by the rare words, and pairs of frequent neighbours, that they contain: up to 1."""
    telling = [word for word in words if word not in FUNCTION_WORDS and (len(word) > 1 or word.isdigit())]
    asked = set(list(dict.fromkeys(reversed(telling)))[:MAX_WORDS])
    matching = {word: here.with_words(word) for word in asked}
    frequent = {word for word, rows in matching.items() if len(rows) > MAX_FREQUENCY}
    evidence = [(1.0, rows) for word, rows in matching.items() if word not in frequent and rows]
    pairs = [pair for pair in dict.fromkeys(pairwise(telling)) if frequent.issuperset(pair)]
    evidence += [(2.0, here.with_words(one, other)) for one, other in pairs]
    scores: defaultdict[int, float] = defaultdict(float)
    total = 0.0
    for worth, rows in evidence:
        weight = worth * (2.0 - math.log(len(rows) + 1) / math.log(MAX_FREQUENCY + 2))
        total += weight
        for row in rows:
            scores[row] += weight
    return {row: scores[row] / total for row in here.mine(scores)}
