"""Many tenants, one server: the same questions at the same time, and each has a secret of its own.

    python -m tests.security.tenants --tenants 50 --generations 10000

Each tenant's facts have the same subjects and relations as everybody's, and an object that names the tenant. What is
looked for in each answer: a citation of another namespace's fact, an object of another tenant's, and any difference
from the answer that the tenant got when it was alone. The model is a tiny random one with an untrained encoder, whose
facts draw attention: what it says depends on the facts that it sees, and means nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import string
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import grpc

from interleaf.v1 import inference_pb2 as pb
from interleaf.v1 import namespaces_pb2
from service.app import Parts
from tests.e2e.test_inference_service import save_tiny
from tests.serving import Running, serving, stubs

PEOPLE = ("Anna Keller", "Tom Berg", "Mirela Vantongeren")
IN_FLIGHT = 16
SAME = 1e-5  # of a share of attention: rows of a batch are added up in another order


def canary(tenant: int) -> str:
    """No two begin alike: so that their facts' tokens differ as much as can be."""
    letters = random.Random(tenant).choices(string.ascii_uppercase, k=8)
    return f"{''.join(letters)}{tenant:03d}"


@dataclass
class Leaks:
    """What must be empty, in sentences."""

    citations: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    generations: int = 0

    def all(self) -> list[str]:
        return [*self.citations, *self.objects, *self.answers]


@dataclass(frozen=True)
class Said:
    """An answer, and what its facts drew: secrets differ behind their first token only, and a random model does not
    come so far as to say more of them."""

    text: str
    attention: tuple[float, ...]

    @classmethod
    def of(cls, answer: Any) -> Said:
        return cls(answer.text, tuple(citation.attention for citation in answer.citations))

    def equals(self, other: Said) -> bool:
        return self.text == other.text and all(
            math.isclose(mine, theirs, abs_tol=SAME)
            for mine, theirs in zip_longest(self.attention, other.attention, fillvalue=math.inf)
        )


@dataclass
class Tenants:
    """The tenants of a running server."""

    server: Running
    parts: Parts
    count: int
    alone: dict[tuple[int, str], Said] = field(default_factory=dict)

    def prepare(self) -> None:
        """Namespaces and facts; then every question once, with nobody else there."""
        for tenant in range(self.count):
            space = self.server.space(f"tenant-{tenant}")
            for person in PEOPLE:
                made = self.server.add(person, "employer", canary(tenant), parent=space)
            self.wait(space, made.namespace_revision)
        for tenant in range(self.count):
            for person in PEOPLE:
                self.alone[tenant, person] = Said.of(self.ask(tenant, person))

    def wait(self, space: str, revision: int) -> None:
        request = namespaces_pb2.GetNamespaceRequest(name=space)
        while self.server.namespaces.GetNamespace(request).searchable_revision < revision:
            time.sleep(0.02)

    def ask(self, tenant: int, person: str) -> Any:
        request = pb.GenerateRequest(
            parent=f"namespaces/tenant-{tenant}",
            prompt=f"Who is the employer of {person}?",
            sampling={"max_tokens": 4},
        )
        return self.server.inference.Generate(request, timeout=600)

    def look(self, generations: int, seed: int = 0) -> Leaks:
        """So many questions of tenants by chance, many at a time."""
        rng, leaks = random.Random(seed), Leaks()
        asked = [(rng.randrange(self.count), rng.choice(PEOPLE)) for _ in range(generations)]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for (tenant, person), answer in zip(
                asked, pool.map(lambda pair: self.ask(*pair), asked), strict=True
            ):
                leaks.generations += 1
                self._judge(leaks, tenant, person, answer)
        return leaks

    def _judge(self, leaks: Leaks, tenant: int, person: str, answer: Any) -> None:
        mine = f"namespaces/tenant-{tenant}/"
        if not answer.citations:
            leaks.answers.append(f"tenant {tenant} was answered without its fact")
        for citation in answer.citations:
            if not citation.fact.startswith(mine):
                leaks.citations.append(f"tenant {tenant} was cited {citation.fact}")
            if citation.object != canary(tenant):
                leaks.objects.append(f"tenant {tenant} was shown {citation.object}")
        if not Said.of(answer).equals(self.alone[tenant, person]):
            leaks.answers.append(f"tenant {tenant} was answered otherwise than alone")


@contextmanager
def tenants(folder: Path, count: int) -> Iterator[Tenants]:
    """A server with tenants, and its inside, for taking out what protects them."""
    engine = {**save_tiny(folder / "engine"), "max_batch": 8, "max_queue": 256}
    with serving(folder / "data", engine=engine, compile={"background": False}) as server:
        if server._app is None:
            raise RuntimeError("the server does not run")
        with grpc.insecure_channel(server.address) as channel:
            made = Tenants(stubs(server.address, "", channel), server._app.parts, count)
            made.prepare()
            yield made


def main() -> int:
    parser = argparse.ArgumentParser(prog="tenants")
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--generations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, tenants(Path(folder), arguments.tenants) as there:
        leaks = there.look(arguments.generations, arguments.seed)
    for sentence in leaks.all()[:20]:
        print(sentence, file=sys.stderr)
    found = {
        "tenants": arguments.tenants,
        "generations": leaks.generations,
        "seed": arguments.seed,
        "foreign_citations": len(leaks.citations),
        "foreign_objects": len(leaks.objects),
        "changed_answers": len(leaks.answers),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(found))
    return int(bool(leaks.all()))


if __name__ == "__main__":
    sys.exit(main())
