"""The data folder: one server at a time; and the database, where it lies elsewhere."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from kb_store.errors import StoreError
from kb_store.sql.snapshot import sqlite_file
from service.config import ConfigError, Settings

DATABASE = "facts.db"
RESTORING = ".partial-restore"  # what is restored into a folder that was there
LOCK = ".lock"
MOVED = "moved.json"  # in it: what of it is being moved to its place, the database last
INDEX_FOLDER = "index"
KEY_STATISTICS_FOLDER = "key-statistics"  # made again where they are missing: no backup holds them


class DataDir:
    """A locked data folder; made when it is not there. The lock falls with the process, however it ends."""

    def __init__(self, path: Path, *, restoring: bool = False) -> None:
        self.path = path
        self._handle = _locked(path / LOCK, f"store.data_dir: {path}")
        if not restoring and is_half_restored(path):
            os.close(self._handle)
            raise ConfigError(f"store.data_dir: a restore into {path} was not finished: start it again")

    @property
    def index(self) -> Path:
        """The folder of the vector index."""
        return self.path / INDEX_FOLDER

    @property
    def token_key(self) -> Path:
        """The key of page tokens."""
        return self.path / "page-token.key"

    @property
    def replica(self) -> str:
        """Who this server is among several at one database: kept with its index."""
        path = self.path / "replica"
        try:
            name = path.read_text(encoding="ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            name = ""
        if not name:
            name = secrets.token_hex(8)
            path.write_text(name + "\n", encoding="ascii")
        return name

    def close(self) -> None:
        """Lets the next one in."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(path: Path, what: str) -> int:
    """Falls when it is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{what} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ConfigError(f"{what} is in use by another server") from None
    return handle


@contextmanager
def database_lock(settings: Settings) -> Iterator[None]:
    """Of a SQLite database outside the data folder: what one server writes, another one at it would not hear of."""
    try:
        named = sqlite_file(settings.database)
    except StoreError:  # PostgreSQL tells all servers at it; what it is otherwise, the store says
        named = Path()
    file = named.resolve()
    # A database called as that of a data folder is that folder's, whose server holds the folder's lock.
    lock = file.with_name(LOCK if file.name == DATABASE else f"{file.name}{LOCK}")
    if not named.name or named.name == ":memory:" or lock == (settings.store.data_dir / LOCK).resolve():
        yield
        return
    handle = _locked(lock, f"store.database_url: {named}")
    try:
        yield
    finally:
        os.close(handle)


def is_half_restored(path: Path) -> bool:
    """Whether a restore is at work in this folder, or was killed there."""
    return (path / RESTORING).exists() and (
        not (path / DATABASE).exists() or (path / RESTORING / MOVED).exists()
    )


def overlooked(settings: Settings) -> Path | None:
    """A database in the data folder that is not the configured one: of before, or one that was just restored."""
    own = settings.store.data_dir / DATABASE
    if not own.exists():
        return None
    try:
        return None if sqlite_file(settings.database).resolve() == own.resolve() else own
    except StoreError:  # no SQLite
        return own
