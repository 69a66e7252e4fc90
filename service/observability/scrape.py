"""Where Prometheus reads: /metrics on a port of its own that only this machine reaches."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from service.config import ConfigError, SecuritySettings
from service.http.guard import Guard
from service.http.listener import HttpListener

HOST = "127.0.0.1"
_GRACE_SECONDS = 1.0


def scrape_application(registry: CollectorRegistry) -> ASGIApp:
    """Answers /metrics, in the format that the scraper asks for, and nothing else."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Reading the figures asks SQL how far it is.
        body = await asyncio.to_thread(encode, registry)
        return Response(body, headers={"content-type": content_type})

    return Guard(Starlette(routes=[Route("/metrics", metrics)]), names=())


async def listen(registry: CollectorRegistry, port: int) -> tuple[HttpListener, str]:
    """The listener and its address. ConfigError where the port is taken."""
    listener = HttpListener(scrape_application(registry), SecuritySettings(), _GRACE_SECONDS)
    try:
        return listener, await listener.start(HOST, port)
    except ConfigError:
        raise ConfigError(f"cannot listen for scrapes on {HOST}:{port}: set metrics.port") from None
