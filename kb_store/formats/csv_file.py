"""CSV: a header row that names the columns in any order, then one fact a row.

Columns are subject, relation, object (required), aliases, source, fact_id, valid_from, valid_to. Aliases are
separated by `|`; an alias that contains one is written with a backslash before it. Quoting follows RFC 4180:
a quoted field may contain commas, line breaks and doubled quotes. A row is reported with the line it begins on.
"""

from __future__ import annotations

import csv
import re

from kb_store.errors import InvalidInput
from kb_store.formats.contract import Row
from kb_store.formats.fields import (
    COLUMNS,
    REQUIRED,
    RowProblem,
    checked,
    decode,
    format_time,
    parse_time,
    too_long,
)
from kb_store.formats.lines import Line, LineSplitter
from kb_store.model import Content, ImportRow

_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_ALIAS_PART = re.compile(r"((?:[^|\\]|\\[|\\]|\\)*)(?:\||$)", re.DOTALL)
_ALIAS_ESCAPE = re.compile(r"\\([|\\])")


def ends_in_quotes(line: bytes, in_quotes: bool) -> bool:
    """Whether a quoted field is open after this line, given whether one was open before it."""
    position, end = 0, len(line)
    while position < end or in_quotes:
        if in_quotes:
            quote = line.find(b'"', position)
            if quote < 0:
                return True
            position = quote + 1
            if line[position : position + 1] == b'"':
                position += 1
                continue
            in_quotes = False
        elif line[position] == 0x22:
            in_quotes = True
            position += 1
            continue
        comma = line.find(b",", position)
        if comma < 0:
            return False
        position = comma + 1
    return False


class CsvReader:
    """Rows of one CSV file. A quote that is never closed makes one failed row of at most max_line_bytes."""

    def __init__(self, max_line_bytes: int) -> None:
        self._splitter = LineSplitter(max_line_bytes)
        self._max = max_line_bytes
        self._header: list[str] | None = None
        self._row: list[bytes] = []
        self._row_line = 0
        self._row_bytes = 0
        self._in_quotes = False

    def feed(self, data: bytes) -> list[Row]:
        """Rows that end in this chunk."""
        rows: list[Row] = []
        for line in self._splitter.feed(data):
            self._take(line, rows)
        return rows

    def finish(self) -> list[Row]:
        """The last row, when no line feed follows it."""
        rows: list[Row] = []
        for line in self._splitter.finish():
            self._take(line, rows)
        if self._row:
            self._end_row(rows)
        return rows

    def _take(self, line: Line, rows: list[Row]) -> None:
        number, data = line
        if not self._row:
            self._row_line, self._row_bytes = number, 0
        self._row_bytes += 1 + (self._max if data is None else len(data))
        if data is None or self._row_bytes > self._max + 1:
            self._refuse(too_long(self._max), rows)
            return
        self._row.append(data)
        if self._in_quotes or b'"' in data:
            self._in_quotes = ends_in_quotes(data, self._in_quotes)
        if not self._in_quotes:
            self._end_row(rows)

    def _end_row(self, rows: list[Row]) -> None:
        data = b"\n".join(self._row).removesuffix(b"\r")
        last_line = self._row_line + len(self._row) - 1
        try:
            fields = self._split(data, last_line)
            if self._header is None:
                if fields:
                    self._header = _read_header(fields)
            elif fields:
                rows.append(_read_row(self._header, fields, self._row_line))
        except RowProblem as problem:
            self._refuse(problem, rows)
        self._row = []
        self._in_quotes = False

    def _split(self, data: bytes, last_line: int) -> list[str]:
        text = decode(data)
        try:
            return next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            where = f" (lines {self._row_line} to {last_line} read as one row)" if len(self._row) > 1 else ""
            raise RowProblem("MALFORMED_ROW", f"{error}{where}") from error

    def _refuse(self, problem: RowProblem, rows: list[Row]) -> None:
        if self._header is None:
            raise InvalidInput("data", f"the CSV header is unreadable: {problem.message}")
        rows.append(problem.at(self._row_line))
        self._row = []
        self._in_quotes = False


def _read_header(fields: list[str]) -> list[str]:
    names = [field.strip().lower() for field in fields]
    known = ", ".join(COLUMNS)
    for name in names:
        if name not in COLUMNS:
            raise InvalidInput(
                "data", f"the CSV header has an unknown column {name[:64]!r}; known are {known}"
            )
        if names.count(name) > 1:
            raise InvalidInput("data", f"the CSV header has the column {name} twice")
    for name in REQUIRED:
        if name not in names:
            raise InvalidInput("data", f"the CSV header lacks the column {name}; known are {known}")
    return names


def _read_row(header: list[str], fields: list[str], line: int) -> ImportRow:
    if len(fields) != len(header):
        reason = "MISSING_COLUMN" if len(fields) < len(header) else "EXTRA_COLUMN"
        raise RowProblem(reason, f"{len(fields)} columns where the header has {len(header)}")
    values = {name: checked(name, field) for name, field in zip(header, fields, strict=True)}
    content = Content(
        subject=values["subject"],
        relation=values["relation"],
        object=values["object"],
        aliases=split_aliases(values.get("aliases", "")),
        source=values.get("source", ""),
        valid_from=parse_time("valid_from", values.get("valid_from", "")),
        valid_to=parse_time("valid_to", values.get("valid_to", "")),
    )
    return ImportRow(line, content, values.get("fact_id", ""))


def split_aliases(text: str) -> tuple[str, ...]:
    """`A|B\\|C` is "A" and "B|C"; empty parts count for nothing."""
    if "\\" not in text:
        return tuple(part for part in text.split("|") if part)
    parts = (_ALIAS_ESCAPE.sub(r"\1", match[1]) for match in _ALIAS_PART.finditer(text))
    return tuple(part for part in parts if part)


def join_aliases(aliases: tuple[str, ...]) -> str:
    """What `split_aliases` takes apart again."""
    return "|".join(alias.replace("\\", "\\\\").replace("|", "\\|") for alias in aliases)


class CsvWriter:
    """All columns, line feeds as line ends."""

    def begin(self) -> bytes:
        """The header."""
        return _line(COLUMNS)

    def add(self, content: Content, fact_id: str = "") -> bytes:
        """One row."""
        return _line(
            (
                content.subject,
                content.relation,
                content.object,
                join_aliases(content.aliases),
                content.source,
                fact_id,
                format_time(content.valid_from),
                format_time(content.valid_to),
            )
        )


def _line(fields: tuple[str, ...]) -> bytes:
    return (",".join(map(_quote, fields)) + "\n").encode()


def _quote(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if _NEEDS_QUOTES.search(field) else field
