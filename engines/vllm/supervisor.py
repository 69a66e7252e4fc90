"""Keeps the engine's process alive: starts it, hears it, notices its end, starts it again.

One thread per supervisor. A process that dies, is killed or cannot be spoken to takes its requests with it (their
owner is told) and is replaced; one that dies again and again is replaced more and more slowly.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.errors import EngineError, EngineLost
from engines.vllm.wire import Channel, Message, WireError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds between a death and the next start
_GRACE = 2.0  # seconds for a process that has hung up to end
_KEPT_LINES = 40


@dataclass(frozen=True)
class HostCommand:
    """How the process is started. `settings` are `core.CoreSettings`; a file descriptor is added to the words."""

    words: tuple[str, ...]
    settings: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = 600.0  # until it must be ready


class Supervisor:
    """`on_message` hears what the process says and `on_end` that it is gone, both on the supervisor's thread."""

    def __init__(
        self,
        command: HostCommand,
        on_message: Callable[[Message], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._command, self._on_message, self._on_end = command, on_message, on_end
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._ready = False
        self._hopeless = False  # the first process never became ready
        self._failure = ""
        self.starts = 0  # of processes, the first one included
        self._thread = threading.Thread(target=self._keep, name="vllm-supervisor", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the process that runs."""
        process = self._process
        return None if process is None else process.pid

    @property
    def ready(self) -> bool:
        """Whether messages can be sent."""
        return self._ready

    def wait_ready(self, timeout: float) -> None:
        """EngineError with the process's last words when the first start fails; EngineLost when it takes longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closing or self._hopeless, timeout)
            if self._ready:
                return
            if self._hopeless:
                raise EngineError(self._failure)
            raise EngineLost(f"the engine is not ready after {timeout:g} s")

    def send(self, message: Message, body: bytes = b"") -> None:
        """EngineLost when there is no process to hear it."""
        channel = self._channel
        if channel is None or not self._ready:
            raise EngineLost("the engine is being started")
        try:
            channel.send(message, body)
        except OSError:
            raise EngineLost("the engine's process is gone") from None

    def close(self) -> None:
        """Ends the process; returns when it is gone."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._kill()
        self._thread.join()

    def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing:
            began = time.monotonic()
            words = self._run_once()
            with self._changed:
                was_ready, self._ready = self._ready, False
                self._failure, self._hopeless = words, self.starts == 1 and not was_ready
                self._changed.notify_all()
            self._on_end(words)
            if was_ready and time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _run_once(self) -> str:
        """Until the process is gone; why."""
        ours, its = socket.socketpair()
        with its:
            process = subprocess.Popen(
                [*self._command.words, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # its workers are killed with it, and a Ctrl-C is the service's to see
                env={**os.environ, **self._command.environment},
            )
        channel = Channel(ours)
        with self._changed:
            self._process, self._channel = process, channel
            self.starts += 1
        if self._closing:  # close() came between
            self._kill()
        said: deque[str] = deque(maxlen=_KEPT_LINES)
        listener = threading.Thread(target=_keep_last, args=(process, said), daemon=True)
        listener.start()
        late = threading.Timer(self._command.start_seconds, self._too_late)
        late.daemon = True
        late.start()
        stated = ""
        try:
            with contextlib.suppress(OSError):
                channel.send({"type": "start", "settings": dict(self._command.settings)})
            while (got := channel.receive()) is not None:
                if got[0]["type"] == "ready":
                    late.cancel()
                    with self._changed:
                        self._ready, self._hopeless = True, False
                        self._changed.notify_all()
                elif got[0]["type"] == "failed":
                    stated = got[0]["message"]
                else:
                    self._on_message(got[0])
        except WireError as error:
            stated = str(error)
        finally:
            late.cancel()
            self._let_end(process)
            self._kill()
            code = process.wait()
            with self._changed:
                self._process = self._channel = None
            channel.close()
            listener.join(5)
        return stated or f"the engine's process ended with {code}: " + " | ".join(_last_words(said))

    def _let_end(self, process: subprocess.Popen[bytes]) -> None:
        """A moment to end by itself, so that it is known how it did; not yet reaped, so that its group is still its."""
        end = time.monotonic() + _GRACE
        waiting = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while not self._closing and time.monotonic() < end and not os.waitid(os.P_PID, process.pid, waiting):
            time.sleep(0.01)

    def _too_late(self) -> None:
        if not self._ready:
            self._kill()

    def _kill(self) -> None:
        """The process and whatever it started."""
        with self._changed:
            process = self._process
            if process is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)


def _keep_last(process: subprocess.Popen[bytes], said: deque[str]) -> None:
    if process.stderr is not None:
        with process.stderr as lines:
            for line in lines:
                said.append(line.decode(errors="replace").rstrip())


def _last_words(said: Sequence[str]) -> list[str]:
    return [line for line in said if line.strip()][-3:]
