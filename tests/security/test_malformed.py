"""10,000 messages that nobody should send, over every method: whatever comes, it is the sender's mistake.

Statuses may be OK or any refusal, never INTERNAL or UNKNOWN; and afterwards the server answers as before.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from pathlib import Path
from typing import Any

import grpc
import pytest

from interleaf.v1 import facts_pb2 as pb
from tests.security.mutations import Mutator
from tests.serving import PARENT, Running, running
from tests.unit.service.descriptors import METHODS

# `make test-malformed MESSAGES=1000000 SEED=7` is the long one.
MESSAGES = int(os.environ.get("MESSAGES", "10000"))
IN_FLIGHT = 48
RESTORE_EVERY = 200
SEED = int(os.environ.get("MUTATION_SEED", "20261121"))
SECONDS = 30.0
ENDLESS = {"/interleaf.v1.Monitor/WatchInjections": 0.2}  # calls that end when the caller has seen enough
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}


class Sender:
    """Keeps many calls in flight on one channel and collects how they end."""

    def __init__(self, server: Running) -> None:
        self._channel = server.channel
        self._flying: deque[tuple[str, bytes, Any]] = deque()
        self.codes: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []

    def send(self, method: str, messages: list[bytes]) -> None:
        found, seconds = METHODS[method], ENDLESS.get(method, SECONDS)
        if found.client_streaming:
            call = self._channel.stream_stream(method)(iter(messages), timeout=seconds)
        elif found.server_streaming:
            call = self._channel.unary_stream(method)(messages[0], timeout=seconds)
        else:
            call = self._channel.unary_unary(method).future(messages[0], timeout=seconds)
        self._flying.append((method, messages[-1], call))
        while len(self._flying) > IN_FLIGHT:
            self._collect()

    def finish(self) -> None:
        while self._flying:
            self._collect()

    def _collect(self) -> None:
        method, message, call = self._flying.popleft()
        if METHODS[method].server_streaming:
            try:
                for _ in call:
                    pass
            except grpc.RpcError:
                pass
        code = call.code()  # waits
        self.codes[(method, code.name)] += 1
        if code in FAULTS:
            self.faults.append(f"{method} {code.name} {call.details()} for {message[:300]!r}")


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with running(tmp_path, retrieval={"revision_wait_seconds": 0.01}, deadlines={"operation": 0.2}) as made:
        yield made


def restore(server: Running) -> None:
    """Some of the messages are good enough to delete what the others speak of."""
    with contextlib.suppress(grpc.RpcError):
        server.space("default")
    with contextlib.suppress(grpc.RpcError):
        server.add("Anna Keller", "employer", "Nordlicht Werft", fact_id="known")
    with contextlib.suppress(grpc.RpcError):
        server.facts.UndeleteFact(pb.UndeleteFactRequest(name=f"{PARENT}/facts/known"))


def test_malformed_messages_are_never_the_servers_fault(server: Running) -> None:
    mutator, sender = Mutator(SEED), Sender(server)
    methods = sorted(METHODS)
    for number in range(MESSAGES):
        if number % RESTORE_EVERY == 0:
            restore(server)
        method = methods[number % len(methods)]
        found = METHODS[method]
        count = 1 + number % 3 if found.client_streaming else 1
        sender.send(method, [mutator.request(found.input_type) for _ in range(count)])
    sender.finish()
    assert sender.faults == []
    assert sum(sender.codes.values()) == MESSAGES
    for method in methods:  # every method refused something, and was got into
        codes = {code for name, code in sender.codes if name == method}
        assert "INVALID_ARGUMENT" in codes, method
        assert codes - {"INVALID_ARGUMENT"}, method
    assert server.add("still", "there", "yes").uid
