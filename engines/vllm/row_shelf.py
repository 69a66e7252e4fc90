"""Which facts the engine's process holds, as the service knows it: what must be sent, what may be dropped.

A row is named by its content: whatever has a name once, has it for ever. Rows in use by running requests stay; of
the others those that were used longest ago go first when there is no room.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from engines.contract import InjectedFact, KVTokens
from engines.errors import EngineBusy, InvalidRequest


@dataclass
class _Row:
    tokens: KVTokens
    users: int = 0
    known_as: list[KVTokens] = field(default_factory=list)


@dataclass(frozen=True)
class Loan:
    """What a request uses, and what must be told to the process before it: drop these, put those."""

    rows: tuple[str, ...]
    drop: tuple[str, ...]
    put: tuple[tuple[str, KVTokens], ...]


class RowShelf:
    """Used under its owner's lock."""

    def __init__(self, slots: int, per_request: int) -> None:
        self._slots, self._per_request, self._used = slots, min(slots, per_request), 0
        self._rows: OrderedDict[str, _Row] = OrderedDict()  # used longest ago first
        self._names: dict[int, str] = {}  # by object; rows keep the objects alive

    def lend(self, facts: Sequence[InjectedFact]) -> Loan:
        """Counts a user of each fact. InvalidRequest when they could never fit, EngineBusy when others' are in use."""
        asked = sum(fact.tokens.count for fact in facts)
        if asked > self._per_request:
            raise InvalidRequest("facts", f"{asked} tokens; a request may see {self._per_request}")
        rows = [(self._name(fact.tokens), fact.tokens) for fact in facts]
        missing = {name: tokens for name, tokens in rows if name not in self._rows}
        wanted = {name for name, _ in rows}
        needed = sum(tokens.count for tokens in missing.values())
        drop = self._droppable(self._used + needed - self._slots, wanted)
        for name in drop:
            self.discard(name)
        for name, tokens in missing.items():
            self._rows[name] = _Row(tokens)
            self._used += tokens.count
        for name, tokens in rows:
            row = self._rows[name]
            row.users += 1
            if id(tokens) not in self._names:
                self._names[id(tokens)] = name
                row.known_as.append(tokens)
            self._rows.move_to_end(name)
        return Loan(tuple(name for name, _ in rows), tuple(drop), tuple(missing.items()))

    def give_back(self, rows: Sequence[str]) -> None:
        """A request has ended."""
        for name in rows:
            if name in self._rows:
                self._rows[name].users -= 1

    def discard(self, name: str) -> None:
        """The process does not have it."""
        row = self._rows.pop(name, None)
        if row is not None:
            self._used -= row.tokens.count
            for tokens in row.known_as:
                del self._names[id(tokens)]

    def forget(self) -> None:
        """The process is gone, and its requests with it."""
        self._rows.clear()
        self._names.clear()
        self._used = 0

    def _droppable(self, slots: int, wanted: set[str]) -> list[str]:
        drop: list[str] = []
        for name, row in self._rows.items():
            if slots <= 0:
                break
            if not row.users and name not in wanted:
                drop.append(name)
                slots -= row.tokens.count
        if slots > 0:
            raise EngineBusy("the facts of running requests take all the room: try again later")
        return drop

    def _name(self, tokens: KVTokens) -> str:
        return self._names.get(id(tokens)) or name_of(tokens)


def name_of(tokens: KVTokens) -> str:
    """Names a fact version by everything that it is."""
    digest = hashlib.sha256(
        repr((tokens.key, tokens.encoder, tokens.said, tuple(tokens.keys.shape))).encode()
    )
    for part in (tokens.keys, tokens.values):
        digest.update(str(part.dtype).encode())
        digest.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
