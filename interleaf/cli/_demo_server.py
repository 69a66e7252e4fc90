"""A server of the demo's own: a fresh data folder, a free port, and gone when the demo ends."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interleaf import Client, InterleafError

_ADDRESS = re.compile(r"\b(127\.0\.0\.1:\d+)\b")
_PAGE = re.compile(r"\bhttp://127\.0\.0\.1:\d+\b")
_STOP_SECONDS = 20


class ServerFailed(Exception):
    """The server did not come up; `log` is what it said."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class _Output:
    """Reads what the server says, so that its pipe never fills."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self.lines.append(line)

    def address(self) -> str | None:
        """Where the server listens, once it has said so."""
        return self._first(_ADDRESS)

    def page(self) -> str | None:
        """Where its page is, if it has one."""
        return self._first(_PAGE)

    def _first(self, pattern: re.Pattern[str]) -> str | None:
        found = (pattern.search(line) for line in list(self.lines))
        return next((match.group() for match in found if match), None)

    def close(self) -> None:
        """Waits for the last line."""
        self._thread.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def tail(self) -> str:
        """The last lines."""
        return "".join(self.lines[-30:])


def _wait_for(process: subprocess.Popen[str], output: _Output, seconds: float) -> str:
    """Waits until the server says its address and answers there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            output.close()
            raise ServerFailed(f"the server ended with code {process.returncode}", output.tail())
        if address := output.address():
            try:
                with Client(address, timeout=5) as client:
                    client.wait_ready(timeout=5)
                    next(client.namespaces(), None)
                return address
            except InterleafError:
                pass  # it is there, and not ready yet
        time.sleep(0.1)
    raise ServerFailed(f"the server did not answer within {seconds:g} s", output.tail())


@dataclass(frozen=True)
class DemoServer:
    """Where it is reached: by clients, and by browsers."""

    address: str
    page: str | None


@contextmanager
def running_server(*options: str, seconds: float = 300) -> Iterator[DemoServer]:
    """Starts a server with an empty store, says where it is, and stops it."""
    with tempfile.TemporaryDirectory(prefix="interleaf-demo-") as folder:
        arguments = [
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--data-dir",
            str(Path(folder) / "data"),
            *options,
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "interleaf.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        output = _Output(process)
        try:
            address = _wait_for(process, output, seconds)
            yield DemoServer(address, output.page())
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.close()
