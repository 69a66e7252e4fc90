"""Folders that are not whole yet. Who makes one holds its lock: what a killed one has left can be told from it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial-"
LOCK = ".lock"  # where a folder becomes a data directory, this becomes its lock
_ATTEMPTS = 10


@contextmanager
def being_made(make: Callable[[], Path]) -> Iterator[Path]:
    """A folder that `make` makes, locked while it is filled; gone in the end unless it was renamed."""
    path, handle = _made(make)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _made(make: Callable[[], Path]) -> tuple[Path, int | None]:
    for _ in range(_ATTEMPTS):
        path = make()
        try:
            return path, _take(path)
        except BlockingIOError:  # somebody took it for one that was left, just before it was locked
            continue
        except OSError:  # a file system without locks: nobody will clear it away either
            return path, None
    raise OSError(errno.EBUSY, "others remove what is begun here")


def clear(folder: Path, prefix: str) -> None:
    """Removes what was left there by those that were killed."""
    for path in left(folder, prefix):
        remove(path)


def left(folder: Path, prefix: str = PARTIAL) -> list[Path]:
    """What is being made there, or was left."""
    return sorted(path for path in folder.iterdir() if path.name.startswith(prefix) and path.is_dir())


def remove(folder: Path, *, ours: bool = False) -> None:
    """Unless somebody is at work there. What is not `ours` stays where that cannot be known, or not be removed."""
    handle = None
    try:
        handle = _take(folder)
    except BlockingIOError:
        return
    except OSError:
        if not ours:
            return
    try:
        shutil.rmtree(folder, ignore_errors=not ours)
    finally:
        if handle is not None:
            os.close(handle)


def _take(folder: Path) -> int:
    """Its lock; BlockingIOError when somebody has it, or the folder is gone."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(path), os.fstat(handle)):
                return handle
            raise FileNotFoundError(errno.ENOENT, "it was removed meanwhile")
        except OSError:
            os.close(handle)
            raise
    except FileNotFoundError as error:
        raise BlockingIOError(errno.EAGAIN, "it is gone") from error
