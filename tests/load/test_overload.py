"""More calls than the server takes: each is answered or told when to come back, and no namespace starves another."""

from __future__ import annotations

import asyncio
import queue
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from bench.load_calls import Caller, Outcome, Phase, open_loop, recovery
from interleaf.v1 import facts_pb2 as pb
from interleaf.v1 import inference_pb2
from tests.e2e.test_inference_service import save_tiny
from tests.http_calls import HTTP
from tests.serving import PARENT, Running, refusal, running, serving, stubs, taken_apart

SMALL = {"read": 16, "read_running": 8, "write": 4, "write_running": 2, "retry_seconds": 0.25}
NEVER = 1_000_000  # a revision that does not come


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("data")
    with running(folder, admission=SMALL, retrieval={"revision_wait_seconds": 60}) as made:
        yield made


def waiting_read(server: Running, namespace: str) -> Any:
    """Waits for a revision until its client ends it."""
    request = pb.ListFactsRequest(parent=f"namespaces/{namespace}", min_revision=NEVER)
    return server.facts.ListFacts.future(request, timeout=120)


def ended_badly(call: Any) -> Any:
    try:
        call.result()
    except grpc.RpcError as error:
        return taken_apart(error)
    raise AssertionError("the call was answered")


def test_a_noisy_namespace_leaves_room_for_a_quiet_one(server: Running) -> None:
    noisy, quiet = server.space("noisy"), server.space("quiet")
    calls = [waiting_read(server, "noisy") for _ in range(30)]
    # Seven of eight run, four of eight wait; the others are told at once.
    refused = _first_done(calls, 19)
    assert {(found.code, found.reason) for found in map(ended_badly, refused)} == {
        ("RESOURCE_EXHAUSTED", "TOO_BUSY")
    }
    assert all(ended_badly(call).retry_seconds >= 0.25 for call in refused)
    assert not server.facts.ListFacts(pb.ListFactsRequest(parent=quiet), timeout=60).facts
    again = refusal(lambda: server.facts.ListFacts(pb.ListFactsRequest(parent=noisy), timeout=60))
    assert again.reason == "TOO_BUSY"
    for call in calls:
        call.cancel()
    for _ in range(200):  # places come back as the server sees that the callers are gone
        if _answered(lambda: server.facts.ListFacts(pb.ListFactsRequest(parent=noisy), timeout=60)):
            return
    raise AssertionError("the places did not come back")


def _first_done(calls: list[Any], count: int) -> list[Any]:
    done: queue.Queue[Any] = queue.Queue()
    for call in calls:
        call.add_done_callback(done.put)
    return [done.get(timeout=120) for _ in range(count)]


def _answered(call: Any) -> bool:
    try:
        call()
    except grpc.RpcError as error:
        assert taken_apart(error).reason == "TOO_BUSY"  # noqa: PT017
        return False
    return True


def test_every_call_over_the_limit_is_answered_or_told_when_to_come_back(server: Running) -> None:
    async def burst() -> Phase:
        async with Caller(server.address) as caller:
            await caller.space("burst")

            async def send(number: int, timeout: float) -> Any:
                fact = pb.Fact(subject=f"S{number}", relation="r", object="o")
                return await caller.create(number, timeout, "burst", fact)

            return await open_loop("burst", send, 2000.0, 0.1, random.Random(0), 120.0)

    phase = asyncio.run(burst())
    assert phase.others == {}
    assert len(phase.of("ok")) + len(phase.of("refused")) == len(phase.outcomes) > 100
    stored = server.facts.ListFacts(pb.ListFactsRequest(parent="namespaces/burst", page_size=1000)).facts
    assert len(stored) == len(phase.of("ok"))  # what was refused was not done
    server.add("after", "the", "burst", parent="namespaces/burst")


def test_who_goes_away_frees_the_model_and_the_turn(tmp_path: Path) -> None:
    """By cancelling, by its deadline, and over HTTP by hanging up."""
    engine = save_tiny(tmp_path)
    long = {
        "prompt": "x",
        "retrieval": {"disabled": True},
        "sampling": {"max_tokens": 1000},  # nothing is drawn, or it might be the end of the text
    }
    with serving(tmp_path / "data", engine=engine, http=HTTP) as server:
        app = server._app
        assert app is not None
        assert app.parts.model is not None
        model = app.parts.model.engine
        with grpc.insecure_channel(server.address) as channel:
            inference = stubs("", "", channel).inference
            calls = [
                inference.Generate.future(inference_pb2.GenerateRequest(parent=PARENT, **long))
                for _ in range(6)
            ]
            short = inference.Generate.future(
                inference_pb2.GenerateRequest(parent=PARENT, **long), timeout=0.5
            )
            assert ended_badly(short).code in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
            for call in calls:
                call.cancel()
            assert _soon(lambda: model.load == (0, 0))
            with httpx2.Client(base_url=server.http_address, trust_env=False, timeout=0.5) as http:
                body = {**long, "sampling": {"maxTokens": 1000}}
                with pytest.raises(httpx2.TimeoutException):
                    http.post("/v1/namespaces/default:generate", json=body)
            assert _soon(lambda: model.load == (0, 0))
            answer = inference.Generate(
                inference_pb2.GenerateRequest(
                    parent=PARENT, prompt="x", retrieval={"disabled": True}, sampling={"max_tokens": 2}
                ),
                timeout=120,
            )
            assert answer.generated_tokens >= 1


def _soon(condition: Callable[[], bool]) -> bool:
    for _ in range(12_000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def outcome(due: float, seconds: float, how: str = "ok") -> Outcome:
    return Outcome(due, due, due + seconds, how)


def test_a_phase_counts_what_users_saw() -> None:
    outcomes = (
        outcome(100.0, 0.1),  # came before the server was full: neither does this one count
        outcome(104.0, 0.3),
        Outcome(101.0, 101.5, 101.52, "refused"),
        outcome(109.9, 1.0),  # came too late to count as goodput
        outcome(102.0, 2.0, "DEADLINE_EXCEEDED"),
    )
    phase = Phase("x", 10.0, outcomes, 100.0)
    assert phase.goodput == pytest.approx(1 / (10 * 2 / 3))
    assert phase.answered == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert phase.percentile(50) == pytest.approx(300)
    assert phase.refused_ms(99) == pytest.approx(20)
    assert phase.others == {"DEADLINE_EXCEEDED": 1}


def test_a_load_that_the_server_can_take_is_goodput_however_long_an_answer_takes() -> None:
    steady = tuple(outcome(100.0 + at / 3, 4.0) for at in range(90))
    assert Phase("x", 30.0, steady, 100.0).goodput == pytest.approx(3.0)


def test_recovery_is_when_answers_are_as_they_were() -> None:
    slow = [outcome(100.0 + number, 1.0) for number in range(3)]
    fast = [outcome(103.0 + number, 0.1) for number in range(5)]
    assert recovery(Phase("x", 10.0, (*slow, *fast), 100.0), 100.1) == pytest.approx(3.0)
    assert recovery(Phase("x", 10.0, tuple(slow), 100.0), 100.1) is None
