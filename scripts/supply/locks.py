"""Locks: every package of an installation, at one version, with the hashes of its files.

`make locks` writes requirements/locks. What a lock is made of stands in `LOCKS`; pip takes them with
`--no-deps --require-hashes`. `--check` says what no longer fits and writes nothing; it needs no network.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements" / "locks"
PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_35"
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Lock:
    """`pins`: a file of pins that is complete by itself, so nothing is resolved. Without it, `extras` of the project
    are resolved, as near to the default pins as they allow. `without`: installed from elsewhere."""

    name: str
    says: str
    pins: str = ""
    extras: tuple[str, ...] = ()
    without: frozenset[str] = field(default_factory=frozenset)


LOCKS = (
    Lock(
        "default",
        "The service on CPUs. PyTorch is left out: its builds for CPUs come from an index of its own (Dockerfile).",
        pins="server.txt",
        without=frozenset({"torch"}),
    ),
    Lock("models", "The default model and the embedders, as packages.", pins="models.txt"),
    Lock("vllm", "The vLLM engine on CPUs, in an environment of its own.", pins="vllm.txt"),
    Lock(
        "gpu",
        "The service and vLLM on NVIDIA GPUs, PyTorch and its CUDA libraries included.",
        extras=("server", "vllm", "tracing"),
    ),
)


def pins(text: str) -> dict[str, str]:
    """Versions by name, of a file of pins or a lock."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}


def asked(extras: tuple[str, ...], project: Path = ROOT / "pyproject.toml") -> Iterator[Requirement]:
    """What pyproject.toml asks for, extras of itself included."""
    about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    environment = {**default_environment(), "python_version": PYTHON, "platform_machine": "x86_64"}
    for text in about["dependencies"] + [line for name in extras for line in _extra(about, name)]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({**environment, "extra": ""}):
            yield wanted


def _extra(about: dict[str, dict[str, list[str]]], name: str) -> list[str]:
    found: list[str] = []
    for text in about["optional-dependencies"][name]:
        wanted = Requirement(text)
        if wanted.name == about["name"]:
            found += [line for extra in sorted(wanted.extras) for line in _extra(about, extra)]
        else:
            found.append(text)
    return found


def problems(lock: Lock, text: str) -> list[str]:
    """What keeps a lock from being what it says; empty when it is right."""
    locked = pins(text)
    found = [f"{name} has no hash" for name in _without_hash(text)]
    if lock.pins:
        wanted = _pins_of(lock.pins)
        differing = {name: version for name, version in wanted.items() if locked.get(name) != version}
        found += [f"{name}: pinned {version}, locked {locked.get(name)}" for name, version in differing.items()
                  if name not in lock.without]  # fmt: skip
        found += [f"{name} is locked and not pinned" for name in locked.keys() - wanted.keys()]
        found += [f"{name} comes from elsewhere" for name in locked.keys() & lock.without]
    for requirement in asked(lock.extras) if lock.extras else ():
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(f"pyproject asks for {requirement}, locked is {version}")
    return found


def _pins_of(name: str) -> dict[str, str]:
    return pins((ROOT / "requirements" / name).read_text(encoding="utf-8"))


def _without_hash(text: str) -> list[str]:
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    return [match[1] for entry in entries if (match := _PIN.match(entry)) and not _HASH.search(entry)]


def written(lock: Lock) -> str:
    """The lock, made anew."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "lock.txt"
        source = ["--no-deps", str(ROOT / "requirements" / lock.pins)]
        if not lock.pins:
            # uv prefers what an earlier lock says.
            made.write_text(
                (ROOT / "requirements" / "server.txt").read_text(encoding="utf-8"), encoding="utf-8"
            )
            source = [
                str(ROOT / "pyproject.toml"),
                *(part for name in lock.extras for part in ("--extra", name)),
            ]
        without = [part for name in sorted(lock.without) for part in ("--no-emit-package", name)]
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
                *("--generate-hashes", "--python-version", PYTHON, "--python-platform", PLATFORM),
                *("--output-file", str(made), *without, *source),
            ],
            check=True,
            env={**os.environ, "UV_NO_PROGRESS": "1"},
        )
        head = f"# {lock.says}\n# Made by `make locks` for Python {PYTHON} on Linux (x86_64); never edited by hand.\n"
        return head + made.read_text(encoding="utf-8")


def main() -> int:
    """Writes all locks, or checks them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*", choices=[[], *(lock.name for lock in LOCKS)])
    options = parser.parse_args()
    wrong = 0
    for lock in LOCKS:
        if options.names and lock.name not in options.names:
            continue
        path = FOLDER / f"{lock.name}.txt"
        if not options.check:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(written(lock), encoding="utf-8")
        text = path.read_text(encoding="utf-8")
        for problem in problems(lock, text):
            wrong += 1
            print(f"{path.name}: {problem}", file=sys.stderr)
        print(f"{path.name}: {len(pins(text))} packages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
