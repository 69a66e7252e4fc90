"""`/v1/models`, `/v1/completions` and `/v1/chat/completions`, for tools that speak OpenAI's protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from interleaf.v1 import monitor_pb2, namespaces_pb2
from service.errors import NoModel
from service.http import problems
from service.http.exchange import Exchange, events, started
from service.http.local_calls import Instead, LocalCalls, Refused
from service.http.openai_answers import Writer, error_of
from service.http.openai_requests import NAMESPACE, NoSuchModel, Wanted, read_chat, read_completion
from service.http.transcode import object_of

_GENERATE = "/interleaf.v1.Inference/Generate"
_STREAM = "/interleaf.v1.Inference/StreamGenerate"
_LIST = "/interleaf.v1.Namespaces/ListNamespaces"
_GET = "/interleaf.v1.Namespaces/GetNamespace"
_STATUS = "/interleaf.v1.Monitor/GetStatus"
_DONE = b"[DONE]"
_Reader = Callable[[Mapping[str, Any], str, str, str], Wanted]


class OpenAI:
    """The endpoints. `model`: the name of the served one; empty where there is none."""

    def __init__(self, calls: LocalCalls, model: str, default_namespace: str, max_body: int) -> None:
        self._calls, self._model, self._default = calls, model, default_namespace
        self._max_body = max_body

    async def models(self, request: Request) -> Response:
        """The model, and the model with each namespace: `MODEL@NAMESPACE`, for tools that can only choose a model."""
        exchange = Exchange(request)
        try:
            spaces = await self._spaces(exchange)
        except Refused as refused:
            if problems.code_of(refused.status) is not StatusCode.PERMISSION_DENIED:
                return _refusal(refused)
            spaces = []  # a key for one namespace: it names that itself
        names = [self._model, *(f"{self._model}@{space}" for space in spaces)] if self._model else []
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    async def one_model(self, request: Request) -> Response:
        """One of them, by its name."""
        name = request.path_params["model"]
        served, of_namespace, space = name.partition("@")

        async def read() -> Message:
            if not self._model:
                raise NoModel
            if served != self._model:
                raise NoSuchModel(served, self._model)
            if of_namespace:
                return namespaces_pb2.GetNamespaceRequest(name=f"namespaces/{space}")
            return monitor_pb2.GetStatusRequest()

        try:
            # Strangers are not told what is served: the model's own name needs no more than a caller that is known.
            await self._calls.unary(_GET if of_namespace else _STATUS, read, Exchange(request).headers)
        except Refused as refused:
            return _refusal(refused)
        except Exception as error:
            return _refusal(Refused(problems.status_of(error)))
        return JSONResponse(_model(name))

    async def _spaces(self, exchange: Exchange) -> list[str]:
        """The names of all namespaces."""
        found: list[str] = []
        token = ""
        while True:
            asked = namespaces_pb2.ListNamespacesRequest(page_token=token)
            page: Any = await self._calls.unary(_LIST, _given(asked), exchange.headers)
            found += [space.name.removeprefix("namespaces/") for space in page.namespaces]
            token = page.next_page_token
            if not token:
                return found

    async def completions(self, request: Request) -> Response:
        """Continues a prompt."""
        return await self._answer(request, read_completion, chat=False)

    async def chat_completions(self, request: Request) -> Response:
        """Answers a chat."""
        return await self._answer(request, read_chat, chat=True)

    async def _answer(self, request: Request, reader: _Reader, chat: bool) -> Response:
        exchange = Exchange(request)
        readings: list[Wanted] = []  # one, of a call that is let in

        async def read() -> Message | Instead:
            body = object_of(await exchange.body(self._max_body))
            if not self._model:
                raise NoModel
            wanted = reader(body, request.headers.get(NAMESPACE, ""), self._model, self._default)
            readings.append(wanted)
            return Instead(_STREAM, wanted.request) if wanted.stream else wanted.request

        try:
            calls = self._calls.stream(_GENERATE, read, exchange.headers, exchange.seconds)
            messages = await exchange.while_connected(started(calls))
        except Refused as refused:
            return _refusal(refused)
        except Exception as error:
            return _refusal(Refused(problems.status_of(error)))
        (wanted,) = readings
        writer = Writer(wanted, chat)
        if wanted.stream:
            return events(_chunks(writer, messages), _failed, _DONE)
        async with aclosing(messages):
            return JSONResponse(writer.whole(await anext(messages)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "interleaf"}


def _given(request: Message) -> Callable[[], Awaitable[Message]]:
    async def read() -> Message:
        return request

    return read


async def _chunks(writer: Writer, messages: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(messages):
        if (first := writer.first()) is not None:
            yield _line(first)
        async for message in messages:
            if message.WhichOneof("event") == "text":
                yield _line(writer.piece(message.text))
            else:
                for end in writer.last(message.response):
                    yield _line(end)


def _line(chunk: dict[str, Any]) -> bytes:
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()


def _failed(refused: Refused) -> bytes:
    return _line(error_of(refused.status))


def _refusal(refused: Refused) -> Response:
    status = refused.status
    code = problems.http_code(status)
    if problems.field_of(status) == "model":
        code = 404  # what these clients expect of a model that is not there
    return JSONResponse(error_of(status), code, problems.retry_headers(status))
