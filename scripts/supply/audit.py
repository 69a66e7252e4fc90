"""Known weaknesses of what is locked, by pip-audit; the last line is one JSON object.

pip-audit also ends well when it could look nothing up. Here that is told apart: `audited` counts the packages that the
advisory service answered for, and with none the result is "not audited", which `--strict` takes for a failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.supply.locks import FOLDER, LOCKS


@dataclass(frozen=True)
class Audit:
    """What was found in one lock."""

    lock: str
    audited: int
    skipped: int
    weaknesses: tuple[str, ...]
    why: str = ""


def read(lock: str, report: dict[str, Any]) -> Audit:
    """pip-audit's JSON, taken apart."""
    entries = report.get("dependencies", [])
    skipped = [entry for entry in entries if "skip_reason" in entry]
    weaknesses = tuple(
        f"{entry['name']} {entry['version']}: {weak['id']}"
        + (f", mended in {', '.join(weak['fix_versions'])}" if weak.get("fix_versions") else "")
        for entry in entries
        for weak in entry.get("vulns", ())
    )
    why = str(skipped[0]["skip_reason"]) if skipped else ""
    return Audit(lock, len(entries) - len(skipped), len(skipped), weaknesses, why)


def audit(path: Path) -> Audit:
    """Asks about every package of a lock."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps", "--disable-pip"),
            *("--progress-spinner", "off", "--format", "json", "--timeout", "20"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return read(path.stem, json.loads(done.stdout))
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return Audit(path.stem, 0, 0, (), last)


def verdict(audits: list[Audit]) -> str:
    """`weak`, `clean`, `partly audited` or `not audited`."""
    if any(one.weaknesses for one in audits):
        return "weak"
    if not any(one.audited for one in audits):
        return "not audited"
    return "clean" if all(one.audited and not one.skipped for one in audits) else "partly audited"


def main() -> int:
    """Audits every lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="not having looked everything up is a failure")
    options = parser.parse_args()
    audits = [audit(FOLDER / f"{lock.name}.txt") for lock in LOCKS]
    for one in audits:
        print(f"{one.lock}: {one.audited} packages looked up, {one.skipped} not", file=sys.stderr)
        for weakness in one.weaknesses:
            print(f"  {weakness}", file=sys.stderr)
        if not one.audited or one.skipped:
            print(f"  {one.why}", file=sys.stderr)
    result = verdict(audits)
    counts = {
        one.lock: {"audited": one.audited, "skipped": one.skipped, "weaknesses": list(one.weaknesses)}
        for one in audits
    }
    print(json.dumps({"verdict": result, "locks": counts}))
    return 1 if result == "weak" or (options.strict and result != "clean") else 0


if __name__ == "__main__":
    sys.exit(main())
