"""The connection of a client, and of those that `with_options` makes of it: one channel, closed for all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from interleaf._errors import ClientClosed
from interleaf._options import Connection

_OPTIONS = (
    # A page of a thousand long facts is larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC itself would wait a second and more before it tries a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


def _opened(kind: Any, connection: Connection) -> Any:
    """A channel of `grpc` or of `grpc.aio`. It connects when it is used."""
    if (tls := connection.tls) is None:
        return kind.insecure_channel(connection.target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return kind.secure_channel(connection.target, credentials, options=_OPTIONS)


class Line:
    """The channel of a blocking client."""

    def __init__(self, connection: Connection) -> None:
        self._channel = _opened(grpc, connection)
        self._closed = False

    def open(self) -> Any:
        """The channel, if it was not closed before."""
        if self._closed:
            raise ClientClosed
        return self._channel

    def close(self) -> None:
        """Ends what is under way."""
        self._closed = True
        self._channel.close()


class AsyncLine:
    """The channel of an asyncio client: opened by its first call, since it belongs to the event loop of that call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> Any:
        """The channel, if it was not closed before. For coroutines."""
        if self._closed:
            raise ClientClosed
        running = asyncio.get_running_loop()
        if self._channel is None:
            self._loop, self._channel = running, _opened(grpc.aio, self._connection)
        if self._loop is not running:
            raise RuntimeError("this AsyncClient was used in another event loop: make one for each")
        return self._channel

    async def close(self) -> None:
        """Ends what is under way."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()
