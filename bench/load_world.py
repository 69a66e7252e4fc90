"""What is asked under load: invented people and where they work."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from bench.load_calls import Caller
from interleaf.v1 import facts_pb2
from kb_store.model import Content

SPACE, NOISY = "quiet", "noisy"
_FIRST = [
    "Mirela",
    "Anton",
    "Josefa",
    "Tamsin",
    "Oyelaran",
    "Bente",
    "Kasimir",
    "Leocadia",
    "Radu",
    "Ingeborg",
    "Tariq",
    "Wilhelmina",
]
_LAST = [
    "Vantongeren",
    "Halloway",
    "Brzezicki",
    "Okonjo",
    "Lindqvist",
    "Maragos",
    "Teixeira",
    "Dunmore",
    "Szabados",
    "Achterberg",
]
_PLACES = ["Observatory", "Tram Museum", "Seed Bank", "Botanical Garden", "Ferry Company", "Map Library"]
_TOWNS = [
    "Halvorsen",
    "Lisbon",
    "Tampere",
    "Gdansk",
    "Utrecht",
    "Bergen",
    "Leiden",
    "Coimbra",
    "Pilsen",
    "Turku",
]
_PATIENCE = 120.0


@dataclass(frozen=True)
class World:
    """Facts; `tokens`: the length of an answer."""

    facts: tuple[Content, ...]
    tokens: int

    @classmethod
    def make(cls, count: int, tokens: int, rng: random.Random) -> World:
        """Every person once."""
        people = [f"{first} {last}" for first in _FIRST for last in _LAST]
        rng.shuffle(people)
        places = [f"the {town} {place}" for town in _TOWNS for place in _PLACES]
        return cls(
            tuple(Content(person, "employer", rng.choice(places)) for person in people[:count]), tokens
        )

    def question(self, content: Content) -> str:
        """To be continued with the object."""
        return f"{content.subject} works for"

    def some(self, count: int, turn: int) -> list[Content]:
        """The next ones, around and around."""
        return [self.facts[(turn * count + index) % len(self.facts)] for index in range(count)]

    async def store(self, caller: Caller, *spaces: str) -> None:
        """Puts all facts into namespaces."""
        for space in spaces or (SPACE,):
            await caller.space(space)
            said = [
                facts_pb2.Fact(subject=fact.subject, relation=fact.relation, object=fact.object)
                for fact in self.facts
            ]
            await asyncio.gather(
                *(caller.create(number, _PATIENCE, space, fact) for number, fact in enumerate(said))
            )
            await caller.searchable(space, len(said))
