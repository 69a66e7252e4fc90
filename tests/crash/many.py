"""Thousands of kills: one store after the other, a hundred kills each, and what is done is kept.

    python -m tests.crash.many --kills 2000 --seed 0

Store number N has seed SEED * 1000 + N. A finished store is a line in a file of the cache folder, named by what the
figures depend on: sizes, seed, and a digest of the store's source. The same command goes on where it was stopped; a
store that was under way begins anew. The last line is one JSON object; it says how many kills it speaks of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kb_store
from engines.models import cache_dir
from tests.crash.kill_loop import KillLoop

KILLS_PER_STORE = 100
_SUMS = ("kills", "acknowledged", "facts", "lost", "phantom", "duplicate", "inconsistent", "seconds")


class Kept:
    """Lines of finished stores."""

    def __init__(self, folder: Path, per_store: int, seed: int) -> None:
        self.digest = source_digest(Path(kb_store.__file__).parent)
        self._path = folder / f"kills-{per_store}-{seed}-{self.digest}.jsonl"

    def rows(self) -> dict[int, dict[str, Any]]:
        """By number of the store."""
        if not self._path.exists():
            return {}
        rows = map(json.loads, self._path.read_text(encoding="utf-8").splitlines())
        return {row["store"]: row for row in rows}

    def add(self, row: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def source_digest(folder: Path) -> str:
    """Of all Python files below it: figures of different code are not added up."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def one_store(number: int, kills: int, seed: int) -> tuple[dict[str, Any], Path | None]:
    """The lives of one store; its figures, and the folder where something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="interleaf-crash-"))
    started = time.monotonic()
    with KillLoop(folder, seed * 1000 + number) as loop:
        for _ in range(kills):
            problems = loop.kill_once()
            for problem in problems:
                print(f"store {number}, kill {loop.kills}: {problem}", file=sys.stderr)
            if problems:
                break
    row = {"store": number, **loop.summary(), "seconds": round(time.monotonic() - started, 1)}
    if loop.findings.all():
        return row, folder
    shutil.rmtree(folder)
    return row, None


def summed(rows: list[dict[str, Any]], seed: int, digest: str) -> dict[str, Any]:
    """The last line."""
    sums = {key: sum(row[key] for row in rows) for key in _SUMS}
    bound = round(3 / sums["kills"], 5) if sums["kills"] else 1.0
    return {"stores": len(rows), "seed": seed, "source": digest, **sums, "failure_rate_below_95": bound}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="many", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--per-store", type=int, default=KILLS_PER_STORE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None, help="folder of finished stores")
    arguments = parser.parse_args(argv)
    kept = Kept(arguments.cache or cache_dir() / "crash", arguments.per_store, arguments.seed)
    failed = False
    for number in range(-(-arguments.kills // arguments.per_store)):
        if number in kept.rows():
            continue
        row, folder = one_store(number, arguments.per_store, arguments.seed)
        print(json.dumps(row), file=sys.stderr, flush=True)
        if folder is not None:
            print(f"data and reports are kept in {folder}", file=sys.stderr)
            failed = True
            break
        kept.add(row)
    rows = [row for number, row in sorted(kept.rows().items())]
    print(json.dumps(summed(rows, arguments.seed, kept.digest)))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
