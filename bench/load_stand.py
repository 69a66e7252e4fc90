"""The server under load: in a process of its own, whose memory is watched."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service import logs
from service.config import load
from service.server import serve

_EVERY = 0.25
MIB = 2**20
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watched:
    """A server's process: its address, and its memory as time goes by."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.address = address
        self._folder = Path(f"/proc/{process.pid}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = 0.0
        self._thread.start()

    @property
    def rss(self) -> float:
        """MiB now."""
        return int((self._folder / "statm").read_text().split()[1]) * _PAGE / MIB

    @property
    def children(self) -> list[int]:
        """Processes that it has started."""
        found = []
        for other in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = other.read_text().rpartition(")")[2].split()[1]
            except OSError:  # it has just ended
                continue
            if parent == self._folder.name:
                found.append(int(other.parent.name))
        return found

    def look(self) -> dict[str, float]:
        """Memory in MiB, open files, threads."""
        return {
            "rss": self.rss,
            "files": float(len(list((self._folder / "fd").iterdir()))),
            "threads": float(len(list((self._folder / "task").iterdir()))),
        }

    def reset(self) -> float:
        """Begins a new peak; what there is now."""
        self.peak = self.rss
        return self.peak

    def close(self) -> None:
        """Looks no more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                self.peak = max(self.peak, self.rss)
            except OSError:  # it has ended
                return


@contextmanager
def server(folder: Path, sections: dict[str, dict[str, Any]]) -> Iterator[Watched]:
    """Starts it and ends it, gently; raises when it does not end by itself."""
    command = [sys.executable, "-m", "bench.load_stand", str(folder), json.dumps(sections)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip() if process.stdout else ""
        if not address:
            raise RuntimeError("the server did not start")
        watched = Watched(process, address)
        try:
            yield watched
        finally:
            watched.close()
    finally:
        process.terminate()
        process.wait(120)
        if process.stdout:
            process.stdout.close()


def overrides(folder: Path, sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The configuration of all servers of this benchmark."""
    usual: dict[str, dict[str, Any]] = {
        "listen": {"port": 0, "reflection": False, "grace_seconds": 5.0},
        "http": {"enabled": False},
        "store": {"data_dir": folder, "default_namespace": ""},
        "log": {"level": "warning"},
    }
    return {name: {**usual.get(name, {}), **sections.get(name, {})} for name in {*usual, *sections}}


def main() -> None:
    """Runs the server; its address is the only line on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("sections", type=json.loads)
    arguments = parser.parse_args()
    settings = load(None, overrides(arguments.folder, arguments.sections))
    logs.configure(settings.log)
    asyncio.run(serve(settings, lambda address: print(address, flush=True)))


if __name__ == "__main__":
    main()
