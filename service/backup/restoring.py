"""Verifying a backup, and making a data directory of it again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from kb_store.errors import StoreError
from kb_store.sql import open_store
from kb_store.sql.snapshot import describe, problems_of
from service.backup import manifest as files
from service.backup.creating import PARTIAL
from service.backup.manifest import DATA, BackupDamaged, BackupFailed, BackupManifest
from service.datadir import DATABASE


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
    for name in sorted(there - manifest.files.keys()):
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

    A database of an older version is brought to this one's, as a server would.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise BackupFailed(f"{data_dir} is there and not empty: restore into a new directory")
    try:
        manifest = files.read(folder)
        data_dir.absolute().parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: what a restore that was killed has left does not hinder this one.
        partial = Path(mkdtemp(prefix=f"{PARTIAL}{data_dir.name}-", dir=data_dir.absolute().parent))
        try:
            shutil.copytree(folder / DATA, partial, dirs_exist_ok=True)
            problems = [*_files(partial, manifest)] or _examine(partial / DATABASE, manifest)
            if problems:
                raise BackupFailed(f"the backup is damaged: {'; '.join(problems)}")
            if data_dir.exists():
                data_dir.rmdir()
            partial.rename(data_dir)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (BackupDamaged, OSError, shutil.Error) as error:
        raise BackupFailed(f"{folder.name} cannot be restored: {error}") from error
    return manifest


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
