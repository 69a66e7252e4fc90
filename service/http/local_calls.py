"""Calls of the API from within the process: through the servicers and all that surrounds them on the wire.

A call over HTTP is counted, authenticated, limited and logged with those over gRPC: it runs through the same
interceptor objects. Its request is read inside of them, so that who has no key is refused before a body is parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.rpc import status_pb2

from service.calls import current
from service.http.peer import auth_context
from service.interceptors.decode import Decode
from service.interceptors.wrapping import AroundInterceptor, behaviour_of

_STATUS_DETAILS = "grpc-status-details-bin"
_WAITING = 64  # messages of a stream that a slow reader leaves lying
Read = Callable[[], Awaitable[Any]]  # a request, or Instead
Headers = Sequence[tuple[str, str]]


class Refused(Exception):
    """A call that did not succeed: its status, as a gRPC client would get it."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(frozen=True)
class Instead:
    """A request that is for another method, of the same kind, than its call was begun as: only the body tells. The
    call is counted as what it was begun as."""

    method: str
    request: Message


class Handlers:
    """Stands where a gRPC server stands while services are added: hands them on, and remembers them."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.by_method: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """As `grpc.aio.Server` has it."""
        self._server.add_generic_rpc_handlers(handlers)
        for handler in handlers:
            service = descriptor_pool.Default().FindServiceByName(handler.service_name())
            for method in service.methods:
                asked = _Asked(f"/{service.full_name}/{method.name}")
                self.by_method[asked.method] = handler.service(asked)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """As `grpc.aio.Server` has it: the same handlers once more."""
        self._server.add_registered_method_handlers(service, handlers)


@dataclass(frozen=True)
class _Asked:
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


class LocalCalls:
    """Makes calls. `interceptors` are those of the gRPC server, the outermost first."""

    def __init__(
        self, handlers: Mapping[str, Any], interceptors: Sequence[grpc.aio.ServerInterceptor]
    ) -> None:
        strange = [item for item in interceptors if not isinstance(item, AroundInterceptor | Decode)]
        if strange:
            raise TypeError(f"{type(strange[0]).__name__} would be left out: only interceptors that surround")
        self._around = [item for item in interceptors if isinstance(item, AroundInterceptor)]
        self._behaviours = {method: behaviour_of(handler) for method, handler in handlers.items()}

    @property
    def methods(self) -> frozenset[str]:
        """The full names that can be called."""
        return frozenset(self._behaviours)

    async def unary(self, method: str, read: Read, headers: Headers, seconds: float | None = None) -> Message:
        """The response; Refused when there is none."""
        response: Message = await self._run(method, read, CallContext(headers, seconds))
        return response

    async def stream(
        self, method: str, read: Read, headers: Headers, seconds: float | None = None, *, early: bool = False
    ) -> AsyncGenerator[Message | None, None]:
        """The responses as they come, be it one; Refused where they end in a failure. Leaving ends the call.

        `early`: None comes before them once the call is let in and has nothing to say yet.
        """
        context = CallContext(headers, seconds)
        call = asyncio.create_task(self._run(method, read, context))
        call.add_done_callback(context.ended)
        try:
            if early and await context.is_silent() and not call.done():
                yield None
            while (message := await context.read()) is not None:
                yield message
            if (response := await call) is not None:  # of a method that does not stream
                yield response
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def _run(self, method: str, read: Read, context: CallContext) -> Any:
        try:
            async with AsyncExitStack() as stack:
                for interceptor in self._around:
                    await stack.enter_async_context(interceptor.around(method, context))
                request = await read()
                context.let_in()
                if isinstance(request, Instead):
                    method, request = request.method, request.request
                    current().method = method
                return await self._behaviours[method](request, context)
        except grpc.aio.AbortError:
            raise Refused(context.status()) from None


class CallContext:
    """The part of `grpc.aio.ServicerContext` that servicers and interceptors use."""

    def __init__(self, headers: Headers, seconds: float | None) -> None:
        self._metadata = tuple((name.lower(), value) for name, value in headers)
        self._transport = auth_context()
        self._end = None if seconds is None else time.monotonic() + seconds
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._trailing: tuple[tuple[str, str | bytes], ...] = ()
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Semaphore(_WAITING)
        self._is_let_in = asyncio.Event()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What came beside the request."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Of the connection that the request came over."""
        return self._transport

    def code(self) -> grpc.StatusCode:
        """How it ended."""
        return self._code

    def set_trailing_metadata(self, trailing: Sequence[tuple[str, str | bytes]]) -> None:
        """What goes out behind the response."""
        self._trailing = tuple(trailing)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing: Sequence[tuple[str, str | bytes]] = ()
    ) -> None:
        """Ends the call."""
        self._code, self._details, self._trailing = code, details, tuple(trailing)
        raise grpc.aio.AbortError(details)

    async def write(self, message: Any) -> None:
        """Takes a message of a streamed response; waits for a reader that is behind."""
        await self._room.acquire()
        self._messages.put_nowait(message)

    def let_in(self) -> None:
        """Its request is read: what refuses it from now on does so before the call waits for anything."""
        self._is_let_in.set()

    def ended(self, call: asyncio.Future[Any]) -> None:
        """The call is over: nothing comes after what waits."""
        self._messages.put_nowait(None)
        self._is_let_in.set()

    async def is_silent(self) -> bool:
        """Whether the call, once it is let in, waits before its first message."""
        await self._is_let_in.wait()
        return self._messages.empty()

    async def read(self) -> Any:
        """The next message; None behind the last."""
        message = await self._messages.get()
        self._room.release()
        return message

    def status(self) -> status_pb2.Status:
        """With its details, where it was aborted with any."""
        for name, value in self._trailing:
            if name == _STATUS_DETAILS and isinstance(value, bytes):
                return status_pb2.Status.FromString(value)
        return status_pb2.Status(code=self._code.value[0], message=self._details)
