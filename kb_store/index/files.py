"""Index files that are whole or not there: a generation of files is made true by one rename of the manifest.

manifest.json            which file holds which namespace, with checksums, and what all of it is for
<name>-<generation>.faiss
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kb_store import failpoints
from kb_store.errors import IndexCorrupt

FORMAT = 1
MANIFEST = "manifest.json"
_SUFFIX, _TEMPORARY = ".faiss", ".tmp"

BEFORE_FILE_FSYNC = failpoints.register("index.before_file_fsync")
AFTER_FILE_FSYNC = failpoints.register("index.after_file_fsync")
AFTER_FILE_RENAME = failpoints.register("index.after_file_rename")
BEFORE_MANIFEST_RENAME = failpoints.register("index.before_manifest_rename")
AFTER_MANIFEST_RENAME = failpoints.register("index.after_manifest_rename")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One namespace's file."""

    file: str
    sha256: str
    kind: str
    count: int
    probes: int
    recall: float
    built_for: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that a saved index must agree with before it is believed."""

    embedder: str
    dimension: int
    sequence: int
    generation: int
    damaged: tuple[str, ...] = ()  # namespaces that wait to be rebuilt
    namespaces: Mapping[str, FileEntry] = field(default_factory=dict)


def file_name(namespace: str, generation: int) -> str:
    """A new file for each save, so that the old state stays whole until the manifest changes."""
    return f"{hashlib.sha256(namespace.encode()).hexdigest()[:24]}-{generation:012d}{_SUFFIX}"


def write_file(folder: Path, name: str, write: Callable[[str], None]) -> str:
    """Has `write` fill a file, makes it durable under its name, and returns its sha256."""
    temporary = folder / (name + _TEMPORARY)
    try:
        write(str(temporary))
        failpoints.hit(BEFORE_FILE_FSYNC)
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        failpoints.hit(AFTER_FILE_FSYNC)
        temporary.rename(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(folder)
    failpoints.hit(AFTER_FILE_RENAME)
    return digest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The moment at which a new state becomes the state."""
    body = {"format": FORMAT, **asdict(manifest)}
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=True)
    temporary = folder / (MANIFEST + _TEMPORARY)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        failpoints.hit(BEFORE_MANIFEST_RENAME)
        temporary.rename(folder / MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(folder)
    failpoints.hit(AFTER_MANIFEST_RENAME)


def read_manifest(folder: Path) -> Manifest | None:
    """None when nothing was ever saved; IndexCorrupt when something was and cannot be believed."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise IndexCorrupt(f"the index manifest cannot be read: {error}") from error
    try:
        body = json.loads(text)
        checksum = body.pop("checksum")
        if body.pop("format") != FORMAT or checksum != _checksum({"format": FORMAT, **body}):
            raise IndexCorrupt("the index manifest fails its checksum")
        entries = {name: FileEntry(**entry) for name, entry in body.pop("namespaces").items()}
        damaged = tuple(body.pop("damaged"))
        return Manifest(**body, damaged=damaged, namespaces=entries)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IndexCorrupt(f"the index manifest is damaged: {error}") from error


def check_file(folder: Path, entry: FileEntry) -> str:
    """The path of a file whose bytes are those that were saved; IndexCorrupt otherwise."""
    path = folder / entry.file
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IndexCorrupt(f"the index file {entry.file} cannot be read: {error.strerror}") from error
    if digest != entry.sha256:
        raise IndexCorrupt(f"the index file {entry.file} fails its checksum")
    return str(path)


def remove_others(folder: Path, keep: Iterable[str]) -> None:
    """Removes index files, and remains of interrupted saves, that the manifest does not name."""
    kept = set(keep)
    for path in folder.iterdir():
        ours = path.name.endswith((_SUFFIX, _SUFFIX + _TEMPORARY, MANIFEST + _TEMPORARY))
        if ours and path.name not in kept:
            path.unlink(missing_ok=True)


def _checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
