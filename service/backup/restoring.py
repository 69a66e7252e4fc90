"""Verifying a backup, and making a data directory of it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from kb_store.errors import StoreError
from kb_store.sql import open_store
from kb_store.sql.snapshot import describe, problems_of
from service.backup import manifest as files
from service.backup.manifest import DATA, BackupDamaged, BackupFailed, BackupManifest
from service.backup.partial import LOCK, PARTIAL, being_made, clear
from service.config import ConfigError
from service.datadir import DATABASE, MOVED, RESTORING, DataDir, is_half_restored


def verify(folder: Path) -> tuple[BackupManifest, list[str]]:
    """Reads every byte; what is wrong, in sentences. BackupDamaged when not even the manifest can be believed."""
    manifest = files.read(folder)
    problems = [*_files(folder / DATA, manifest)]
    if not any(problem.startswith(DATABASE) for problem in problems):
        problems += problems_of(folder / DATA / DATABASE)
        problems += _contents(folder / DATA / DATABASE, manifest)
    return manifest, problems


def _files(data: Path, manifest: BackupManifest) -> Iterator[str]:
    for name, expected in manifest.files.items():
        path = data / name
        if not path.is_file() or path.is_symlink():
            yield f"{name} is missing"
        elif path.stat().st_size != expected.size:
            yield f"{name} has {path.stat().st_size} bytes, {expected.size} were saved"
        elif files.digest_of(path) != expected:
            yield f"{name} fails its checksum"
    there = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
    for name in sorted(there - manifest.files.keys() - {LOCK}):
        yield f"{name} is not part of the backup"


def _contents(database: Path, manifest: BackupManifest) -> Iterator[str]:
    try:
        found = describe(database)
    except StoreError as error:
        yield error.message
        return
    said = (manifest.schema, manifest.last_sequence, manifest.audit_head, dict(manifest.namespaces))
    if (found.schema, found.last_sequence, found.audit_head, dict(found.namespaces)) != said:
        yield f"{DATABASE} does not say what the manifest says of it"


def restore(folder: Path, data_dir: Path) -> BackupManifest:
    """Makes `data_dir`, which must not be there or be empty. It appears only when everything in it was checked: every
    digest, and the database with itself. BackupFailed otherwise, and nothing is left.

    A database of an older version is brought to this one's, as a server would. What another restore that was killed has
    left is removed.
    """
    try:
        manifest = files.read(folder)
        if data_dir.exists():
            _restore_inside(folder, data_dir, manifest)
        else:
            _restore_beside(folder, data_dir, manifest)
    except (BackupDamaged, ConfigError, OSError, shutil.Error) as error:
        raise BackupFailed(f"{folder.name} cannot be restored: {error}") from error
    return manifest


def _restore_beside(folder: Path, data_dir: Path, manifest: BackupManifest) -> None:
    parent, prefix = data_dir.absolute().parent, f"{PARTIAL}{data_dir.name}-"
    parent.mkdir(parents=True, exist_ok=True)
    clear(parent, prefix)
    with being_made(lambda: Path(mkdtemp(prefix=prefix, dir=parent))) as partial:
        _copy(folder, partial, manifest)
        partial.rename(data_dir)


def _restore_inside(folder: Path, data_dir: Path, manifest: BackupManifest) -> None:
    """A folder that is there may be where something is mounted, which nothing can be renamed over."""
    if not _is_free(data_dir):
        raise BackupFailed(f"{data_dir} is there and not empty: restore into a new directory")
    with DataDir(data_dir, restoring=True):
        try:
            _clear_inside(data_dir)
            if not _is_free(data_dir):
                raise BackupFailed(f"{data_dir} is there and not empty: restore into a new directory")
            data = data_dir / RESTORING / DATA
            data.mkdir(parents=True, mode=0o700)
            _copy(folder, data, manifest)
            names = sorted((path.name for path in data.iterdir()), key=lambda name: (name == DATABASE, name))
            (data_dir / RESTORING / MOVED).write_text(json.dumps(names), encoding="utf-8")
            for name in names:
                (data / name).rename(data_dir / name)
            (data_dir / RESTORING / MOVED).unlink()  # from here on a server starts
        finally:
            _clear_inside(data_dir)


def _is_free(data_dir: Path) -> bool:
    """Whether nothing is there but what a new file system has, and what a restore that was killed has left."""
    if not data_dir.is_dir():
        return False
    left = {".lock", "lost+found"}
    if is_half_restored(data_dir):
        left |= {RESTORING, *_moved(data_dir)}
    return all(path.name in left for path in data_dir.iterdir())


def _moved(data_dir: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads((data_dir / RESTORING / MOVED).read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError):  # a list that was not written whole: nothing has been moved
        return []


def _clear_inside(data_dir: Path) -> None:
    """What was moved goes before the list of it: whatever ends this, the next one knows what there is to remove."""
    for name in _moved(data_dir):
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    shutil.rmtree(data_dir / RESTORING, ignore_errors=True)


def _copy(folder: Path, target: Path, manifest: BackupManifest) -> None:
    shutil.copytree(folder / DATA, target, dirs_exist_ok=True)
    problems = [*_files(target, manifest)] or _examine(target / DATABASE, manifest)
    if problems:
        raise BackupFailed(f"the backup is damaged: {'; '.join(problems)}")


def _examine(database: Path, manifest: BackupManifest) -> list[str]:
    problems = [*problems_of(database), *_contents(database, manifest)]
    if problems:
        return problems
    try:
        store = open_store(database)
    except StoreError as error:
        return [error.message]
    try:
        return store.check()
    finally:
        store.close()
