"""Kills a writer again and again at random moments and looks at what is left.

`tests.crash.many` runs it. `kill -9` shows what a crash of the process does, not what a power failure does; no failure
in N kills bounds the rate to about 3/N.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from kb_store import failpoints
from tests.crash.ledger import Ledger
from tests.crash.verify import Findings, verify

# A life is measured in lines reported (two for each operation), whatever the speed of the machine, and ends
# a little after the last of them, at no particular place. One in eight is cut off while the writer starts.
_LONGEST_LIFE = 400
_LINGERING = 0.05
_LONGEST_START = 2.0
_STARTING = 0.125
# A failpoint must be reached within this time, on a busy machine too.
_PATIENCE = 120.0


class Victim:
    """A writer process and what it reported."""

    def __init__(self, folder: Path, life: int, seed: int, failpoint: str = "") -> None:
        environment = {**os.environ, failpoints.VARIABLE: failpoint}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.child", str(folder), str(life), str(seed)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.lines: list[bytes] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                with self._news:
                    self.lines.append(line)
                    self._news.notify()
        with self._news:
            self._ended = True
            self._news.notify()

    def wait_lines(self, count: int) -> None:
        """Until so many lines were reported."""
        with self._news:
            self._news.wait_for(lambda: self._ended or len(self.lines) >= count, _PATIENCE)

    def kill(self) -> None:
        """-9, unless it fell by itself, which it must not have."""
        self._process.send_signal(signal.SIGKILL)
        self._end()

    def wait_failpoint(self) -> None:
        """Waits for the process to kill itself."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._end()
            raise RuntimeError("the failpoint was not reached") from None
        self._end()

    def _end(self) -> None:
        code = self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if code != -signal.SIGKILL:
            raise RuntimeError(f"the writer ended by itself with {code}")


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

    def kill_once(self) -> list[str]:
        """A kill at a random moment; what was found wrong."""
        victim = Victim(self.folder, self.kills, self._seed)
        if self._random.random() < _STARTING:
            time.sleep(self._random.uniform(0, _LONGEST_START))
        else:
            victim.wait_lines(self._random.randint(1, _LONGEST_LIFE))
            time.sleep(self._random.uniform(0, _LINGERING))
        victim.kill()
        return self._look(victim)

    def kill_at(self, failpoint: str, passes: int = 1) -> list[str]:
        """A kill at a named place."""
        victim = Victim(self.folder, self.kills, self._seed, f"{failpoint}:{passes}")
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
