"""What is inside, as CycloneDX documents: one for each lock, validated against CycloneDX's own schema.

`make sbom` writes build/sbom/NAME.cdx.json. They say the same whenever they are made of the same locks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts.supply.locks import FOLDER, LOCKS, ROOT, pins

OUT = ROOT / "build" / "sbom"


def write(lock: str, folder: Path = OUT) -> Path:
    """One lock's document."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{lock}.cdx.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "requirements", str(FOLDER / f"{lock}.txt")),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application"),
            *("--spec-version", "1.6", "--output-reproducible", "--validate", "--output-file", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made


def main() -> int:
    """Writes all of them, and sees that none lost a package."""
    wrong = 0
    for lock in LOCKS:
        made = write(lock.name)
        inside = len(json.loads(made.read_text(encoding="utf-8")).get("components", []))
        locked = len(pins((FOLDER / f"{lock.name}.txt").read_text(encoding="utf-8")))
        wrong += inside != locked
        print(f"{made.relative_to(ROOT)}: {inside} components of {locked} locked packages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
