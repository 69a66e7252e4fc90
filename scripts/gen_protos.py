"""Regenerates the stubs in interleaf/v1 from protos/, and what the HTTP description says of them.

`--check` writes nothing and exits 1 when stubs are stale. `--release` also records the API as released, in
protos/released.binpb: from then on `make test` refuses changes that break its clients. The functions here are what
tests/unit/repository calls, so that the tests and `make protos` cannot disagree.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc_tools
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "interleaf" / "v1"
COMMENTS = ROOT / "service" / "http" / "comments.json"
RELEASED = PROTOS / "released.binpb"

_GOOGLEAPIS = Path(operations_pb2.__file__).parents[2]
# What Operations needs, as registered name and as named by googleapis-common-protos.
_IMPORTED = {
    "google/longrunning/operations.proto": "google/longrunning/operations_proto.proto",
    "google/rpc/status.proto": "google/rpc/status.proto",
    **{
        f"google/api/{name}.proto": f"google/api/{name}.proto"
        for name in ("annotations", "client", "field_behavior", "http", "launch_stage")
    },
}


def make_workspace(folder: Path) -> Path:
    """Copies our protos, with those of Google that they import, to where protoc and buf find all of them."""
    shutil.copytree(PROTOS, folder, dirs_exist_ok=True)
    for registered, installed in _IMPORTED.items():
        target = folder / registered
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_GOOGLEAPIS / installed, target)
    return folder


def generate(target: Path) -> Path:
    """Writes the stubs below `target` and returns their folder."""
    with tempfile.TemporaryDirectory() as name:
        workspace = make_workspace(Path(name))
        arguments = [
            "protoc",
            f"-I{workspace}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *(str(path) for path in sorted(workspace.glob("interleaf/v1/*.proto"))),
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
    return target / "interleaf" / "v1"


def comments() -> str:
    """What the protos say of their services, calls, messages and fields, by full name, as JSON."""
    with tempfile.TemporaryDirectory() as name:
        workspace, built = make_workspace(Path(name) / "protos"), Path(name) / "built"
        arguments = [
            "protoc",
            f"-I{workspace}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--descriptor_set_out={built}",
            "--include_source_info",
            *(str(path) for path in sorted(workspace.glob("interleaf/v1/*.proto"))),
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        read = descriptor_pb2.FileDescriptorSet.FromString(built.read_bytes())
    told: dict[str, str] = {}
    for file in read.file:
        for place in file.source_code_info.location:
            text = " ".join(place.leading_comments.split())
            if text and (full := _full_name(file, list(place.path))):
                told[full] = text
    return json.dumps(dict(sorted(told.items())), indent=1, ensure_ascii=False) + "\n"


def _full_name(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """Of the part that a path of numbers leads to."""
    at: Any = file
    names = [file.package]
    while len(path) >= 2:
        number, index, *path = path
        field = at.DESCRIPTOR.fields_by_number[number]
        at = getattr(at, field.name)
        if not field.is_repeated:
            return ""
        at = at[index]
        names.append(at.name)
    return "" if path else ".".join(names)


def stale_stubs(made: Path) -> list[str]:
    """Names of committed stubs that are missing, or not what the protos give."""
    wanted = {path.name for path in made.iterdir()}
    found = {path.name for path in STUBS.glob("*_pb2*")}
    changed = {name for name in wanted & found if not filecmp.cmp(made / name, STUBS / name, shallow=False)}
    return sorted((wanted ^ found) | changed)


def buf(*arguments: str | Path, workspace: Path) -> subprocess.CompletedProcess[str]:
    """Runs buf on our protos only, offline."""
    program = Path(sys.executable).parent / "buf"
    command = [str(program), *map(str, arguments), "--path", "interleaf"]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)


def release() -> None:
    """Records the API as it is now."""
    with tempfile.TemporaryDirectory() as name:
        done = buf("build", "--exclude-source-info", "-o", RELEASED, workspace=make_workspace(Path(name)))
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def main() -> int:
    """Regenerates, or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when stubs are stale")
    parser.add_argument("--release", action="store_true", help="record the API as released")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = generate(Path(name))
        stale = stale_stubs(made)
        if not arguments.check:
            for path in STUBS.glob("*_pb2*"):
                path.unlink()
            for path in made.iterdir():
                shutil.copy(path, STUBS / path.name)
    told = comments()
    if not COMMENTS.exists() or COMMENTS.read_text(encoding="utf-8") != told:
        stale.append(COMMENTS.name)
        if not arguments.check:
            COMMENTS.write_text(told, encoding="utf-8")
    for entry in stale:
        sys.stderr.write(f"{'stale' if arguments.check else 'regenerated'}: {entry}\n")
    if arguments.release:
        release()
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
