"""One server in a process of its own: python -m tests.postgres.replica_process FOLDER URL INDEX.

Prints its address, and serves until its input ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.serving import Running, serving, stubs


@dataclass(frozen=True)
class ReplicaProcess:
    """A server that runs elsewhere, and its stubs."""

    process: subprocess.Popen[str]
    stubs: Running

    def kill(self) -> None:
        """-9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def replica(folder: Path, url: str, index: str) -> Iterator[ReplicaProcess]:
    """Starts one and ends it."""
    command = [sys.executable, "-m", "tests.postgres.replica_process", str(folder), url, index]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("it has no output")
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"it ended with {process.wait()}")
        with grpc.insecure_channel(address) as channel:
            yield ReplicaProcess(process, stubs(address, "", channel))
    finally:
        process.communicate()


def main(folder: str, url: str, index: str) -> None:
    """Serves with a small embedder and without a model."""
    store = {"database_url": url, "data_dir": folder}
    chosen = {"index": index, "revision_wait_seconds": 60}
    with serving(Path(folder), store=store, retrieval=chosen) as server:
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
