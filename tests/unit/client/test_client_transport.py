"""Both clients against a gRPC server that fails on purpose: what is sent again, what is raised, what is stopped.

The server is a script: it answers the nth call of a method with the nth entry. (The real service is in tests/e2e.)
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

import interleaf
from interleaf import AsyncClient, Client, ImportReport, Retry
from interleaf._fact_calls import FACTS
from interleaf._inference_calls import INFERENCE
from interleaf.v1 import facts_pb2, inference_pb2

RETRY = Retry(attempts=3, first_delay=0.01, max_delay=0.02)
FACT = facts_pb2.Fact(name="namespaces/default/facts/f", subject="s", object="o", namespace_revision=3)
DOWN = (grpc.StatusCode.UNAVAILABLE, "down")


class Script(grpc.GenericRpcHandler):
    """Answers calls from a list: a message, a status to fail with, or a function of the call's requests."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = defaultdict(list)
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.metadata: list[dict[str, str]] = []
        self.cancelled = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.metadata.append(dict(details.invocation_metadata))
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._answer(details.method, requests, context),
            request_deserializer=lambda data: data,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _answer(self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        answer = self.answers[method].pop(0)
        if callable(answer):
            yield from answer(requests, context)
            return
        self.seen[method].extend(requests)
        if isinstance(answer, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(answer))
        if isinstance(answer, tuple):
            context.abort(*answer)
        yield answer


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    server.add_generic_rpc_handlers((script,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
    pool.shutdown()


class Caller:
    """Runs one method of either client to its end: values are returned, lists and streams gathered."""

    def __init__(self, waits: bool, target: str) -> None:
        self._waits = waits
        self._target = target

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._waits:
            return asyncio.run(self._wait(method, args, kwargs))
        with Client(self._target, retry=RETRY, api_key="key") as client:
            result = getattr(client, method)(*args, **kwargs)
            return [*result] if hasattr(result, "__iter__") and not isinstance(result, tuple) else result

    async def _wait(self, method: str, args: Any, kwargs: Any) -> Any:
        async with AsyncClient(self._target, retry=RETRY, api_key="key") as client:
            result = getattr(client, method)(*args, **kwargs)
            if hasattr(result, "__aiter__"):
                return [item async for item in result]
            return await result


@pytest.fixture(params=[False, True], ids=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest, target: str) -> Caller:
    return Caller(request.param, target)


def test_a_write_is_repeated_with_its_request_id(script: Script, call: Caller) -> None:
    script.answers[FACTS + "CreateFact"] = [DOWN, DOWN, FACT]
    assert call("add", "s", "r", "o").object == "o"
    sent = script.seen[FACTS + "CreateFact"]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert facts_pb2.CreateFactRequest.FromString(sent[0]).request_id
    assert script.metadata[0]["authorization"] == "Bearer key"


def test_attempts_run_out(script: Script, call: Caller) -> None:
    script.answers[FACTS + "GetFact"] = [DOWN] * 5
    with pytest.raises(interleaf.Unavailable, match="down"):
        call("get", "f")
    assert len(script.answers[FACTS + "GetFact"]) == 2


@pytest.mark.parametrize("delay", [None, duration_pb2.Duration(nanos=1_000_000)])
def test_a_busy_server_is_asked_again_when_it_says_when(
    script: Script, call: Caller, delay: duration_pb2.Duration | None
) -> None:
    busy = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message="busy")
    if delay is not None:
        busy.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    script.answers[FACTS + "GetFact"] = [busy, FACT]
    if delay is None:
        with pytest.raises(interleaf.ResourceExhausted):
            call("get", "f")
    else:
        assert call("get", "f").subject == "s"


def test_what_cannot_succeed_is_not_repeated(script: Script, call: Caller) -> None:
    script.answers[FACTS + "GetFact"] = [(grpc.StatusCode.NOT_FOUND, "no such fact"), FACT]
    with pytest.raises(interleaf.NotFound, match="no such fact"):
        call("get", "f")
    assert script.answers[FACTS + "GetFact"] == [FACT]


def test_pages_are_fetched_until_the_last(script: Script, call: Caller) -> None:
    page = facts_pb2.ListFactsResponse
    script.answers[FACTS + "ListFacts"] = [
        page(facts=[FACT, FACT], next_page_token="t"),
        DOWN,
        page(next_page_token="u"),
        page(facts=[FACT]),
    ]
    assert len(call("list")) == 3
    tokens = [facts_pb2.ListFactsRequest.FromString(r).page_token for r in script.seen[FACTS + "ListFacts"]]
    assert tokens == ["", "t", "t", "u"]


def pieces(*events: Any) -> Callable[[Any, Any], Iterator[Any]]:
    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in requests:
            pass
        for event in events:
            if isinstance(event, tuple):
                context.abort(*event)
            yield event

    return answer


def text(piece: str) -> Any:
    return inference_pb2.StreamGenerateResponse(text=piece)


LAST = inference_pb2.StreamGenerateResponse(response=inference_pb2.GenerateResponse(text="ab"))


def test_a_stream_is_begun_again_only_before_its_first_piece(script: Script, call: Caller) -> None:
    method = INFERENCE + "StreamGenerate"
    script.answers[method] = [DOWN, pieces(text("a"), text("b"), LAST)]
    assert call("stream", "q") == ["a", "b"]
    script.answers[method] = [pieces(text("a"), DOWN), pieces(text("a"), text("b"), LAST)]
    with pytest.raises(interleaf.Unavailable):
        call("stream", "q")
    assert len(script.answers[method]) == 1


def test_an_answer_without_its_end_is_an_error(script: Script, call: Caller) -> None:
    script.answers[INFERENCE + "StreamGenerate"] = [pieces(text("a"))]
    with pytest.raises(interleaf.InterruptedTransfer):
        call("stream", "q")


def endless(script: Script) -> Callable[[Any, Any], Iterator[Any]]:
    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(script.cancelled.set)
        while context.is_active():
            yield text("x")

    return answer


def test_leaving_a_stream_stops_it(script: Script, target: str) -> None:
    script.answers[INFERENCE + "StreamGenerate"] = [endless(script)]
    with Client(target) as client:
        with client.stream("q") as stream:
            assert next(iter(stream)) == "x"
        assert script.cancelled.wait(30)
        with pytest.raises(interleaf.InterruptedTransfer, match="read to the end"):
            _ = stream.answer


def test_leaving_an_async_stream_stops_it(script: Script, target: str) -> None:
    script.answers[INFERENCE + "StreamGenerate"] = [endless(script)]

    async def scenario() -> None:
        async with AsyncClient(target) as client:
            async with client.stream("q") as stream:
                assert await anext(aiter(stream)) == "x"
            assert await asyncio.to_thread(script.cancelled.wait, 30)

    asyncio.run(scenario())


def test_a_deadline_holds(script: Script, target: str) -> None:
    def silent(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(script.cancelled.set)
        script.cancelled.wait(30)
        return iter(())

    script.answers[FACTS + "GetFact"] = [silent]
    with Client(target, timeout=0.2) as client, pytest.raises(interleaf.DeadlineExceeded):
        client.get("f")


def importing(*reports: Any, read: int, seen: list[list[bytes]]) -> Callable[[Any, Any], Iterator[Any]]:
    """Reads `read` messages of an import (-1: all), then answers."""

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        messages = [next(requests) for _ in range(read)] if read >= 0 else list(requests)
        seen.append(messages)
        for report in reports:
            if isinstance(report, tuple):
                context.abort(*report)
            yield report

    return answer


def test_a_broken_import_is_taken_up_with_its_id(script: Script, call: Caller) -> None:
    seen: list[list[bytes]] = []
    report = facts_pb2.ImportFactsResponse
    # Four breaks, more than there are attempts: each got further than the one before.
    script.answers[FACTS + "ImportFacts"] = [
        *(importing(report(rows_read=n), DOWN, read=2, seen=seen) for n in (1, 2, 3, 4)),
        importing(report(rows_read=5, rows_written=1, rows_unchanged=4, done=True), read=-1, seen=seen),
    ]
    progress: list[ImportReport] = []
    result = call("import_data", lambda: [b"a", b"b", b"c"], format="csv", progress=progress.append)
    assert (result.rows_written, result.rows_unchanged, result.done) == (1, 4, True)
    headers = {facts_pb2.ImportFactsRequest.FromString(messages[0]).header.import_id for messages in seen}
    assert headers == {result.import_id}
    assert [facts_pb2.ImportFactsRequest.FromString(m).data for m in seen[-1][1:]] == [b"a", b"b", b"c"]
    assert [seen.rows_read for seen in progress] == [1, 2, 3, 4, 5]


def test_data_that_cannot_be_read_is_the_callers_error(script: Script, call: Caller) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the disk is gone")

    script.answers[FACTS + "ImportFacts"] = [importing(read=-1, seen=[])] * 3
    with pytest.raises(OSError, match="the disk is gone"):
        call("import_data", broken, format="csv")


def test_an_import_without_its_end_is_an_error(script: Script, call: Caller) -> None:
    script.answers[FACTS + "ImportFacts"] = [
        importing(facts_pb2.ImportFactsResponse(rows_read=1), read=-1, seen=[])
    ]
    with pytest.raises(interleaf.InterruptedTransfer):
        call("import_data", lambda: [b"a"], format="csv")


def test_an_export_file_is_whole_or_not_there(script: Script, call: Caller, tmp_path: Any) -> None:
    chunk = facts_pb2.ExportFactsResponse
    method = FACTS + "ExportFacts"
    script.answers[method] = [
        pieces(chunk(data=b"half"), DOWN),
        pieces(chunk(data=b"one"), chunk(data=b"two")),
    ]
    path = tmp_path / "facts.csv"
    with pytest.raises(interleaf.Unavailable):
        call("export_file", path)
    assert list(tmp_path.iterdir()) == []
    assert call("export_file", path) == 6
    assert path.read_bytes() == b"onetwo"


def test_no_server(call: Caller, target: str) -> None:
    with pytest.raises(interleaf.Unavailable, match="no server at"), Client("127.0.0.1:1") as client:
        client.wait_ready(timeout=0.1)
    call("wait_ready", 30)


def test_options_share_the_connection(script: Script, target: str) -> None:
    script.answers[FACTS + "GetFact"] = [FACT, FACT]
    with Client(target) as client:
        with client.with_options(namespace="crew", timeout=9) as other:
            other.get("f")
            assert (other.namespace, client.namespace) == ("crew", "default")
        client.get("f")
    names = [facts_pb2.GetFactRequest.FromString(r).name for r in script.seen[FACTS + "GetFact"]]
    assert names == ["namespaces/crew/facts/f", "namespaces/default/facts/f"]


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_async_export(script: Script, target: str) -> None:
    script.answers[FACTS + "ExportFacts"] = [pieces(facts_pb2.ExportFactsResponse(data=b"x"))]

    async def scenario() -> list[bytes]:
        async with AsyncClient(target) as client:
            return await collect(client.export())

    assert asyncio.run(scenario()) == [b"x"]


def test_cancelling_an_async_import_ends_it(script: Script, target: str) -> None:
    def patient(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(script.cancelled.set)
        yield facts_pb2.ImportFactsResponse(rows_read=1)
        script.cancelled.wait(30)

    script.answers[FACTS + "ImportFacts"] = [patient]

    async def scenario() -> None:
        async with AsyncClient(target) as client:
            begun = asyncio.Event()
            task = asyncio.create_task(
                client.import_data(lambda: [b"a"], format="csv", progress=lambda seen: begun.set())
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(script.cancelled.wait, 30)

    asyncio.run(scenario())
