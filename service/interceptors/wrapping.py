"""One way to surround a call, whatever its kind of request and response.

Wrapped handlers of streamed responses write for themselves (`context.write`) instead of yielding: then the
whole call is one coroutine, a cancellation is raised where it waits, and everything around it is undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from inspect import isasyncgenfunction
from typing import Any

import grpc

Around = Callable[[Any], AbstractAsyncContextManager[None]]
# method -> its handler, and what was made of it
Wrapped = dict[str, tuple[Any, Any]]
Behaviour = Callable[[Any, Any], Awaitable[Any]]


class AroundInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """An interceptor that is a context manager around each call."""

    def __init__(self) -> None:
        self._wrapped: Wrapped = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The method's handler, wrapped once."""
        method = details.method
        return wrapped_once(
            self._wrapped,
            method,
            await continuation(details),
            lambda handler: surrounded(handler, lambda context: self.around(method, context)),
        )

    def around(self, method: str, context: Any) -> AbstractAsyncContextManager[None]:
        """What is done before and after a call."""
        raise NotImplementedError


def wrapped_once(known: Wrapped, method: str, handler: Any, wrap: Callable[[Any], Any]) -> Any:
    """gRPC asks for the handler of every call; wrapping it anew each time would cost more than the call's work."""
    if handler is None:
        return None
    found = known.get(method)
    if found is None or found[0] is not handler:
        found = known[method] = (handler, wrap(handler))
    return found[1]


def surrounded(handler: Any, around: Around) -> Any:
    """The same handler with something around each call."""
    inner = behaviour_of(handler)

    async def behave(request: Any, context: Any) -> Any:
        async with around(context):
            return await inner(request, context)

    return with_behaviour(handler, behave)


def behaviour_of(handler: Any) -> Behaviour:
    """The handler's function as a coroutine function: one that yields is made to write."""
    function = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if not isasyncgenfunction(function):
        behaviour: Behaviour = function
        return behaviour

    async def write_all(request: Any, context: Any) -> None:
        async with aclosing(function(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


def with_behaviour(handler: Any, behaviour: Behaviour, **changes: Any) -> Any:
    """The handler with another function."""
    kind = (
        ("stream" if handler.request_streaming else "unary")
        + "_"
        + ("stream" if handler.response_streaming else "unary")
    )
    return handler._replace(**{kind: behaviour}, **changes)
