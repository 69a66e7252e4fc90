"""Cuts a stream of bytes into lines without ever holding more than one line of bounded length."""

from __future__ import annotations

from typing import NamedTuple

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line without its line feed; `data` is None when the line was longer than allowed."""

    number: int
    data: bytes | None


class LineSplitter:
    """Splits at line feeds only; a carriage return before one stays part of the line.

    A byte order mark before the first line is dropped.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._number = 0
        self._pending = bytearray()
        self._overflowed = False

    def feed(self, data: bytes) -> list[Line]:
        """The lines that end in this chunk."""
        if b"\n" not in data:
            self._keep(data)
            return []
        first, *middle, last = data.split(b"\n")
        self._keep(first)
        lines = [self._complete()]
        for part in middle:
            self._keep(part)
            lines.append(self._complete())
        self._keep(last)
        return lines

    def finish(self) -> list[Line]:
        """The last line, when the file does not end in a line feed."""
        return [self._complete()] if self._pending or self._overflowed else []

    def _keep(self, part: bytes) -> None:
        if self._overflowed:
            return
        # Three bytes of grace for a byte order mark that is dropped later.
        if len(self._pending) + len(part) > self._max + len(_BYTE_ORDER_MARK):
            self._overflowed = True
            self._pending.clear()
        else:
            self._pending += part

    def _complete(self) -> Line:
        self._number += 1
        data: bytes | None = bytes(self._pending)
        if self._number == 1 and data is not None:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        if self._overflowed or (data is not None and len(data) > self._max):
            data = None
        self._pending.clear()
        self._overflowed = False
        return Line(self._number, data)
