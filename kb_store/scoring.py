"""How far a text speaks of a fact: cover of its subject and of its relation, 0..1, from words alone.

The retriever ranks with it, and the encoder is trained on its figures. Pure: a text is folded once, in a
`Question`, and any number of candidates is scored against it.

    Question("Where was Zoë Keller's brother born?").score([Candidate("Zoe Keller", "place of birth")])

Subject cover: 1 when the whole name stands in the text; 0.97-0.98 when it does but for inflection, weak words
("the", "Inc") or order; otherwise at most 0.9 x the share of the name found in one place; 0.5 at most when
what was found belongs to a candidate with a longer name ("Norwind Shipping" in "Norwind Shipping Asia").
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from kb_store.contained import Containing, Span
from kb_store.mentions import without_name
from kb_store.text import as_written, fold_name
from kb_store.words import WEAK_NAME_WORDS, cut, relation_stems, stem

WHOLE = 1.0
INFLECTED = 0.98
SCATTERED = 0.97
PARTIAL = 0.9
# A name that is a function word or two letters stands in the text only as it is written ("US", not "us").
DOUBTFUL = 0.7
CONTAINED = 0.5

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|\n{2,}")

_NEAR = 2  # words that may stand between those of a name
# Places of names, and of words of those that do not stand in a text whole, that are looked at for one text: about a
# second's work. A long text of little but words of names would keep a search for minutes; ordinary ones look at some
# thousands.
_MOST_PLACES = 500_000
_ROUNDING = 1e-9  # sums of weights that differ by less are the same
_COMPOUND = 0.8  # "birth" for "birthplace"
_COMPOUND_LENGTH = 5


class Described(Protocol):
    """What a candidate has to say about itself; `kb_store.model.Content` does."""

    @property
    def subject(self) -> str:
        """The subject's name."""
        ...

    @property
    def relation(self) -> str:
        """The relation."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of the subject."""
        ...


class Candidate(NamedTuple):
    """A fact to score, where no stored one is at hand."""

    subject: str
    relation: str
    aliases: tuple[str, ...] = ()


class Cover(NamedTuple):
    """Scores of one candidate."""

    subject: float
    relation: float


@dataclass(frozen=True, slots=True)
class _Match:
    """Where a name was found: `spans` when it stands whole, `words` are the positions of what was found."""

    cover: float
    spans: tuple[Span, ...] = ()
    words: frozenset[int] = frozenset()


_NOTHING = _Match(0.0)


class _Name:
    """A name made ready for matching."""

    __slots__ = ("as_written", "core", "forms", "raw", "total", "weights", "words")

    def __init__(self, raw: str) -> None:
        words = cut(fold_name(raw))
        strong = [word for word in words if word not in WEAK_NAME_WORDS]
        self.raw = as_written(raw.strip())
        self.words = words
        self.weights = {word: _weight(word) for word in strong or words}
        self.total = sum(self.weights.values())
        joined = _pad(words)
        initials = _pad(_join_initials(words))
        self.forms = tuple(dict.fromkeys((joined, initials))) if words else ()
        core = _pad(_trim(words)) if strong else joined
        self.core = core if core != joined else ""
        letters = "".join(words)
        self.as_written = not words or (
            not (strong and len(letters) > 2) and not any(ord(letter) > 0x2E7F for letter in letters)
        )


def _pad(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "


def _weight(word: str) -> float:
    if word.isdigit():
        return 1.25
    return 0.15 if len(word) == 1 and word.isascii() else 0.5 + min(len(word), 8) / 8


def _trim(words: list[str]) -> list[str]:
    """The name without the weak words at its ends."""
    strong = [i for i, word in enumerate(words) if word not in WEAK_NAME_WORDS]
    return words[strong[0] : strong[-1] + 1]


def _join_initials(words: list[str]) -> list[str]:
    """`j r r tolkien` as `jrr tolkien`; names that are nothing but initials stay as they are."""
    if not any(len(word) > 1 for word in words):
        return words
    joined: list[str] = []
    run = False
    for word in words:
        single = len(word) == 1 and word.isalpha() and word.isascii()
        if single and run:
            joined[-1] += word
        else:
            joined.append(word)
        run = single
    return joined


@lru_cache(maxsize=65_536)
def _name(raw: str) -> _Name:
    return _Name(raw)


class Question:
    """A text folded once, against which candidates are scored. Not shared between threads."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._written = as_written(text)
        self.words: tuple[str, ...] = tuple(cut(fold_name(text)))
        self._padded = _pad(self.words)
        self._positions: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        self._starts: dict[int, int] = {}
        offset = 0
        for index, word in enumerate(self.words):
            self._positions.setdefault(word, []).append(index)
            self._stems.setdefault(stem(word), []).append(index)
            self._starts[offset] = index
            offset += len(word) + 1
        self._places_left = _MOST_PLACES
        self._matches: dict[str, _Match] = {}
        self._relations: dict[str, tuple[float, list[int]]] = {}

    def score(self, candidates: Sequence[Described]) -> list[Cover]:
        """Covers of rivals: what a longer name among them explains is not counted for a shorter one."""
        matches = [self._best(item.subject, item.aliases) for item in candidates]
        names = Containing(self.words, {span for match in matches for span in match.spans})
        return [
            Cover(_contested(match, names), self._relation(item.relation, match))
            for item, match in zip(candidates, matches, strict=True)
        ]

    def subject_cover(self, subject: str, aliases: Iterable[str] = ()) -> float:
        """Cover of a name, by itself (no rivals)."""
        return self._best(subject, aliases).cover

    def relation_cover(self, relation: str, subject: str = "", aliases: Iterable[str] = ()) -> float:
        """Share of the relation's telling words in the text, outside the subject's name."""
        return self._relation(relation, self._best(subject, aliases) if subject else _NOTHING)

    def name_spans(self, subject: str, aliases: Iterable[str] = ()) -> tuple[Span, ...]:
        """Where the whole name stands, in words."""
        return self._best(subject, aliases).spans

    def relation_spans(self, relation: str) -> tuple[Span, ...]:
        """Where all telling words of a relation stand together, in any order; of several beginnings of one the last."""
        found = [sorted(self._find_stem(word)[1]) for word in relation_stems(relation)]
        width = len(found) + _NEAR
        spans: dict[int, Span] = {}
        for start in sorted({place for positions in found for place in positions}):
            after = [bisect_left(positions, start) for positions in found]
            if any(at == len(positions) for at, positions in zip(after, found, strict=True)):
                break
            last = max(positions[at] for at, positions in zip(after, found, strict=True))
            if last < start + width:
                spans[last] = (start, last + 1)
        return tuple(spans.values())

    def about(self, subject: str, aliases: Iterable[str] = ()) -> tuple[str, ...]:
        """What the text says of a subject, with "it" for the name: the whole of it, and, when other sentences stand
        before the one that names the subject last, that one and what follows.
        """
        named = self._best(subject, aliases).words
        if not named:
            return (self.text.strip(),)
        # The full stop of "J. Keller" ends no sentence.
        inside = {place for place in named if place - 1 in named}
        starts = [start for start in self._sentences() if start <= max(named) and start not in inside]
        return tuple(dict.fromkeys(without_name(self.text, named, first) for first in (0, starts[-1])))

    def _sentences(self) -> list[int]:
        """Positions of the words that begin a sentence."""
        starts, count = [0], 0
        for sentence in _SENTENCE_END.split(self.text):
            count += len(cut(fold_name(sentence)))
            starts.append(count)
        return starts

    def _best(self, subject: str, aliases: Iterable[str]) -> _Match:
        best = self._match(subject)
        for alias in aliases:
            match = self._match(alias)
            if match.cover > best.cover:
                best = match
        return best

    def _match(self, raw: str) -> _Match:
        found = self._matches.get(raw)
        if found is None:
            found = self._matches[raw] = self._find(_name(raw))
        return found

    def _find(self, name: _Name) -> _Match:
        if name.as_written:
            return self._find_as_written(name)
        for form in name.forms:
            if form in self._padded:
                return self._whole(form, WHOLE)
        for form in name.forms:
            for ending in ("s ", "es "):
                if (inflected := form[:-1] + ending) in self._padded and self._inflects(name):
                    return self._whole(inflected, INFLECTED)
        if name.core and name.core in self._padded and self._vouches(name):
            return self._whole(name.core, INFLECTED)
        return self._find_words(name)

    def _find_as_written(self, name: _Name) -> _Match:
        pattern = rf"(?<![^\s\"'(\[«“‘]){re.escape(name.raw)}(?![^\s.,;:!?\"')\]»”’])"
        written = bool(name.raw) and re.search(pattern, self._written) is not None
        inside = [self._whole(form, DOUBTFUL) for form in name.forms if form in self._padded]
        if written:
            return _Match(WHOLE, inside[0].spans, inside[0].words) if inside else _Match(WHOLE)
        return _Match(DOUBTFUL, words=inside[0].words) if inside else _NOTHING

    def _vouches(self, name: _Name) -> bool:
        """One word left of a name ("The Sun") counts as the name only when it is written as in the name."""
        words = name.core.split()
        if len(words) > 1:
            return True
        raw = next((word for word in re.findall(r"\w+", name.raw) if fold_name(word) == words[0]), "")
        return bool(raw) and re.search(rf"\b{re.escape(raw)}\b", self._written) is not None

    def _inflects(self, name: _Name) -> bool:
        """A single word that goes on in small letters is another word: "splits" is no town called Split."""
        raw, text = name.raw, self._written
        if len(name.words) > 1 or not raw[:1].isupper() or text == text.lower():
            return True
        return re.search(rf"\b{re.escape(raw[0])}(?i:{re.escape(raw[1:])}e?s)\b", text) is not None

    def _whole(self, form: str, cover: float) -> _Match:
        length = len(cut(form))
        spans = []
        at = self._padded.find(form)
        while at >= 0:
            start = self._starts[at]
            spans.append((start, start + length))
            self._places_left -= 1
            if self._places_left < 0:
                break
            at = self._padded.find(form, at + 1)
        places: set[int] = set()
        reached = 0
        for start, end in spans:  # they may overlap: each place once
            places.update(range(max(start, reached), end))
            reached = end
        return _Match(cover, tuple(spans), frozenset(places))

    def _find_words(self, name: _Name) -> _Match:
        """The heaviest part of the name that stands within a few words."""
        found = [
            (word, self._positions[form])
            for word in name.weights
            for form in (word, f"{word}s", f"{word}es")
            if form in self._positions
        ]
        self._places_left -= sum(len(places) for _, places in found)
        if self._places_left < 0:
            return _NOTHING
        events = sorted((position, word) for word, places in found for position in places)
        width = len(name.words) + _NEAR
        weight = heaviest = 0.0
        window, first = range(0), 0
        held: Counter[str] = Counter()  # words between `first` and `last`, and how often
        for last, (position, word) in enumerate(events):
            held[word] += 1
            if held[word] == 1:
                weight += name.weights[word]
            while position - events[first][0] >= width:
                gone = events[first][1]
                first += 1
                held[gone] -= 1
                if not held[gone]:
                    weight -= name.weights[gone]
            if weight > heaviest + _ROUNDING:
                heaviest, window = weight, range(first, last + 1)
                if weight >= name.total - _ROUNDING:
                    break
        best_words = frozenset(events[at][0] for at in window)
        there = {events[at][1] for at in window}
        best = sum(weight for word, weight in name.weights.items() if word in there)
        if best >= name.total - _ROUNDING and len(name.weights) > 1:
            return _Match(SCATTERED, words=best_words)
        return _Match(PARTIAL * best / name.total, words=best_words)

    def _relation(self, relation: str, subject: _Match) -> float:
        words = relation_stems(relation)
        if not words:
            return 0.0
        total = 0.0
        for word in words:
            if word not in self._relations:
                self._relations[word] = self._find_stem(word)
            credit, positions = self._relations[word]
            if credit and not subject.words.issuperset(positions):
                total += credit
        return total / len(words)

    def _find_stem(self, wanted: str) -> tuple[float, list[int]]:
        positions = self._stems.get(wanted)
        if positions:
            return 1.0, positions
        if len(wanted) < _COMPOUND_LENGTH:
            return 0.0, []
        compounds = [
            position
            for found, places in self._stems.items()
            if len(found) >= _COMPOUND_LENGTH and (found.startswith(wanted) or wanted.startswith(found))
            for position in places
        ]
        return (_COMPOUND, compounds) if compounds else (0.0, [])


def _contested(match: _Match, names: Containing) -> float:
    """The cover that is left when whole names of rivals explain the same words."""
    lost = all(map(names.says_more, match.spans)) if match.spans else names.contains(match.words)
    return min(match.cover, CONTAINED) if lost else match.cover


def subject_cover(text: str, subject: str, aliases: Iterable[str] = ()) -> float:
    """`Question.subject_cover` for a single candidate."""
    return Question(text).subject_cover(subject, aliases)


def relation_cover(text: str, relation: str, subject: str = "", aliases: Iterable[str] = ()) -> float:
    """`Question.relation_cover` for a single candidate."""
    return Question(text).relation_cover(relation, subject, aliases)
