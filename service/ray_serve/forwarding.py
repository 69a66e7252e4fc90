"""Passes calls on to a service in this very process, with everything that belongs to them: metadata, deadline, and how
they ended. Knows gRPC and nothing of Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import grpc

# The transport's own, and what tells the proxy where a call goes.
_NOT_PASSED_ON = frozenset(("user-agent", "application", "multiplexed_model_id", "request_id", "session_id"))


class Context(Protocol):
    """What is known of a call, and what is told of its end."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """What the caller sent beside the message."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """How it ended."""

    def set_details(self, details: str) -> None:
        """Why."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None:
        """The details of an error among it."""


def passed_on(metadata: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What of a call's metadata the service is given: its key, its trace, whatever is not the proxy's."""
    return [
        (name, value)
        for name, value in metadata
        if name not in _NOT_PASSED_ON and not name.startswith("grpc-")
    ]


async def unary(call: Any, request: Any, context: Context, empty: Any) -> Any:
    """The answer. Where there is none, `context` is told why, details included, and `empty` stands for it."""
    try:
        return await call(request, metadata=passed_on(context.invocation_metadata()))
    except grpc.aio.AioRpcError as error:
        _tell(context, error)
        return empty


async def stream(call: Any, request: Any, context: Context) -> AsyncIterator[Any]:
    """The messages as they come. A failure ends them, with its code and its words."""
    try:
        async for message in call(request, metadata=passed_on(context.invocation_metadata())):
            yield message
    except grpc.aio.AioRpcError as error:
        _tell(context, error)
        raise


def _tell(context: Context, error: grpc.aio.AioRpcError) -> None:
    context.set_code(error.code())
    context.set_details(error.details() or "")
    context.set_trailing_metadata([(str(name), value) for name, value in error.trailing_metadata() or ()])
