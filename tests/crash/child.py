"""The writer that is killed: several lanes write as fast as they can, and report on stdout.

It ends only by being killed. Run as a module, it is the nursery of writers: Python takes longer to start than most of
them live, so a process that has imported everything forks one for each `FOLDER LIFE SEED` line (JSON) that it reads,
and says around its reports `B PID` and `E EXIT_CODE`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

from kb_store.errors import AlreadyExists
from kb_store.model import ConflictPolicy, Context, Fact
from kb_store.sql import SqlStore
from tests.crash.ledger import NS, Operation
from tests.crash.stand import stand

LANES = 4
_KINDS = ("create", "batch", "update", "delete", "undelete", "import")
_WEIGHTS = (6, 2, 4, 2, 1, 2)
# A pipe takes this much in one piece (POSIX: at least 512, Linux: 4096).
_LONGEST_LINE = 4096


def report(line: bytes) -> None:
    if os.write(sys.stdout.fileno(), line) != len(line) or len(line) > _LONGEST_LINE:
        raise RuntimeError("a report was torn")


class Lane:
    """One client: one operation at a time, each on facts of its own."""

    def __init__(self, store: SqlStore, life: int, number: int, seed: int, facts: list[Fact]) -> None:
        self._store = store
        self._life = life
        self._number = number
        self._random = random.Random(f"{seed}/{life}/{number}")
        self._live = [fact.fact_id for fact in facts if not fact.deleted]
        self._deleted = [fact.fact_id for fact in facts if fact.deleted]
        self._items = {fact.fact_id: (fact.content.subject, fact.content.object) for fact in facts}
        self._count = 0

    def run(self) -> None:
        try:
            self._work()
        except BaseException:
            # The parent takes any end but its own kill for a failure.
            traceback.print_exc()
            os._exit(1)

    def _work(self) -> None:
        while True:
            operation = self._next()
            report(operation.line())
            self._perform(operation)
            report(f"A {self._number}\n".encode())
            self._note(operation)

    def _perform(self, operation: Operation) -> None:
        if operation.kind == "import":
            future = self._store.import_rows(
                NS, operation.import_id, operation.rows(), ConflictPolicy.FAIL, operation.context
            )
            if future.result().failures:
                raise RuntimeError("an import row was refused")
        else:
            self._store.write(operation.mutations(), operation.context)

    def _next(self) -> Operation:
        (kind,) = self._random.choices(_KINDS, _WEIGHTS)
        if kind in ("update", "delete") and self._live:
            fact_id = self._random.choice(self._live)
            subject, object_ = self._items[fact_id]
            if kind == "update":
                self._count += 1
                object_ = f"object {self._life}.{self._count}"
                # A new subject has a new vector, a new object has not.
                if self._random.random() < 0.5:
                    subject = f"{subject.split(' as ')[0]} as {self._life}.{self._count}"
            return self._operation(kind, [(fact_id, subject, object_)])
        if kind == "undelete" and self._deleted:
            fact_id = self._random.choice(self._deleted)
            return self._operation(kind, [(fact_id, *self._items[fact_id])])
        number = {"import": self._random.randint(1, 20), "batch": self._random.randint(2, 8)}.get(kind, 1)
        return self._operation(
            "import" if kind == "import" else "create", [self._new() for _ in range(number)]
        )

    def _new(self) -> tuple[str, str, str]:
        self._count += 1
        name = f"{self._number}-{self._life}-{self._count}"
        return name, f"Subject {name}", f"object {name}"

    def _operation(self, kind: str, items: list[tuple[str, str, str]]) -> Operation:
        self._count += 1
        return Operation(f"{self._life}-{self._number}-{self._count}", self._number, kind, tuple(items))

    def _note(self, operation: Operation) -> None:
        for fact_id, subject, object_ in operation.items:
            self._items[fact_id] = (subject, object_)
            if operation.kind == "delete":
                self._live.remove(fact_id)
                self._deleted.append(fact_id)
            elif operation.kind != "update":
                self._live.append(fact_id)
                if operation.kind == "undelete":
                    self._deleted.remove(fact_id)


def live(folder: Path, life: int, seed: int) -> None:
    with stand(folder) as (store, _index, _indexer):
        with suppress(AlreadyExists):
            store.create_namespace(NS, "", frozenset(), Context())
        facts: dict[int, list[Fact]] = {number: [] for number in range(LANES)}
        for fact in store.list_facts(NS, limit=100_000, show_deleted=True).facts:
            facts[int(fact.fact_id.partition("-")[0])].append(fact)
        report(b"R ready\n")
        lanes = [Lane(store, life, number, seed, facts[number]) for number in range(LANES)]
        threads = [threading.Thread(target=lane.run, daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    for line in sys.stdin:
        folder, life, seed = json.loads(line)
        process = os.fork()
        if process == 0:
            try:
                live(Path(folder), life, seed)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        report(f"B {process}\n".encode())
        _, status = os.waitpid(process, 0)
        report(f"E {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
