"""What the formats share: the names of the columns, and how texts and times are checked."""

from __future__ import annotations

from datetime import UTC, datetime

from kb_store.model import RowFailure

REQUIRED = ("subject", "relation", "object")
OPTIONAL = ("aliases", "source", "fact_id", "valid_from", "valid_to")
COLUMNS = REQUIRED + OPTIONAL


class RowProblem(Exception):
    """What is wrong with the row at hand; becomes a RowFailure once its line is known."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def at(self, line: int) -> RowFailure:
        """The failure of the row on this line."""
        return RowFailure(line, self.reason, self.message)


def too_long(max_line_bytes: int) -> RowProblem:
    """A line, or a CSV row over several lines, that is not even read."""
    return RowProblem("LINE_TOO_LONG", f"longer than max_line_bytes = {max_line_bytes}")


def decode(data: bytes) -> str:
    """The text of a line."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RowProblem("INVALID_UTF8", f"not UTF-8 at byte {error.start + 1} of the row") from error


def checked(name: str, text: str) -> str:
    """The text itself; characters that no store can keep are refused."""
    if "\0" in text:
        raise RowProblem("INVALID_CHARACTER", f"{name} contains a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise RowProblem("INVALID_CHARACTER", f"{name} contains half of a surrogate pair")
    return text


def parse_time(name: str, text: str) -> datetime | None:
    """ISO 8601; a time without an offset is UTC, a date is its first moment, an empty text is no time."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RowProblem("INVALID_TIME", f"{name} is not an ISO 8601 time") from error


def format_time(time: datetime | None) -> str:
    """What `parse_time` reads back to the same microsecond."""
    return "" if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
