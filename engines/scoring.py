"""What waits to be scored: continuations of any requests, put together in one forward."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from engines.continuations import Pair, PairScore
from engines.contract import InjectedFact

_LOGIT_ROWS = 512  # positions with logits in one forward: each is as wide as the vocabulary


@dataclass(frozen=True, slots=True)
class Unit:
    """One continuation, with the facts that it sees."""

    pair: Pair
    facts: Sequence[InjectedFact]
    original: bool  # with the unedited weights
    future: Future[PairScore]
    first: bool  # of those that were asked for together


class ScoringQueue:
    """In order. Not synchronised: the engine does that."""

    def __init__(self, rows: int, tokens: int) -> None:
        self._rows, self._tokens = rows, tokens
        self._units: deque[Unit] = deque()

    def __len__(self) -> int:
        return len(self._units)

    @property
    def begun(self) -> bool:
        """Whether the next one belongs to those of which some were taken."""
        return bool(self._units) and not self._units[0].first

    def add(self, units: Sequence[Unit]) -> None:
        """At the end."""
        self._units.extend(units)

    def take(self, *, begun: bool = False) -> list[Unit]:
        """The next ones that fit one forward, with the same weights; at least one where there are any.

        `begun`: only the rest of those of which some were taken.
        """
        taken: list[Unit] = []
        longest = tail = 0
        while self._units and len(taken) < self._rows:
            unit = self._units[0]
            if begun and unit.first:
                break
            head, said = unit.pair
            length, width = max(longest, len(head) + len(said)), max(tail, len(said) + 1)
            rows = len(taken) + 1
            if taken and (
                unit.original != taken[0].original
                or rows * length > self._tokens
                or rows * width > _LOGIT_ROWS
            ):
                break
            longest, tail = length, width
            taken.append(self._units.popleft())
        return [unit for unit in taken if unit.future.set_running_or_notify_cancel()]

    def clear(self) -> list[Unit]:
        """All that still wait."""
        left = list(self._units)
        self._units.clear()
        return left
