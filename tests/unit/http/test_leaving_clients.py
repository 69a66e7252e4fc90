"""A client that leaves before there is anything to be told: its call ends, and nothing is raised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from service.http.gateway import Gateway
from service.http.local_calls import LocalCalls
from service.http.openai_api import OpenAI

GENERATE, STREAM = "/interleaf.v1.Inference/Generate", "/interleaf.v1.Inference/StreamGenerate"
EXPORT, WATCH = "/interleaf.v1.Facts/ExportFacts", "/interleaf.v1.Monitor/WatchInjections"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


class Queue:
    """Servicers whose calls wait for their turn, for ever."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.left: list[str] = []

    async def wait(self, method: str) -> None:
        self.waiting.append(method)
        try:
            await asyncio.Event().wait()
        finally:
            self.left.append(method)

    def calls(self) -> LocalCalls:
        async def whole(request: Any, context: Any) -> None:
            await self.wait(GENERATE)

        def streamed(method: str) -> Any:
            async def pieces(request: Any, context: Any) -> AsyncIterator[Any]:
                await self.wait(method)
                yield

            return grpc.unary_stream_rpc_method_handler(pieces)

        handlers = {method: streamed(method) for method in (STREAM, EXPORT, WATCH)}
        return LocalCalls({GENERATE: grpc.unary_unary_rpc_method_handler(whole), **handlers}, ())


async def leave_early(queue: Queue, verb: str, path: str, body: Any) -> list[Any]:
    """What the application had sent by the time the client was gone for good."""
    calls = queue.calls()
    openai, gateway = OpenAI(calls, "m", "default", 1000), Gateway(calls, 1000)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", openai.chat_completions, methods=["POST"]),
            Route("/v1/{path:path}", gateway.endpoint, methods=["GET", "POST"]),
        ]
    )
    content = b"" if body is None else json.dumps(body).encode()
    coming: asyncio.Queue[Any] = asyncio.Queue()
    coming.put_nowait({"type": "http.request", "body": content, "more_body": False})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": verb, "path": path, "headers": [], "query_string": b""}
    answering = asyncio.create_task(app(scope, coming.get, send))
    async with asyncio.timeout(10):
        while not queue.waiting or (queue.waiting == [WATCH] and not sent):
            await asyncio.sleep(0.001)
        coming.put_nowait({"type": "http.disconnect"})
        await answering
    return sent


@pytest.mark.parametrize(
    ("verb", "path", "body", "method"),
    [
        ("POST", "/v1/namespaces/default:generate", {"prompt": "Hi"}, GENERATE),
        ("POST", "/v1/namespaces/default:streamGenerate", {"prompt": "Hi"}, STREAM),
        ("GET", "/v1/namespaces/default/facts:export", None, EXPORT),
        ("POST", "/v1/chat/completions", ASKED, GENERATE),
        ("POST", "/v1/chat/completions", {**ASKED, "stream": True}, STREAM),
    ],
)
def test_a_call_that_waits_ends_with_its_client(verb: str, path: str, body: Any, method: str) -> None:
    queue = Queue()
    start, _ = asyncio.run(leave_early(queue, verb, path, body))
    assert queue.waiting == queue.left == [method]
    assert start["status"] == 499  # read by nobody


def test_a_silent_watch_begins_at_once_and_ends_with_its_client() -> None:
    queue = Queue()
    start, *pieces = asyncio.run(leave_early(queue, "GET", "/v1/injections:watch", None))
    assert (start["status"], pieces) == (200, [])
    assert queue.left == [WATCH]
