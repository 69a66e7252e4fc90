"""Requests are parsed here and not by gRPC, which answers INTERNAL to bytes that are no message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import MalformedMessage
from service.interceptors.wrapping import Wrapped, behaviour_of, with_behaviour, wrapped_once


class Decode(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Turns bytes into messages; MalformedMessage when they are none."""

    def __init__(self) -> None:
        self._wrapped: Wrapped = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The method's handler without a parser of its own."""
        return wrapped_once(self._wrapped, details.method, await continuation(details), _parsing)


def _parsing(handler: Any) -> Any:
    """Takes the parser out of the handler and puts it around its function."""
    if handler.request_deserializer is None:
        return handler
    parse = _parser(handler.request_deserializer)
    inner = behaviour_of(handler)

    async def unary(request: bytes, context: Any) -> Any:
        return await inner(parse(request), context)

    async def streamed(requests: AsyncIterator[bytes], context: Any) -> Any:
        return await inner(_parse_all(requests, parse), context)

    behaviour = streamed if handler.request_streaming else unary
    return with_behaviour(handler, behaviour, request_deserializer=None)


async def _parse_all(requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield parse(request)


def _parser(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            raise MalformedMessage(
                "the bytes are not a message of this method's request type "
                "(wrong wire types, or text that is not UTF-8)"
            ) from None

    return parse
