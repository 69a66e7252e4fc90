"""One server in a process of its own: python -m tests.postgres.replica_process FOLDER SETTINGS (as JSON).

Prints its address, and serves until its input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
def replica(folder: Path, url: str, index: str, **sections: dict[str, Any]) -> Iterator[ReplicaProcess]:
    """Starts one and ends it. With a small embedder, and without a model unless `sections` name one."""
    sections["store"] = {"database_url": url, "data_dir": str(folder)}
    sections["retrieval"] = {"index": index, "revision_wait_seconds": 60}
    command = [sys.executable, "-m", "tests.postgres.replica_process", str(folder), json.dumps(sections)]
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


def main(folder: str, sections: str) -> None:
    """Serves with a small embedder."""
    with serving(Path(folder), **json.loads(sections)) as server:
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
