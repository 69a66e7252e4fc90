"""What a backup says of itself: every file with its digest, and what the database held."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kb_store.sql.snapshot import SpaceFigures

FORMAT = 1
NAME = "backup.json"
DATA = "data"  # the data directory, below the backup's folder


class BackupDamaged(ValueError):
    """A backup that is not what was made."""


class BackupFailed(Exception):
    """A backup that could not be made, or not be restored; the message says why."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """`index_sequence`: how much of the outbox the copied index has seen; None: it was left out and is made again.
    `audit_head`: the end of the audit log, for `interleaf audit verify --head`. `database`: where the database was that
    `store.database_url` named; empty: it was the data directory's own."""

    backup_id: str
    created: str  # ISO, UTC
    interleaf: str
    schema: str
    last_sequence: int
    index_sequence: int | None
    audit_head: str
    namespaces: Mapping[str, SpaceFigures]
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    database: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def facts(self) -> int:
        """Live facts of all namespaces."""
        return sum(space.facts for space in self.namespaces.values())


def digest_of(path: Path) -> FileDigest:
    """Reads the file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(path.stat().st_size, digest)


def write(folder: Path, manifest: BackupManifest) -> None:
    """Durable on return."""
    body = {"format": FORMAT, **asdict(manifest)}
    if not manifest.database:  # programs from before the key can read it
        del body["database"]
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, sort_keys=True)
    with (folder / NAME).open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> BackupManifest:
    """BackupDamaged, with a sentence, when it cannot be believed."""
    try:
        body = json.loads((folder / NAME).read_text(encoding="utf-8"))
        checksum = body.pop("checksum")
        if checksum != _checksum(body):
            raise BackupDamaged(f"{NAME} fails its checksum")
        if body.pop("format") != FORMAT:
            raise BackupDamaged("was made by a newer version of Interleaf")
        spaces = {name: SpaceFigures(**figures) for name, figures in body.pop("namespaces").items()}
        files = {name: FileDigest(**digest) for name, digest in body.pop("files").items()}
        return BackupManifest(**body, namespaces=spaces, files=files)
    except FileNotFoundError:
        raise BackupDamaged(f"there is no {NAME}: this is no backup") from None
    except BackupDamaged:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupDamaged(f"{NAME} is damaged: {error}") from error


def _checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
