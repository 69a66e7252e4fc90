"""Rows of a long run, kept as they come: a run that was ended goes on where it was, and can be told of halfway.

    kept = Kept(bench, [module, ...], model=digest, per_relation=60)
    row = kept.row("what the row is of", lambda: {...})

The file lies in the user's cache and is named by everything that decides about a row: the benchmark and its seed, what
the caller names, and the source of the modules that make rows, so that rows of older code are not taken for new ones.
With `--minutes` no row is begun after that time: the figures are those of the rows that there are.

    python -m bench.kept FILE.jsonl [...]

packs such files into bench/results/kept, from where any checkout reads them: a run goes on on another machine.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import inspect
import json
import pkgutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.common import RESULTS, Bench
from engines.models import cache_dir

PACKED = RESULTS / "kept"
Row = dict[str, Any]


def kept_arguments(parser: argparse.ArgumentParser) -> None:
    """--minutes."""
    parser.add_argument(
        "--minutes",
        type=float,
        help="begin nothing new after so many minutes; what was kept before counts (0: only that)",
    )


def modules_of(package: ModuleType) -> list[ModuleType]:
    """All of them, for rows that a whole package makes."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [package, *(importlib.import_module(each.name) for each in found)]


class Kept:
    """Values must survive JSON."""

    def __init__(self, bench: Bench, made_by: Iterable[ModuleType], **decides: Any) -> None:
        sources = [inspect.getsource(module) for module in made_by]
        facts = json.dumps([bench.name, bench.seed, decides, sources], sort_keys=True, default=str)
        name = hashlib.sha256(facts.encode()).hexdigest()[:16]
        self.path = cache_dir() / "bench" / f"{bench.name}-{name}.jsonl"
        minutes: float | None = getattr(bench.args, "minutes", None)
        self._until = None if minutes is None else time.monotonic() + 60 * minutes
        self._rows = self._read()
        if self._rows:
            bench.log(f"{len(self._rows)} rows were kept in {self.path}")

    @property
    def time_is_up(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._until is not None and time.monotonic() >= self._until

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def get(self, name: str) -> Row | None:
        """What was kept."""
        return self._rows.get(name)

    def row(self, name: str, make: Callable[[], Row]) -> Row | None:
        """What was kept, or is made and kept now; None where it is too late for that."""
        if name not in self._rows and not self.time_is_up:
            self.keep(name, make())
        return self._rows.get(name)

    def keep(self, name: str, row: Row) -> None:
        """Written out at once."""
        line = json.dumps([name, row], ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._rows[name] = row

    def _read(self) -> dict[str, Row]:
        found = _unpacked(PACKED / f"{self.path.name}.gz")
        if not self.path.is_file():
            return found
        whole, cut, rest = self.path.read_bytes().rpartition(b"\n")
        if rest:  # a run that was ended in the middle of a line
            self.path.write_bytes(whole + cut)
        return found | _rows(whole)


def pack(file: Path) -> Path:
    """Beside what was packed of the same run before. The same rows make the same bytes."""
    target = PACKED / f"{file.name}.gz"
    rows = _unpacked(target) | _rows(file.read_bytes().rpartition(b"\n")[0])  # no line that was not ended
    lines = (json.dumps([name, row], ensure_ascii=False) for name, row in rows.items())
    PACKED.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    return target


def _unpacked(file: Path) -> dict[str, Row]:
    return _rows(gzip.decompress(file.read_bytes())) if file.is_file() else {}


def _rows(lines: bytes) -> dict[str, Row]:
    return dict(json.loads(line) for line in lines.splitlines())


def main(argv: Sequence[str] | None = None) -> None:
    """Packs."""
    parser = argparse.ArgumentParser(prog="bench.kept", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    files: list[Path] = parser.parse_args(argv).files
    for file in files:
        if file.suffix != ".jsonl" or not file.is_file():
            parser.error(f"{file} is no file of kept rows")
    for file in files:
        target = pack(file)
        print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
