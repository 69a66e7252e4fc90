"""What every endpoint does with a request and a response: bodies within bounds, deadlines, streams of events, and
the end of a call whose client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from google.rpc import status_pb2
from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from kb_store.errors import InvalidInput, LimitExceeded
from service.errors import MalformedMessage
from service.http.local_calls import Headers, Refused

T = TypeVar("T")

DEADLINE = "x-server-timeout"
_JSON = "application/json"
_LEFT = status_pb2.Status(code=StatusCode.CANCELLED.value[0], message="the client is gone")


class Exchange:
    """A request over HTTP and the connection behind it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._read = asyncio.Event()  # from then on all that the connection can bring is its end

    @property
    def headers(self) -> Headers:
        """Names and values as they came."""
        return tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._request.headers.raw
        )

    @property
    def seconds(self) -> float | None:
        """The caller's deadline, in the header `X-Server-Timeout`; None where there is none."""
        text = self._request.headers.get(DEADLINE)
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < float("inf"):
            raise InvalidInput(DEADLINE, "must be a number of seconds")
        return seconds

    async def body(self, maximum: int) -> bytes:
        """All of it. LimitExceeded when it is too long, MalformedMessage when it is announced as no JSON."""
        pieces, size = [], 0
        async with aclosing(self.pieces()) as coming:
            async for piece in coming:
                size += len(piece)
                if size > maximum:
                    raise LimitExceeded("body", "max_message_bytes", maximum, size)
                pieces.append(piece)
        kind = self._request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
        if size and kind != _JSON:
            raise MalformedMessage(f"the body must be JSON: send the header `content-type: {_JSON}`")
        return b"".join(pieces)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. MalformedMessage when the client leaves in the middle."""
        try:
            async for piece in self._request.stream():
                if piece:
                    yield piece
        except ClientDisconnect:
            raise MalformedMessage("the body ended before it was whole") from None
        self._read.set()

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work, which is cancelled when the client goes away: then it is Refused, for nobody."""
        working, watching = asyncio.create_task(work), asyncio.create_task(self._gone())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Refused(_LEFT)
            return await working
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _gone(self) -> None:
        await self._read.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


async def started(messages: AsyncGenerator[T | None, None]) -> AsyncGenerator[T, None]:
    """The same stream, once its first message is there, or None in its place: a call that is refused at once is no
    stream at all."""
    try:
        first = await anext(messages)
    except StopAsyncIteration:
        return _nothing()
    return _resumed(first, messages)


async def _resumed(first: T | None, rest: AsyncGenerator[T | None, None]) -> AsyncGenerator[T, None]:
    async with aclosing(rest):
        if first is not None:
            yield first
        async for message in rest:
            if message is not None:
                yield message


async def _nothing() -> AsyncGenerator[Any, None]:
    return
    yield


def events(
    messages: AsyncGenerator[bytes, None], failed: Callable[[Refused], bytes], last: bytes | None = None
) -> Response:
    """Server-sent events, one a message; a failure in the middle is the last of them."""

    async def lines() -> AsyncIterator[bytes]:
        async with aclosing(messages):
            try:
                async for message in messages:
                    yield b"data: " + message + b"\n\n"
            except Refused as refused:
                yield b"data: " + failed(refused) + b"\n\n"
                return
        if last is not None:
            yield b"data: " + last + b"\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})
