"""From functions that build a call's value to the methods of the blocking client, and of its groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from interleaf._calls import Call, Paged, Polled, Started, Streamed
from interleaf._session import Session
from interleaf._settings import Settings, present
from interleaf._work import Work

P = ParamSpec("P")
T = TypeVar("T")
RETURNS = {
    "Call": "{}",
    "Polled": "{}",
    "Paged": "Iterator[{}]",
    "Streamed": "Iterator[{}]",
    "Started": "Work[{}]",
    "Upload": "ImportReport",
}


class Carrier(Protocol):
    """What carries calls out: the client, or a group of its methods."""

    @property
    def _settings(self) -> Settings: ...
    def _call(self, call: Call[T]) -> T: ...
    def _pages(self, paged: Paged[T]) -> Iterator[T]: ...
    def _poll(self, polled: Polled[T]) -> T: ...
    def _stream(self, streamed: Streamed[T]) -> Iterator[T]: ...


def calling(build: Callable[Concatenate[Session, P], Call[T]]) -> Callable[Concatenate[Carrier, P], T]:
    """One call, one result."""

    def method(self: Carrier, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def paging(
    build: Callable[Concatenate[Session, P], Paged[T]],
) -> Callable[Concatenate[Carrier, P], Iterator[T]]:
    """A list over all of its pages."""

    def method(self: Carrier, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._pages(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def polling(build: Callable[Concatenate[Session, P], Polled[T]]) -> Callable[Concatenate[Carrier, P], T]:
    """A call until it has the result that is waited for."""

    def method(self: Carrier, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._poll(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def streaming(
    build: Callable[Concatenate[Session, P], Streamed[T]],
) -> Callable[Concatenate[Carrier, P], Iterator[T]]:
    """One request, many results."""

    def method(self: Carrier, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._stream(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def starting(
    build: Callable[Concatenate[Session, P], Started[T]],
) -> Callable[Concatenate[Carrier, P], Work[T]]:
    """A call that begins long work: its handle."""

    def method(self: Carrier, /, *args: P.args, **kwargs: P.kwargs) -> Work[T]:
        started = build(self._settings.session, *args, **kwargs)
        return Work(self, self._call(started.call), started.decode)

    present(method, build, RETURNS)
    return method
