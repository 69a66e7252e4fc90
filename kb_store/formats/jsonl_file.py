"""JSONL: one JSON object a line, with the same keys as the CSV columns; `aliases` is a list of texts.

An optional key may be absent or null. Unknown and repeated keys are refused, so that a misspelt key is
noticed rather than lost.
"""

from __future__ import annotations

import json
from typing import Any

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


class JsonlReader:
    """Rows of one JSONL file; empty lines are passed over."""

    def __init__(self, max_line_bytes: int) -> None:
        self._splitter = LineSplitter(max_line_bytes)
        self._max = max_line_bytes

    def feed(self, data: bytes) -> list[Row]:
        """Rows that end in this chunk."""
        return self._rows(self._splitter.feed(data))

    def finish(self) -> list[Row]:
        """The last row, when no line feed follows it."""
        return self._rows(self._splitter.finish())

    def _rows(self, lines: list[Line]) -> list[Row]:
        rows: list[Row] = []
        for number, data in lines:
            try:
                if data is None:
                    raise too_long(self._max)
                if data and not data.isspace():
                    rows.append(_read_row(decode(data), number))
            except RowProblem as problem:
                rows.append(problem.at(number))
        return rows


def _read_row(text: str, line: int) -> ImportRow:
    try:
        values = json.loads(text, object_pairs_hook=_unique)
    except RowProblem:
        raise
    except json.JSONDecodeError as error:
        raise RowProblem("MALFORMED_ROW", f"{error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise RowProblem("MALFORMED_ROW", "not readable as JSON: too deep, or a number too long") from error
    if not isinstance(values, dict):
        raise RowProblem("WRONG_TYPE", "the line is not a JSON object")
    for key in values:
        if key not in COLUMNS:
            raise RowProblem("UNKNOWN_FIELD", f"unknown key {key[:64]!r}; known are {', '.join(COLUMNS)}")
    for key in REQUIRED:
        if values.get(key) is None:
            raise RowProblem("MISSING_FIELD", f"{key} is missing")
    content = Content(
        subject=_text(values, "subject"),
        relation=_text(values, "relation"),
        object=_text(values, "object"),
        aliases=_texts(values, "aliases"),
        source=_text(values, "source"),
        valid_from=parse_time("valid_from", _text(values, "valid_from")),
        valid_to=parse_time("valid_to", _text(values, "valid_to")),
    )
    return ImportRow(line, content, _text(values, "fact_id"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise RowProblem("MALFORMED_ROW", "a key stands twice in one object")
    return values


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowProblem("WRONG_TYPE", f"{key} is not a text")
    return checked(key, value)


def _texts(values: dict[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RowProblem("WRONG_TYPE", f"{key} is not a list of texts")
    return tuple(checked(key, item) for item in value)


class JsonlWriter:
    """Keys that say nothing are left out."""

    def begin(self) -> bytes:
        """A JSONL file has no header."""
        return b""

    def add(self, content: Content, fact_id: str = "") -> bytes:
        """One line."""
        values = {
            "subject": content.subject,
            "relation": content.relation,
            "object": content.object,
            "aliases": list(content.aliases),
            "source": content.source,
            "fact_id": fact_id,
            "valid_from": format_time(content.valid_from),
            "valid_to": format_time(content.valid_to),
        }
        said = {key: value for key, value in values.items() if value or key in REQUIRED}
        return (json.dumps(said, ensure_ascii=False) + "\n").encode()
