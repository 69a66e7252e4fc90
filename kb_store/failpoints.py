"""Places where a test may kill the process, to prove that a crash there loses nothing.

A room names its places once at import (`register`) and passes through them (`hit`). Nothing happens unless
the environment says `INTERLEAF_FAILPOINT=name` or `name:n`: then the n-th pass ends the process with SIGKILL,
as abruptly as a power switch would, without any clean-up.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "INTERLEAF_FAILPOINT"

_names: list[str] = []
_lock = threading.Lock()


def _parse(value: str) -> tuple[str, int]:
    name, _, count = value.partition(":")
    if count and not (count.isdecimal() and int(count) > 0):
        raise ValueError(f"{VARIABLE}={value!r}: expected name or name:n with n >= 1")
    return name, int(count or 1)


_armed, _left = _parse(os.environ.get(VARIABLE, ""))


def register(name: str) -> str:
    """Declares a failpoint and returns its name."""
    if name not in _names:
        _names.append(name)
    return name


def registered() -> tuple[str, ...]:
    """All failpoints of the modules imported so far."""
    return tuple(sorted(_names))


def hit(name: str) -> None:
    """Ends the process here when this failpoint is armed and its turn has come."""
    if not _armed or name != _armed:
        return
    global _left
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
