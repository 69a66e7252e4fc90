"""How much memory a piece of work takes at most, as Linux counts it for this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """`megabytes` beyond what the process held before; None where the system does not count."""

    megabytes: float | None = None


@contextmanager
def peak() -> Iterator[Peak]:
    """Its figure is there at the end."""
    found = Peak()
    before = _read("VmRSS") if _reset() else None
    yield found
    after = _read("VmHWM")
    if before is not None and after is not None:
        found.megabytes = max(0.0, after - before)


def _reset() -> bool:
    """The peak is counted from now on."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _read(name: str) -> float | None:
    """In MiB."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
