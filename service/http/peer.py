"""The certificate of the connection that a request came over, for the calls that the request makes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_STATE = "peer_certificate"
_certificate: ContextVar[bytes | None] = ContextVar("interleaf_peer_certificate", default=None)


class CertificateProtocol(H11Protocol):
    """Puts the client's certificate, which the handshake has checked, into the state of every request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection is there."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        if isinstance(secured, ssl.SSLObject):
            self.app_state = {**self.app_state, _STATE: secured.getpeercert(binary_form=True)}


class Peers:
    """Surrounds the application: what runs for a request knows its connection's certificate."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        token = _certificate.set(scope.get("state", {}).get(_STATE))
        try:
            await self._app(scope, receive, send)
        finally:
            _certificate.reset(token)


def auth_context() -> Mapping[str, Sequence[bytes]]:
    """As gRPC describes a connection; empty where no certificate was shown."""
    certificate = _certificate.get()
    return {} if certificate is None else {"x509_pem_cert": (certificate,)}
