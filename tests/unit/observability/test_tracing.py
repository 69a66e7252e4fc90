"""Spans as a collector gets them: over HTTP, in OTLP, from a server that answers."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from interleaf.v1 import facts_pb2
from interleaf.v1 import inference_pb2 as pb
from service.observability.meters import STAGES
from service.observability.tracing import open_tracing
from tests.e2e.test_inference_service import ANNA, QUESTION, save_tiny
from tests.serving import PARENT, refusal, running

TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Takes what is sent to it."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
        finally:
            server.shutdown()
            thread.join()


def spans_of(bodies: list[bytes]) -> list[Any]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_call_and_the_stages_of_its_answer_reach_the_collector(tmp_path: Path) -> None:
    with collector() as (endpoint, bodies):
        with running(
            tmp_path / "data",
            engine=save_tiny(tmp_path / "tiny"),
            tracing={"endpoint": endpoint},
            retrieval={"revision_wait_seconds": 20},
        ) as server:
            made = server.add(*ANNA)
            ask = pb.GenerateRequest(
                parent=PARENT,
                prompt=QUESTION,
                sampling={"max_tokens": 4},
                retrieval={"min_revision": made.namespace_revision},
            )
            parent = f"00-{TRACE}-b7ad6b7169203331-01"
            answer = server.inference.Generate(ask, metadata=(("traceparent", parent),))
            missing = facts_pb2.ListFactsRequest(parent="namespaces/nowhere")
            refusal(lambda: server.facts.ListFacts(missing))
        # What was left has been sent when the server has closed.
        spans = spans_of(bodies)
    by_name = {span.name: span for span in spans}
    call = by_name["interleaf.v1.Inference/Generate"]
    assert call.trace_id.hex() == TRACE
    stages = [by_name[stage] for stage in STAGES]
    assert all((span.trace_id, span.parent_span_id) == (call.trace_id, call.span_id) for span in stages)
    assert all(
        one.start_time_unix_nano <= one.end_time_unix_nano == other.start_time_unix_nano
        for one, other in pairwise(stages)
    )
    attributes = {item.key: item.value for item in call.attributes}
    facts = [value.string_value for value in attributes["interleaf.facts"].array_value.values]
    assert facts == [f"{made.uid}@1"]
    assert attributes["interleaf.injected_tokens"].int_value == answer.injected_tokens
    failed = by_name["interleaf.v1.Facts/ListFacts"]
    assert {item.key: item.value.string_value for item in failed.attributes}["error.type"] == "NOT_FOUND"
    sent = b"".join(bodies)
    assert not any(word.encode() in sent for word in (*ANNA, QUESTION))


def test_without_an_endpoint_there_is_nothing() -> None:
    assert open_tracing(None) is None


def test_a_collector_that_is_away_disturbs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with collector() as (endpoint, _):
        pass
    with running(tmp_path, tracing={"endpoint": endpoint}) as server:
        assert server.add(*ANNA).revision == 1
