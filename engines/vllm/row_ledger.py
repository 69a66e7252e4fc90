"""Which facts a running engine holds, where, and who is using them.

The engine's own gatekeeper: what it lets through cannot fail in a worker. A worker that fails takes the engine and
everybody's requests with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RowError(ValueError):
    """A row that is not there, is there already, or does not fit."""


@dataclass
class Row:
    """A fact version: immutable, in neighbouring slots."""

    first: int
    count: int
    said: tuple[int, ...]
    users: int = 0
    leaving: bool = False


class RowLedger:
    """Names to slots, with reference counts. A row that is dropped while requests use it goes when they have ended."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._rows: dict[str, Row] = {}
        self._departing: list[Row] = []
        self._holes: list[tuple[int, int]] = [(0, slots)]  # first, count; ascending, never touching

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    @property
    def free(self) -> int:
        """Slots that no row has."""
        return sum(count for _, count in self._holes)

    def add(self, name: str, count: int, said: Sequence[int] = ()) -> Row:
        """RowError when the name is taken (rows never change) or there is no room."""
        if name in self._rows:
            raise RowError(f"row {name!r} is there already")
        if count < 1:
            raise RowError(f"row {name!r} has no tokens")
        for at, (first, size) in enumerate(self._holes):
            if size >= count:
                self._holes[at : at + 1] = [(first + count, size - count)] if size > count else []
                row = self._rows[name] = Row(first, count, tuple(said))
                return row
        raise RowError(f"no room for {count} tokens: {self.free} of {self._slots} slots are free")

    def use(self, names: Sequence[str]) -> list[Row]:
        """Counts a request as a user of each; all or none. RowError when one is not there."""
        rows = []
        for name in names:
            row = self._rows.get(name)
            if row is None:
                raise RowError(f"there is no row {name!r}")
            rows.append(row)
        for row in rows:
            row.users += 1
        return rows

    def release(self, rows: Sequence[Row]) -> None:
        """A request has ended."""
        for row in rows:
            row.users -= 1
            if row.leaving and not row.users:
                self._departing.remove(row)
                self._free(row)

    def drop(self, name: str) -> None:
        """New requests cannot use it; those that do keep it. RowError when it is not there."""
        row = self._rows.pop(name, None)
        if row is None:
            raise RowError(f"there is no row {name!r}")
        if row.users:
            row.leaving = True
            self._departing.append(row)
        else:
            self._free(row)

    def _free(self, row: Row) -> None:
        holes = sorted([*self._holes, (row.first, row.count)])
        merged = [holes[0]]
        for first, count in holes[1:]:
            before, size = merged[-1]
            if before + size == first:
                merged[-1] = (before, size + count)
            else:
                merged.append((first, count))
        self._holes = merged
