"""Every write is sent several times with one `request_id`, at once and after a restart: one effect, one answer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from interleaf.v1 import facts_pb2 as pb
from interleaf.v1 import namespaces_pb2
from tests.serving import PARENT, Running, running

COPIES = 4
# `make test-retries RETRIES=100000` is the long one.
RETRIES = int(os.environ.get("RETRIES", "1000"))
IN_FLIGHT = 32
ADMISSION = {"admission": {"wait_seconds": 600.0}}


def send(server: Running, requests: Sequence[pb.CreateFactRequest]) -> list[bytes]:
    """All answers, as bytes, in order."""

    def one(request: pb.CreateFactRequest) -> bytes:
        answer: Any = server.facts.CreateFact(request, timeout=600)
        return bytes(answer.SerializeToString(deterministic=True))

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return list(pool.map(one, requests))


def test_a_retry_has_one_effect_and_the_same_answer(tmp_path: Path) -> None:
    count = max(1, RETRIES // (COPIES + 1))
    wanted = [
        pb.CreateFactRequest(
            parent=PARENT,
            fact=pb.Fact(subject=f"Subject {number}", relation="r", object="o"),
            request_id=str(uuid.uuid4()),
        )
        for number in range(count)
    ]
    with running(tmp_path, **ADMISSION) as server:
        answers = send(server, [request for request in wanted for _ in range(COPIES)])
    groups = [answers[start : start + COPIES] for start in range(0, len(answers), COPIES)]
    assert all(len(set(group)) == 1 for group in groups)
    assert len(set(answers)) == count
    with running(tmp_path, **ADMISSION) as server:
        assert send(server, wanted) == [group[0] for group in groups]
        space = server.namespaces.GetNamespace(namespaces_pb2.GetNamespaceRequest(name=PARENT))
        assert (space.fact_count, space.revision) == (count, count)
