"""The HTTP port, in the event loop of the service."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from service.config import ConfigError, SecuritySettings
from service.http.peer import CertificateProtocol, Peers

_BACKLOG = 256


class _Quiet(uvicorn.Server):
    """Leaves signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class HttpListener:
    """`start` it, `stop` it."""

    def __init__(self, app: ASGIApp, security: SecuritySettings, grace_seconds: float) -> None:
        secured = security.tls_certificate is not None and security.tls_key is not None
        self._scheme = "https" if secured else "http"
        config = uvicorn.Config(
            Peers(app),
            http=CertificateProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=max(1, math.ceil(grace_seconds)),
            ssl_certfile=security.tls_certificate if secured else None,
            ssl_keyfile=security.tls_key if secured else None,
            ssl_ca_certs=None if security.client_ca is None else str(security.client_ca),
            ssl_cert_reqs=ssl.CERT_NONE if security.client_ca is None else ssl.CERT_REQUIRED,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"security.tls_certificate: {error}") from None
        self._server = _Quiet(config)
        self._running: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> str:
        """Listens; the address, once requests are answered."""
        listening = _bind(host.strip("[]"), port)
        self._running = asyncio.create_task(self._server.serve([listening]), name="http")
        while not self._server.started:
            if self._running.done():
                await self._running
                raise ConfigError("the HTTP port did not open")
            await asyncio.sleep(0.005)
        shown = f"[{host.strip('[]')}]" if ":" in host else host
        return f"{self._scheme}://{shown}:{listening.getsockname()[1]}"

    async def stop(self) -> None:
        """Lets requests in flight go on for the grace period."""
        if self._running is not None:
            self._server.should_exit = True
            await self._running
            self._running = None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen for HTTP on {host}:{port} ({error.strerror}): set http.port, or http.enabled = false"
        ) from None
    return listening
