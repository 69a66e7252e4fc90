"""What the writer was asked to do and what it acknowledged: the truth that a crash may not change.

The child prints a line `S` with each operation before it submits it, and a line `A` once the store has
acknowledged it. Each lane has at most one operation under way, and no two lanes share a fact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from kb_store.model import (
    Content,
    Context,
    CreateFact,
    DeleteFact,
    FactMutation,
    ImportRow,
    UndeleteFact,
    UpdateFact,
)

NS = "crash"
RELATION = "value"


class State(NamedTuple):
    """A fact as a reader sees it."""

    revision: int
    subject: str
    object: str
    live: bool


@dataclass(frozen=True)
class Operation:
    """kind: create, update, delete, undelete or import; items: (fact_id, subject, object)."""

    request_id: str
    lane: int
    kind: str
    items: tuple[tuple[str, str, str], ...]

    def line(self) -> bytes:
        return b"S " + json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, text: str) -> Operation:
        values = json.loads(text)
        items = tuple((fact_id, subject, object_) for fact_id, subject, object_ in values.pop("items"))
        return cls(items=items, **values)

    @property
    def context(self) -> Context:
        return Context(principal=f"lane-{self.lane}", request_id=self.request_id)

    @property
    def import_id(self) -> str:
        return f"lane-{self.lane}"

    def mutations(self) -> list[FactMutation]:
        return [self._mutation(*item) for item in self.items]

    def _mutation(self, fact_id: str, subject: str, object_: str) -> FactMutation:
        if self.kind == "create":
            return CreateFact(NS, Content(subject, RELATION, object_), fact_id)
        if self.kind == "update":
            return UpdateFact(NS, fact_id, {"subject": subject, "object": object_})
        if self.kind == "delete":
            return DeleteFact(NS, fact_id)
        return UndeleteFact(NS, fact_id)

    def rows(self) -> list[ImportRow]:
        return [
            ImportRow(line, Content(subject, RELATION, object_), fact_id)
            for line, (fact_id, subject, object_) in enumerate(self.items, start=1)
        ]


@dataclass
class Ledger:
    """States after everything acknowledged, and what was under way when the writer died."""

    states: dict[str, State] = field(default_factory=dict)
    imported: dict[str, int] = field(default_factory=dict)
    under_way: dict[int, Operation] = field(default_factory=dict)
    acknowledged: int = 0

    def read(self, lines: Iterable[bytes]) -> None:
        """The child's report of one life. A line is written whole or not at all."""
        for line in lines:
            mark, _, rest = line.decode().rstrip("\n").partition(" ")
            if mark == "S":
                operation = Operation.parse(rest)
                self.under_way[operation.lane] = operation
            elif mark == "A":
                lane = int(rest)
                self.commit(self.under_way.pop(lane))
                self.acknowledged += 1

    def commit(self, operation: Operation) -> None:
        """The operation has happened."""
        self.states.update(self.outcome(operation))
        if operation.kind == "import":
            key = operation.import_id
            self.imported[key] = self.imported.get(key, 0) + len(operation.items)

    def outcome(self, operation: Operation) -> dict[str, State]:
        """The facts of an operation as they are once it has happened."""
        result: dict[str, State] = {}
        for fact_id, subject, object_ in operation.items:
            before = self.states.get(fact_id)
            revision = before.revision + 1 if before else 1
            result[fact_id] = State(revision, subject, object_, operation.kind != "delete")
        return result
