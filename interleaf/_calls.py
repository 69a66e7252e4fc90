"""What a method wants done, as a value: `Client` and `AsyncClient` only differ in how they carry it out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from interleaf._types import ImportReport

T = TypeVar("T")
Kind = Literal["call", "generate", "transfer"]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call. `request` is built once: a repeated attempt sends the same request_id."""

    rpc: str
    request: Any
    response: Any
    decode: Callable[[Any], T]
    kind: Kind = "call"


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """A list that comes in pages: `page` makes the call for a page token, its result is (items, next token)."""

    page: Callable[[str], Call[tuple[list[T], str]]]


@dataclass(frozen=True, slots=True)
class Polled(Generic[T]):
    """A call that is repeated until `done` says so."""

    call: Call[T]
    done: Callable[[T], bool]
    timeout: float | None
    what: str


@dataclass(frozen=True, slots=True)
class Streamed(Generic[T]):
    """One request, many messages; `decode` makes the items."""

    rpc: str
    request: Any
    response: Any
    decode: Callable[[Any], T]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Started(Generic[T]):
    """A call that begins long work and returns its operation; `decode` reads the operation's packed response."""

    call: Call[Any]
    decode: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Upload:
    """An import. `requests` opens the data anew for every attempt; the server passes over committed rows."""

    rpc: str
    requests: Callable[[], Iterator[Any]]
    response: Any
    start: ImportReport
    fold: Callable[[ImportReport, Any], ImportReport]
    progress: Callable[[ImportReport], None] | None


def several(what: str, given: Iterable[T]) -> tuple[T, ...]:
    """What stands in a list. A text alone is refused: it would be taken apart into its letters."""
    if isinstance(given, str):
        raise ValueError(f"{what}: give a list, such as [{given!r}]")
    return tuple(given)


def new_request_id(given: str | None) -> str:
    """The id that makes a retry safe, made once per logical call."""
    return given or str(uuid.uuid4())
