"""A generated world to search in: thousands of names that are easily confused, with facts and prompts.

Names share first and last names, differ by one letter, or contain each other ("Norwind Shipping",
"Norwind Shipping Asia"). Every subject has several relations; each is asked in five ways.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.retrieval_phrasings import KINDS, PHRASINGS

_ONSETS = [
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ei", "au"]
_CODAS = ["", "", "n", "r", "l", "s", "nd", "rt", "ck", "m"]
_FIRST = [
    "Anna",
    "Bruno",
    "Carla",
    "David",
    "Elena",
    "Felix",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Karin",
    "Lukas",
    "Marta",
    "Nils",
    "Olga",
    "Paul",
    "Rosa",
    "Simon",
    "Tania",
    "Viktor",
    "Amara",
    "Bashir",
    "Chen",
    "Dalia",
    "Emeka",
    "Farah",
    "Goran",
    "Hana",
    "Ivan",
    "Jamila",
    "Kofi",
    "Leila",
    "Mateo",
    "Noor",
    "Omar",
    "Priya",
    "Ravi",
    "Sanna",
    "Tomas",
    "Yara",
    "Zoë",
    "Anne",
    "Anja",
    "Marie",
    "Maria",
    "Erik",
    "Erika",
    "Jan",
    "Jana",
    "Daniel",
    "Daniela",
]
_TRADES = [
    "Shipping",
    "Foods",
    "Robotics",
    "Energy",
    "Textiles",
    "Optics",
    "Airways",
    "Studios",
    "Pharma",
    "Mining",
]
_BRANCHES = ["Asia", "Europe", "Nordic", "Holdings", "International", "Services"]
_PLACES = ["Port {0}", "New {0}", "{0} Falls", "{0} upon Wey", "Upper {0}", "{0}"]
_GOODS = ["{0} {1}", "{0} {1} Pro", "{0} Mark {1}"]


@dataclass(frozen=True, slots=True)
class WorldFact:
    """A fact and how to ask for it."""

    subject: str
    relation: str
    object: str
    kind: str
    confusable: bool  # made from another name

    def prompt(self, phrasing: str) -> str:
        """The prompt of one of PHRASINGS."""
        return KINDS[self.kind][self.relation][PHRASINGS.index(phrasing)].format(s=self.subject)


def _word(rng: random.Random) -> str:
    parts = [
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if last else "")
        for last in (False, True)
    ]
    return "".join(parts).capitalize()


def _name(rng: random.Random, kind: str, words: list[str]) -> str:
    word = rng.choice(words)
    if kind == "person":
        return f"{rng.choice(_FIRST)} {word}"
    if kind == "company":
        return f"{word} {rng.choice(_TRADES)}"
    if kind == "town":
        return rng.choice(_PLACES).format(word)
    return rng.choice(_GOODS).format(word, rng.randint(2, 99))


def _confusable(rng: random.Random, name: str, kind: str, words: list[str]) -> str:
    """Another name that is nearly this one."""
    if rng.random() < 0.5:
        at = rng.randrange(1, len(name))
        if name[at].isalpha() and name[at - 1] != " ":
            return name[:at] + rng.choice("aeiourstln") + name[at + 1 :]
    if kind == "company":
        return f"{name} {rng.choice(_BRANCHES)}"
    if kind == "person":
        return f"{name} {rng.choice(words)}"
    return f"{name} {rng.choice(['II', 'III', 'Junction', 'North', 'South', 'Park'])}"


def subjects(seed: int) -> Iterator[tuple[str, str, bool]]:
    """(name, kind, whether made from another name) without end and without repetition."""
    rng = random.Random(seed)
    words = sorted({_word(rng) for _ in range(4000)})
    recent: list[tuple[str, str]] = []
    used: set[str] = set()
    while True:
        confusable = bool(recent) and rng.random() < 1 / 3
        if confusable:
            base, kind = rng.choice(recent)
            name = _confusable(rng, base, kind, words)
        else:
            kind = rng.choice(list(KINDS))
            name = _name(rng, kind, words)
        if name in used:
            continue
        used.add(name)
        recent.append((name, kind))
        del recent[:-500]
        yield name, kind, confusable


def world(count: int, seed: int) -> list[WorldFact]:
    """`count` facts, two to six of each subject. A larger world begins with the smaller one of its seed."""
    rng = random.Random(seed + 1)
    made: list[WorldFact] = []
    for name, kind, confusable in subjects(seed):
        relations = list(KINDS[kind])
        chosen = sorted(rng.sample(relations, rng.randint(2, len(relations))))
        made += [
            WorldFact(name, relation, f"{_word(rng)} {_word(rng)}", kind, confusable) for relation in chosen
        ]
        if len(made) >= count:
            return made[:count]
    return made
