"""JSON for every call of the API: `/v1/` and the path of its rule."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from interleaf.v1 import facts_pb2
from kb_store.errors import NotFound
from kb_store.formats import FileFormat
from service.convert import facts as convert
from service.http import problems, rules
from service.http.exchange import Exchange, events, started
from service.http.local_calls import LocalCalls, Refused
from service.http.rules import EXPORT, IMPORT, WATCH, Rule
from service.http.transcode import from_query, json_of, method_of, request_of, tree_of

_MEDIA = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.JSONL: "application/jsonl; charset=utf-8",
    FileFormat.N_TRIPLES: "application/n-triples",
}
# `format=csv` is as good as `format=FACT_FORMAT_CSV`.
_FORMATS = {form.value: facts_pb2.FactFormat.Name(number) for number, form in convert.FORMATS.items()}


class Gateway:
    """One endpoint for all paths behind `/v1/`."""

    def __init__(self, calls: LocalCalls, max_body: int) -> None:
        self._calls, self._max_body = calls, max_body

    async def endpoint(self, request: Request) -> Response:
        """Finds the rule, makes the call."""
        path: str = request.path_params["path"]
        found = rules.find(request.method, path)
        if found is None or found[0].method not in self._calls.methods:
            return self._nowhere(request.method, path)
        rule, variables = found
        exchange = Exchange(request)
        try:
            return await self._call(rule, variables, request.query_params, exchange)
        except Refused as refused:
            return problems.response_of(refused.status)
        except Exception as error:
            return problems.response_of(problems.status_of(error))

    async def _call(
        self, rule: Rule, variables: dict[str, str], query: QueryParams, exchange: Exchange
    ) -> Response:
        async def read() -> Any:
            body = await exchange.body(self._max_body)
            return request_of(rule, variables, _named(query), body)

        if rule.method == IMPORT:
            return await self._import(variables, query, exchange)
        if rule.method == EXPORT:
            return await self._export(rule, variables, query, exchange)
        headers, seconds = exchange.headers, exchange.seconds
        if method_of(rule.method).server_streaming:
            # A watch of an idle server may be silent for hours: its reader should know at once that it is on.
            calls = self._calls.stream(rule.method, read, headers, seconds, early=rule.method == WATCH)
            messages = await exchange.while_connected(started(calls))
            return events(_lines(messages), _failed)
        response = await exchange.while_connected(self._calls.unary(rule.method, read, headers, seconds))
        return Response(json_of(response), media_type="application/json")

    async def _import(self, variables: dict[str, str], query: QueryParams, exchange: Exchange) -> Response:
        """The body is the file; the answer comes when all of it is in, with the failures of all its parts."""

        async def messages() -> AsyncGenerator[Any, None]:
            header = from_query({}, facts_pb2.ImportHeader(), variables, _named(query))
            yield facts_pb2.ImportFactsRequest(header=header)
            async with aclosing(exchange.pieces()) as pieces:
                async for piece in pieces:
                    yield facts_pb2.ImportFactsRequest(data=piece)

        async def read() -> Any:
            return messages()

        whole: Any = facts_pb2.ImportFactsResponse()
        async with aclosing(self._calls.stream(IMPORT, read, exchange.headers, exchange.seconds)) as reports:
            async for report in reports:
                failures = [*whole.failures, *getattr(report, "failures", ())]
                whole.CopyFrom(report)
                del whole.failures[:]
                whole.failures.extend(failures)
        return JSONResponse(tree_of(whole))

    async def _export(
        self, rule: Rule, variables: dict[str, str], query: QueryParams, exchange: Exchange
    ) -> Response:
        """The file, to be saved."""
        asked: Any = facts_pb2.ExportFactsRequest()

        async def read() -> Any:
            body = await exchange.body(self._max_body)  # none; its end is what tells that the client is there
            asked.CopyFrom(request_of(rule, variables, _named(query), body))
            return asked

        calls = self._calls.stream(EXPORT, read, exchange.headers, exchange.seconds)
        pieces: AsyncGenerator[Any, None] = await exchange.while_connected(started(calls))
        form = convert.FORMATS[asked.format]  # known: a call with another was refused

        async def data() -> AsyncGenerator[bytes, None]:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece.data

        name = asked.parent.removeprefix("namespaces/")
        disposition = f'attachment; filename="{name}.{form.value}"'
        return StreamingResponse(
            data(), media_type=_MEDIA[form], headers={"content-disposition": disposition}
        )

    def _nowhere(self, verb: str, path: str) -> Response:
        allowed = ", ".join(rules.verbs(path))
        if not allowed:
            return problems.response_of(problems.status_of(NotFound("path", f"/v1/{path}")))
        if verb == "OPTIONS":
            return Response(status_code=204, headers={"allow": allowed})
        told = {
            "code": 405,
            "status": "UNIMPLEMENTED",
            "message": f"this path is for {allowed}",
            "details": [],
        }
        return JSONResponse({"error": told}, 405, {"allow": allowed})


def _named(query: QueryParams) -> list[tuple[str, str]]:
    return [
        (name, _FORMATS.get(text, text) if name == "format" else text) for name, text in query.multi_items()
    ]


async def _lines(messages: AsyncGenerator[Message, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(messages):
        async for message in messages:
            yield json_of(message)


def _failed(refused: Refused) -> bytes:
    return bytes(JSONResponse(problems.body_of(refused.status)).body)
