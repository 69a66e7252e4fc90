"""A span around every call, in the trace that its caller names (`traceparent`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.calls import KINDS, current
from service.interceptors.wrapping import AroundInterceptor
from service.observability.tracing import Traces


class Trace(AroundInterceptor):
    """Stands where `current().reason` is set within."""

    def __init__(self, traces: Traces) -> None:
        super().__init__()
        self._tracer = traces.tracer

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """One span; health and reflection have none."""
        if method not in KINDS:
            yield
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {key: value for key, value in context.invocation_metadata() or () if key == "traceparent"}
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(
            method.lstrip("/"),
            context=parent,
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                call = current()
                span.set_attribute("interleaf.server_request_id", call.server_id)
                if call.reason:
                    span.set_attribute("error.type", call.reason)
                    span.set_status(Status(StatusCode.ERROR))
