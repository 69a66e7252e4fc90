"""Kills a writer again and again at random moments and looks at what is left.

`tests.crash.many` runs it. `kill -9` shows what a crash of the process does, not what a power failure does; no failure
in N kills bounds the rate to about 3/N.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from kb_store import failpoints
from tests.crash.ledger import Ledger
from tests.crash.verify import Findings, verify

# A life is measured in lines reported (two for each operation), whatever the speed of the machine, and ends
# a little after the last of them, at no particular place. One in eight is cut off while the writer starts.
_LONGEST_LIFE = 400
_LINGERING = 0.05
_LONGEST_START = 0.5
_STARTING = 0.125
# A failpoint must be reached within this time, on a busy machine too.
_PATIENCE = 120.0


class Nursery:
    """Where writers come from. `failpoint`: the place at which they kill themselves."""

    def __init__(self, failpoint: str = "") -> None:
        # One thread: a fork takes no other with it.
        environment = {**os.environ, failpoints.VARIABLE: failpoint, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes the pipes, and waits
            pass

    def begin(self, folder: Path, life: int, seed: int) -> int:
        """A new writer; its process."""
        if self._process.stdin is None:
            raise RuntimeError("the nursery has no ear")
        self._process.stdin.write(f"{json.dumps([str(folder), life, seed])}\n".encode())
        self._process.stdin.flush()
        return int(self.line().removeprefix(b"B "))

    def line(self) -> bytes:
        """The next that is reported."""
        if self._process.stdout is None:
            raise RuntimeError("the nursery has no voice")
        return self._process.stdout.readline()


class Victim:
    """A writer process and what it reported."""

    def __init__(self, nursery: Nursery, folder: Path, life: int, seed: int) -> None:
        self._nursery, self._pid = nursery, nursery.begin(folder, life, seed)
        self.lines: list[bytes] = []
        self._news = threading.Condition()
        self._code: int | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while not (line := self._nursery.line()).startswith(b"E "):
            if not line:
                raise RuntimeError("the nursery fell")
            with self._news:
                self.lines.append(line)
                self._news.notify()
        with self._news:
            self._code = int(line.removeprefix(b"E "))
            self._news.notify()

    def wait_lines(self, count: int) -> None:
        """Until so many lines were reported."""
        with self._news:
            self._news.wait_for(lambda: self._code is not None or len(self.lines) >= count, _PATIENCE)

    def kill(self) -> None:
        """-9, unless it fell by itself, which it must not have."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._end()

    def wait_failpoint(self) -> None:
        """Waits for the process to kill itself."""
        with self._news:
            reached = self._news.wait_for(lambda: self._code is not None, _PATIENCE)
        if not reached:
            self.kill()
            raise RuntimeError("the failpoint was not reached")
        self._end()

    def _end(self) -> None:
        self._reader.join()
        if self._code != -signal.SIGKILL:
            raise RuntimeError(f"the writer ended by itself with {self._code}")


class KillLoop:
    """Lives of one store, each ended by a kill and followed by a verification."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.findings = Findings()
        self.kills = 0
        self._seed = seed
        self._random = random.Random(seed)
        self._revision = 0
        self._nursery = Nursery()

    def __enter__(self) -> KillLoop:
        return self

    def __exit__(self, *error: object) -> None:
        self._nursery.__exit__(*error)

    def kill_once(self) -> list[str]:
        """A kill at a random moment; what was found wrong."""
        victim = Victim(self._nursery, self.folder, self.kills, self._seed)
        if self._random.random() < _STARTING:
            time.sleep(self._random.uniform(0, _LONGEST_START))
        else:
            victim.wait_lines(self._random.randint(1, _LONGEST_LIFE))
            time.sleep(self._random.uniform(0, _LINGERING))
        victim.kill()
        return self._look(victim)

    def kill_at(self, failpoint: str, passes: int = 1) -> list[str]:
        """A kill at a named place."""
        with Nursery(f"{failpoint}:{passes}") as nursery:
            victim = Victim(nursery, self.folder, self.kills, self._seed)
            victim.wait_failpoint()
        return self._look(victim)

    def _look(self, victim: Victim) -> list[str]:
        with (self.folder / "reports.txt").open("ab") as reports:
            reports.write(b"".join(victim.lines))
        self.ledger.read(victim.lines)
        found, self._revision = verify(self.folder, self.ledger, self._revision, self.kills)
        self.kills += 1
        for kind in ("lost", "phantom", "duplicate", "inconsistent"):
            getattr(self.findings, kind).extend(getattr(found, kind))
        return found.all()

    def summary(self) -> dict[str, int | float]:
        """Flat keys for the last line."""
        found = self.findings
        return {
            "kills": self.kills,
            "seed": self._seed,
            "acknowledged": self.ledger.acknowledged,
            "facts": len(self.ledger.states),
            "lost": len(found.lost),
            "phantom": len(found.phantom),
            "duplicate": len(found.duplicate),
            "inconsistent": len(found.inconsistent),
            "failure_rate_below_95": round(3 / self.kills, 5) if self.kills else 1.0,
        }
