"""Texts of others on a terminal: what a fact or a model says must not move the cursor or pass for markup."""

from __future__ import annotations

import dataclasses
import enum
import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

# Format characters that scripts need (joiners) pass; those that reorder or hide text are shown as escapes.
_HARMLESS_FORMAT = frozenset("\u200c\u200d")
_SUSPECT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_TO_THE_SECOND = "%Y-%m-%d %H:%M:%S"


def _escape(character: str) -> str:
    if character in _HARMLESS_FORMAT or unicodedata.category(character) not in _SUSPECT_CATEGORIES:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with every control character written out (`\\x1b`); `lines` keeps line breaks and tabs."""
    keep = "\n\t" if lines else ""
    return "".join(character if character in keep else _escape(character) for character in text)


def cell(text: object, style: str = "") -> Text:
    """A text for a table or panel, taken literally."""
    return Text(visible(str(text)), style=style)


def block(text: str, style: str = "") -> Text:
    """A text of several lines, taken literally."""
    return Text(visible(text, lines=True), style=style)


def when(time: datetime | None) -> str:
    """A time for people: local, to the second. Where the calendar has no such local time, in UTC."""
    if time is None:
        return ""
    try:
        return time.astimezone().strftime(_TO_THE_SECOND)
    except OverflowError:
        return time.astimezone(UTC).strftime(f"{_TO_THE_SECOND} UTC")


def plain(value: Any) -> Any:
    """A result as JSON knows it; facts and namespaces get their short `id` too."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        identity = getattr(value, "id", None)
        return fields if identity is None else {"id": identity, **fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def json_line(value: Any) -> str:
    """One line of JSON, all in ASCII: no terminal takes it for anything else."""
    return json.dumps(plain(value))
