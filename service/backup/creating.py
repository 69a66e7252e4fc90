"""Making a backup beside a server that goes on writing.

The index is copied before the database, so that it can only be behind; what it lacks is still in the database's outbox
and is caught up after a restore. Where the server saved its index in between, both are copied again; an index that
still does not fit is left out, and made again from SQL.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from kb_store.errors import IndexCorrupt, StoreError
from kb_store.index.files import MANIFEST, check_file, read_manifest
from kb_store.sql.snapshot import Described, copy_database, describe
from service.backup import manifest as files
from service.backup.manifest import DATA, BackupFailed, BackupManifest, FileDigest
from service.backup.partial import LOCK, PARTIAL, being_made, clear, left, remove
from service.datadir import DATABASE, INDEX_FOLDER, KEY_STATISTICS_FOLDER

_STEM = "interleaf-"
_ATTEMPTS = 3
_BLOCK = 1 << 20
_BESIDE = ("", "-wal", "-shm", "-journal", ".lock")  # what SQLite and a server lay beside a database
# The database is copied by SQLite, the index by its manifest; the lock belongs to a running server.
_LEFT_OUT = frozenset({*(DATABASE + end for end in _BESIDE), ".lock", INDEX_FOLDER, KEY_STATISTICS_FOLDER})


def create(data_dir: Path, database: Path, into: Path) -> tuple[Path, BackupManifest]:
    """A new folder below `into` with a copy of everything; BackupFailed when it cannot be made.

    It appears under its name only when it is whole and durable. What others that were killed have left is removed.
    """
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        clear(into, PARTIAL + _STEM)
        with being_made(lambda: _place(into)) as partial:
            name = partial.name.removeprefix(PARTIAL)
            manifest = _fill(partial, name, data_dir, database)
            files.write(partial, manifest)
            _sync_folders(partial)
            partial.rename(into / name)
            (into / name / LOCK).unlink(missing_ok=True)
            _sync(into)
    except (OSError, StoreError) as error:
        raise BackupFailed(f"the backup could not be made: {error}") from error
    return into / name, manifest


def _place(into: Path) -> Path:
    stem = f"{_STEM}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1, 1000):
        name = stem if number == 1 else f"{stem}-{number}"
        if not (into / name).exists():
            try:
                (into / f"{PARTIAL}{name}").mkdir(mode=0o700)
            except FileExistsError:
                continue
            return into / f"{PARTIAL}{name}"
    raise BackupFailed(f"there are too many backups of this second in {into}")


def _fill(partial: Path, name: str, data_dir: Path, database: Path) -> BackupManifest:
    created = datetime.now(UTC)
    data = partial / DATA
    data.mkdir(mode=0o700)
    found: dict[str, FileDigest] = {}
    described, index_sequence = _copy_database_and_index(data_dir, database, data, found)
    named = {Path(f"{database.resolve()}{end}") for end in _BESIDE}
    for path in _others(data_dir):
        if path.resolve() in named:
            continue
        relative = path.relative_to(data_dir).as_posix()
        try:
            found[relative] = _copy(path, data / relative)
        except FileNotFoundError:  # removed since it was listed
            (data / relative).unlink(missing_ok=True)
    return BackupManifest(
        backup_id=name,
        created=created.isoformat(),
        interleaf=version("interleaf"),
        schema=described.schema,
        last_sequence=described.last_sequence,
        index_sequence=index_sequence,
        audit_head=described.audit_head,
        namespaces=described.namespaces,
        files=dict(sorted(found.items())),
        database="" if database.resolve() == (data_dir / DATABASE).resolve() else str(database.resolve()),
    )


def _copy_database_and_index(
    data_dir: Path, database: Path, data: Path, found: dict[str, FileDigest]
) -> tuple[Described, int | None]:
    for _ in range(_ATTEMPTS):
        sequence, copied = _copy_index(data_dir / INDEX_FOLDER, data / INDEX_FOLDER)
        (data / DATABASE).unlink(missing_ok=True)
        copy_database(database, data / DATABASE)
        described = describe(data / DATABASE)
        if sequence is None or described.continues(sequence):
            break
    else:
        sequence, copied = None, {}
    if sequence is None:
        shutil.rmtree(data / INDEX_FOLDER, ignore_errors=True)
    (data / DATABASE).chmod(0o600)
    found[DATABASE] = files.digest_of(data / DATABASE)
    found.update(copied)
    return described, sequence


def _copy_index(source: Path, target: Path) -> tuple[int | None, dict[str, FileDigest]]:
    """The sequence that the copied index has seen; None when there is none that can be believed."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(target, ignore_errors=True)
        try:
            manifest = read_manifest(source)
            if manifest is None:
                return None, {}
            copied = {
                entry.file: _copy(source / entry.file, target / entry.file)
                for entry in manifest.namespaces.values()
            }
            copied[MANIFEST] = _copy(source / MANIFEST, target / MANIFEST)
            if read_manifest(target) != manifest:
                continue  # saved again in between
            for entry in manifest.namespaces.values():
                check_file(target, entry)
        except FileNotFoundError:  # as above: the old files are gone
            continue
        except IndexCorrupt:
            return None, {}
        return manifest.sequence, {f"{INDEX_FOLDER}/{name}": digest for name, digest in copied.items()}
    return None, {}


def _others(data_dir: Path) -> Iterator[Path]:
    """What links lead to is copied too: an encoder may lie elsewhere. Earlier backups are not, wherever they lie."""
    for folder, below, names in os.walk(data_dir, followlinks=True):
        here = Path(folder)
        if files.NAME in names and DATA in below:
            below.clear()
            continue
        # No link that leads back to where it was come from: that way is endless.
        way = [each.resolve() for each in (here, *here.parents) if each.is_relative_to(data_dir)]
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(PARTIAL)
            and not any(each.is_relative_to((here / name).resolve()) for each in way)
        )
        for name in sorted(names):
            path = here / name
            parts = path.relative_to(data_dir).parts
            unfinished = any(part.startswith(PARTIAL) or part.endswith(".tmp") for part in parts)
            ours = parts[0] in _LEFT_OUT
            if path.is_file() and not unfinished and not ours:
                yield path


def _copy(source: Path, target: Path) -> FileDigest:
    """What was read is what the digest is of; durable on return."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(_BLOCK):
            digest.update(block)
            size += len(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    target.chmod(source.stat().st_mode & 0o777)
    return FileDigest(size, digest.hexdigest())


def _sync_folders(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_backups(folder: Path) -> list[tuple[Path, BackupManifest | None]]:
    """The newest first; None beside one whose manifest cannot be believed."""
    found: list[tuple[Path, BackupManifest | None]] = []
    for path in sorted(folder.glob("*/" + files.NAME)):
        if path.parent.name.startswith(PARTIAL):
            continue
        try:
            found.append((path.parent, files.read(path.parent)))
        except files.BackupDamaged:
            found.append((path.parent, None))
    return sorted(found, key=lambda item: item[1].created if item[1] else "", reverse=True)


def unfinished(folder: Path) -> list[Path]:
    """What is being made, or was left by one that was killed, and is removed by the next `create`."""
    return left(folder, PARTIAL + _STEM) if folder.is_dir() else []


def prune(folder: Path, keep: int) -> list[Path]:
    """Removes all but the newest `keep` of those that can be believed; those that were removed."""
    sound = [path for path, manifest in list_backups(folder) if manifest is not None]
    for path in sound[keep:]:
        # First out of the list, so that half of one is never taken for a whole one.
        remove(path.rename(path.with_name(PARTIAL + path.name)), ours=True)
    return sound[keep:]
