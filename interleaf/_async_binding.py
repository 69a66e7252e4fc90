"""From functions that build a call's value to the methods of the asyncio client, and of its groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from interleaf._calls import Call, Paged, Polled, Started, Streamed
from interleaf._session import Session
from interleaf._settings import Settings, present
from interleaf._work import AsyncWork

P = ParamSpec("P")
T = TypeVar("T")
RETURNS = {
    "Call": "Coroutine[{}]",
    "Polled": "Coroutine[{}]",
    "Paged": "AsyncIterator[{}]",
    "Streamed": "AsyncIterator[{}]",
    "Started": "Coroutine[AsyncWork[{}]]",
    "Upload": "Coroutine[ImportReport]",
}


class AsyncCarrier(Protocol):
    """What carries calls out: the client, or a group of its methods."""

    @property
    def _settings(self) -> Settings: ...
    async def _call(self, call: Call[T]) -> T: ...
    def _pages(self, paged: Paged[T]) -> AsyncIterator[T]: ...
    async def _poll(self, polled: Polled[T]) -> T: ...
    def _stream(self, streamed: Streamed[T]) -> AsyncIterator[T]: ...


def calling(
    build: Callable[Concatenate[Session, P], Call[T]],
) -> Callable[Concatenate[AsyncCarrier, P], Coroutine[Any, Any, T]]:
    """One call, one result."""

    def method(self: AsyncCarrier, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return self._call(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def paging(
    build: Callable[Concatenate[Session, P], Paged[T]],
) -> Callable[Concatenate[AsyncCarrier, P], AsyncIterator[T]]:
    """A list over all of its pages."""

    def method(self: AsyncCarrier, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._pages(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def polling(
    build: Callable[Concatenate[Session, P], Polled[T]],
) -> Callable[Concatenate[AsyncCarrier, P], Coroutine[Any, Any, T]]:
    """A call until it has the result that is waited for."""

    def method(self: AsyncCarrier, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return self._poll(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def streaming(
    build: Callable[Concatenate[Session, P], Streamed[T]],
) -> Callable[Concatenate[AsyncCarrier, P], AsyncIterator[T]]:
    """One request, many results."""

    def method(self: AsyncCarrier, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._stream(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


def starting(
    build: Callable[Concatenate[Session, P], Started[T]],
) -> Callable[Concatenate[AsyncCarrier, P], Coroutine[Any, Any, AsyncWork[T]]]:
    """A call that begins long work: its handle."""

    def method(self: AsyncCarrier, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, AsyncWork[T]]:
        started = build(self._settings.session, *args, **kwargs)

        async def begun() -> AsyncWork[T]:
            return AsyncWork(self, await self._call(started.call), started.decode)

        return begun()

    present(method, build, RETURNS)
    return method
