"""Those who write and those who read while servers fall."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interleaf.v1 import facts_pb2
from interleaf.v1 import inference_pb2 as pb
from tests.postgres.besieged import TENANTS, Crew, space
from tests.serving import Running

_TIMEOUT = 30.0
_KINDS, _WEIGHTS = ("create", "update", "delete"), (6, 3, 1)
_ASKED = 0.25  # of what readers do: the model is asked


@dataclass(frozen=True)
class State:
    """A fact after what was acknowledged last."""

    name: str
    revision: int
    object: str
    live: bool
    namespace_revision: int


class Writer:
    """One operation at a time, on facts of its own; the same one again until it is acknowledged."""

    def __init__(self, crew: Crew, number: int, seed: int) -> None:
        self.tenant, self._family = number % TENANTS, number // TENANTS
        self._crew, self._random = crew, random.Random(f"writer/{seed}/{number}")
        self.states: dict[str, State] = {}
        self.latest = ""
        self.lock = threading.Lock()  # a reader sees a state whole
        self.done: Counter[str] = Counter()
        self.seconds: list[float] = []

    @property
    def longest(self) -> float:
        return max(self.seconds, default=0.0)

    def run(self) -> None:
        try:
            while not self._crew.over.is_set():
                self._write()
        except BaseException as error:
            self._crew.failed(error)

    def _write(self) -> None:
        rng, request = self._random, str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        live = [subject for subject, state in self.states.items() if state.live]
        (kind,) = rng.choices(_KINDS, _WEIGHTS) if live else ("create",)
        # Tenants have subjects of the same names, and objects that say whose they are.
        subject = f"Person {self._family} {len(self.states)}" if kind == "create" else rng.choice(live)
        count = self.states[subject].revision + 1 if kind != "create" else 1
        spoken = f"secret of tenant {self.tenant} {count}"
        started = time.monotonic()
        fact = self._crew.call(rng, self._operation(kind, subject, spoken, request))
        self.seconds.append(time.monotonic() - started)
        if fact.revision != count:
            self._crew.problems.append(f"{kind} of {subject} gave revision {fact.revision}, not {count}")
        if kind == "delete":
            spoken = self.states[subject].object
        with self.lock:
            self.states[subject] = State(fact.name, count, spoken, kind != "delete", fact.namespace_revision)
            self.latest = subject
        self.done["write"] += 1

    def _operation(self, kind: str, subject: str, spoken: str, request: str) -> Callable[[Running], Any]:
        if kind == "create":
            new = facts_pb2.Fact(subject=subject, relation="employer", object=spoken)
            make = facts_pb2.CreateFactRequest(parent=space(self.tenant), fact=new, request_id=request)
            return lambda server: server.facts.CreateFact(make, timeout=_TIMEOUT)
        name = self.states[subject].name
        if kind == "update":
            change = facts_pb2.UpdateFactRequest(
                fact=facts_pb2.Fact(name=name, object=spoken),
                update_mask={"paths": ["object"]},
                request_id=request,
            )
            return lambda server: server.facts.UpdateFact(change, timeout=_TIMEOUT)
        remove = facts_pb2.DeleteFactRequest(name=name, request_id=request)
        return lambda server: server.facts.DeleteFact(remove, timeout=_TIMEOUT)


class Reader:
    """Asks any server for what any writer was told last."""

    def __init__(self, crew: Crew, writers: list[Writer], number: int, seed: int) -> None:
        self._crew, self._writers = crew, writers
        self._random = random.Random(f"reader/{seed}/{number}")
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        try:
            while not self._crew.over.is_set():
                self._read()
        except BaseException as error:
            self._crew.failed(error)

    def _read(self) -> None:
        writer = self._random.choice(self._writers)
        with writer.lock:
            subject = writer.latest
            before = writer.states.get(subject)
        if before is None:
            time.sleep(0.05)
            return
        asks = self._random.random() < _ASKED
        parent, query = space(writer.tenant), f"Who is the employer of {subject}?"
        found = self._ask(parent, query, before) if asks else self._search(parent, query, before)
        self.done["ask" if asks else "search"] += 1
        with writer.lock:
            after = writer.states[subject]
        self.judge(writer, subject, before, after, found)

    def _search(self, parent: str, query: str, known: State) -> list[tuple[str, str, str, int]]:
        request = facts_pb2.SearchFactsRequest(
            parent=parent, query=query, top_k=3, min_revision=known.namespace_revision
        )
        answer = self._crew.call(
            self._random, lambda server: server.facts.SearchFacts(request, timeout=_TIMEOUT)
        )
        return [(hit.fact.name, hit.fact.subject, hit.fact.object, hit.fact.revision) for hit in answer.hits]

    def _ask(self, parent: str, query: str, known: State) -> list[tuple[str, str, str, int]]:
        request = pb.GenerateRequest(
            parent=parent,
            prompt=query,
            sampling={"max_tokens": 4},
            retrieval={"min_revision": known.namespace_revision},
        )
        answer = self._crew.call(
            self._random, lambda server: server.inference.Generate(request, timeout=_TIMEOUT)
        )
        return [(item.fact, item.subject, item.object, item.revision) for item in answer.citations]

    def judge(
        self,
        writer: Writer,
        subject: str,
        before: State,
        after: State,
        found: list[tuple[str, str, str, int]],
    ) -> None:
        problems = self._crew.problems
        for name, _, spoken, _ in found:
            mine = f"secret of tenant {writer.tenant} "
            if not (name.startswith(f"{space(writer.tenant)}/") and spoken.startswith(mine)):
                problems.append(f"foreign: tenant {writer.tenant} was shown {name} ({spoken})")
        own = [revision for name, _, _, revision in found if name == before.name]
        if any(revision < before.revision for revision in own):
            problems.append(f"stale: {before.name} at revision {own}, {before.revision} was acknowledged")
        # Later writes may have come in between; what was deleted before the question must not be found at all.
        if before == after and bool(own) is not before.live:
            problems.append(
                f"{'unread' if before.live else 'undead'}: {subject} of tenant {writer.tenant}: {found}"
            )
