"""The HTTP application: which endpoint answers which path."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from service.access.listening import is_loopback
from service.config import Settings
from service.http.gateway import Gateway
from service.http.guard import Guard
from service.http.local_calls import LocalCalls
from service.http.openai_api import OpenAI
from service.http.openapi import description
from service.http.page import page_routes

_ANY = ["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]


def application(settings: Settings, calls: LocalCalls, model: str) -> ASGIApp:
    """Everything that is answered over HTTP. `model`: the name of the served one; empty without one."""
    longest = settings.listen.max_message_bytes
    gateway = Gateway(calls, longest)
    openai = OpenAI(calls, model, settings.store.default_namespace, longest)
    described = description(calls.methods)

    async def openapi(request: Request) -> Response:
        return JSONResponse(described)

    routes = [
        *page_routes(),
        Route("/v1/openapi.json", openapi),
        Route("/v1/models", openai.models),
        Route("/v1/models/{model:path}", openai.one_model),
        Route("/v1/completions", openai.completions, methods=["POST"]),
        Route("/v1/chat/completions", openai.chat_completions, methods=["POST"]),
        Route("/v1/{path:path}", gateway.endpoint, methods=_ANY),
    ]
    names = {name.lower() for name in settings.http.names}
    return Guard(Starlette(routes=routes), names if is_loopback(settings.listen.host) else None)
