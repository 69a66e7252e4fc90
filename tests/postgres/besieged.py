"""Two servers that are killed and come back at the same address, and calls that go to whichever answers."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from tests.postgres.replica_process import ReplicaProcess, replica
from tests.serving import Running

TENANTS = 4
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
_TIMEOUT, _PAUSE = 30.0, 0.05
_PATIENCE = 120.0  # no call may need longer, on a busy machine too


def space(tenant: int) -> str:
    return f"namespaces/tenant-{tenant}"


class Servers:
    """Two of them. Each keeps its port over all its lives, as behind a load balancer."""

    def __init__(self, folder: Path, url: str, engine: dict[str, Any]) -> None:
        self._folder, self._url, self._engine = folder, url, engine
        self._ports = [_free_port(), _free_port()]
        self._lives: list[tuple[ExitStack, ReplicaProcess]] = []

    def __enter__(self) -> Servers:
        for place in range(2):
            self._lives.append(self._start(place))
        return self

    def __exit__(self, *error: object) -> None:
        for undo, _ in self._lives:
            undo.close()

    def pick(self, rng: random.Random) -> Running:
        """One of them, dead or alive."""
        return rng.choice(self._lives)[1].stubs

    def all(self) -> list[Running]:
        return [life.stubs for _, life in self._lives]

    def kill(self, place: int) -> float:
        """-9, and a new life; seconds until it served."""
        undo, life = self._lives[place]
        started = time.monotonic()
        life.kill()
        born = self._start(place)
        self._lives[place] = born
        undo.close()
        return time.monotonic() - started

    def _start(self, place: int) -> tuple[ExitStack, ReplicaProcess]:
        undo = ExitStack()
        listen = {"port": self._ports[place], "grace_seconds": 1.0}
        started = replica(
            self._folder / f"server-{place}", self._url, "pgvector", engine=self._engine, listen=listen
        )
        return undo, undo.enter_context(started)


class Crew:
    """What writers and readers share."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.over = threading.Event()
        self.problems: list[str] = []
        self.again = 0

    def call(self, rng: random.Random, ask: Callable[[Running], Any]) -> Any:
        """The answer of a server by chance, or, when it has none, of the next."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return ask(self._servers.pick(rng))
            except ValueError:  # its channel was closed with its life
                pass
            except grpc.RpcError as error:
                if error.code() not in _AGAIN and error.code() is not grpc.StatusCode.CANCELLED:
                    raise
            if time.monotonic() > end:
                raise RuntimeError(f"no server answered for {_PATIENCE:.0f} s")
            self.again += 1
            time.sleep(_PAUSE)

    def failed(self, error: BaseException) -> None:
        """Ends the siege."""
        self.problems.append(f"{type(error).__name__}: {error}")
        self.over.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
