"""Regenerates the stubs in interleaf/v1 from protos/; with --check says whether they differ, and exits 1 if so."""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.longrunning import operations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "interleaf" / "v1"


def generate(target: Path) -> None:
    """Writes the stubs below `target`/interleaf/v1."""
    protos = ROOT / "protos"
    installed = Path(operations_pb2.__file__).parents[2]
    with tempfile.TemporaryDirectory() as name:
        # googleapis-common-protos ships this file under another name than the one it registers at run time.
        renamed = Path(name) / "google" / "longrunning" / "operations.proto"
        renamed.parent.mkdir(parents=True)
        shutil.copy(installed / "google" / "longrunning" / "operations_proto.proto", renamed)
        includes = [protos, Path(name), installed, Path(grpc_tools.__file__).parent / "_proto"]
        arguments = [
            "protoc",
            *(f"-I{include}" for include in includes),
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *(str(path) for path in sorted(protos.glob("interleaf/v1/*.proto"))),
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")


def differing(made: Path) -> list[str]:
    """Names of stubs that are missing, or not what the protos give."""
    wanted = {path.name for path in made.iterdir()}
    found = {path.name for path in STUBS.glob("*_pb2*")}
    changed = {name for name in wanted & found if not filecmp.cmp(made / name, STUBS / name, shallow=False)}
    return sorted((wanted ^ found) | changed)


def main() -> int:
    """Regenerates, or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when the stubs are stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        made = Path(name) / "interleaf" / "v1"
        stale = differing(made)
        if not check:
            for path in STUBS.glob("*_pb2*"):
                path.unlink()
            for path in made.iterdir():
                shutil.copy(path, STUBS / path.name)
    for entry in stale:
        print(f"{'stale' if check else 'regenerated'}: {entry}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
