"""Spans for a trace collector: a call, and within it where an answer's time went. Ids and figures; never texts.

OpenTelemetry is an optional extra (`pip install interleaf[tracing]`). Without an endpoint nothing of it is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from service.commands.answering import Answer, Ask
from service.config import ConfigError
from service.observability.meters import STAGES, stage_seconds

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_NANOSECONDS = 1_000_000_000


class Traces:
    """Makes spans and sends them in the background. `close` sends what is left."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # One of its own, not the process's: nothing else that may be traced here gets mixed in.
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "interleaf"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("interleaf")

    def answered(self, ask: Ask, answer: Answer) -> None:
        """One span a stage, one after the other, the last ending now."""
        from opentelemetry.trace import get_current_span

        seconds = stage_seconds(answer)
        at = time.time_ns() - int(sum(seconds) * _NANOSECONDS)
        for stage, spent in zip(STAGES, seconds, strict=True):
            span = self.tracer.start_span(stage, start_time=at)
            at += int(spent * _NANOSECONDS)
            span.end(end_time=at)
        get_current_span().set_attributes(
            {
                "interleaf.namespace": ask.namespace,
                "interleaf.namespace_revision": answer.namespace_revision,
                "interleaf.grounding": answer.grounding.value,
                "interleaf.facts": [
                    f"{citation.fact.uid}@{citation.fact.revision}" for citation in answer.citations
                ],
                "interleaf.prompt_tokens": answer.generation.prompt_tokens,
                "interleaf.generated_tokens": len(answer.generation.token_ids),
                "interleaf.injected_tokens": answer.injected_tokens,
            }
        )

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


def open_tracing(
    endpoint: str | None, exporter: Callable[[str], SpanExporter] | None = None
) -> Traces | None:
    """None without an endpoint. ConfigError where the extra is missing."""
    if endpoint is None:
        return None
    try:
        return Traces((exporter or _otlp)(endpoint))
    except ImportError:
        raise ConfigError(
            "tracing.endpoint is set and OpenTelemetry is not installed: pip install interleaf[tracing]"
        ) from None


def _otlp(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)
