"""The supervisor, with a little program in the engine's place."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.errors import EngineError, EngineLost
from engines.vllm.supervisor import HostCommand, Supervisor

_LITTLE = """
import json, os, signal, socket, struct, subprocess, sys, threading

end = socket.socket(fileno=int(sys.argv[1]))
file = end.makefile("rwb")

def say(message):
    head = json.dumps(message).encode()
    file.write(struct.pack(">IQ", len(head), 0) + head)
    file.flush()

while True:
    lengths = file.read(12)
    if len(lengths) < 12:
        os.killpg(0, signal.SIGKILL)
    head, body = struct.unpack(">IQ", lengths)
    message = json.loads(file.read(head))
    file.read(body)
    if message["type"] == "start":
        if message["settings"].get("broken"):
            say({"type": "failed", "message": "no such model"})
            sys.exit(3)
        if message["settings"].get("silent"):
            continue
        say({"type": "ready", "pid": os.getpid()})
    elif message["type"] == "worker":
        worker = subprocess.Popen(["sleep", "600"])
        say({"type": "started", "pid": worker.pid})
    elif message["type"] == "nonsense":
        file.write(b"\\xff" * 12)
        file.flush()
    elif message["type"] == "exit":
        print("last words", file=sys.stderr)
        sys.exit(7)
    else:
        say(message)
"""


class _Watched:
    """A supervisor and what it told."""

    def __init__(self, **settings: Any) -> None:
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.ended: queue.Queue[str] = queue.Queue()
        seconds = settings.pop("start_seconds", 60.0)
        command = HostCommand((sys.executable, "-c", _LITTLE), settings, {}, seconds)
        self.supervisor = Supervisor(command, self.heard.put, self.ended.put)


@pytest.fixture
def watch() -> Iterator[Callable[..., _Watched]]:
    made: list[_Watched] = []

    def begin(**settings: Any) -> _Watched:
        made.append(_Watched(**settings))
        return made[-1]

    yield begin
    for watched in made:
        watched.supervisor.close()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_messages_go_both_ways(watch: Callable[..., _Watched]) -> None:
    watched = watch()
    watched.supervisor.wait_ready(60)
    watched.supervisor.send({"type": "echo", "what": "ü"}, b"body")
    assert watched.heard.get(timeout=60) == {"type": "echo", "what": "ü"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_was_killed_is_replaced_and_takes_its_workers_along(
    number: signal.Signals, watch: Callable[..., _Watched]
) -> None:
    watched = watch()
    watched.supervisor.wait_ready(60)
    first = watched.supervisor.pid
    assert first is not None
    watched.supervisor.send({"type": "worker"})
    worker = watched.heard.get(timeout=60)["pid"]
    os.kill(first, number)
    assert f"ended with {-number}" in watched.ended.get(timeout=60)
    _wait_until(lambda: _gone(worker))
    watched.supervisor.wait_ready(60)
    assert watched.supervisor.pid != first
    assert watched.supervisor.starts == 2
    watched.supervisor.send({"type": "echo"})
    assert watched.heard.get(timeout=60) == {"type": "echo"}


@pytest.mark.parametrize(
    ("message", "words"), [("exit", "ended with 7: last words"), ("nonsense", "a message of")]
)
def test_why_it_ended_is_told(message: str, words: str, watch: Callable[..., _Watched]) -> None:
    watched = watch()
    watched.supervisor.wait_ready(60)
    watched.supervisor.send({"type": message})
    assert words in watched.ended.get(timeout=60)


def test_without_a_process_nothing_is_sent(watch: Callable[..., _Watched]) -> None:
    watched = watch(silent=True, start_seconds=0.5)
    with pytest.raises(EngineLost):
        watched.supervisor.send({"type": "echo"})
    assert "ended with -9" in watched.ended.get(timeout=60)  # it never said that it was ready


def test_a_first_start_that_fails_says_why(watch: Callable[..., _Watched]) -> None:
    watched = watch(broken=True)
    with pytest.raises(EngineError, match="no such model"):
        watched.supervisor.wait_ready(60)


def test_closing_leaves_nothing(watch: Callable[..., _Watched]) -> None:
    watched = watch()
    watched.supervisor.wait_ready(60)
    pid = watched.supervisor.pid
    watched.supervisor.send({"type": "worker"})
    worker = watched.heard.get(timeout=60)["pid"]
    watched.supervisor.close()
    assert pid is not None
    _wait_until(lambda: _gone(pid) and _gone(worker))
    with pytest.raises(EngineLost):
        watched.supervisor.send({"type": "echo"})
    watched.supervisor.close()  # again: nothing happens
