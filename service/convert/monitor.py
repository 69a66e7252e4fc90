"""Between messages and domain values: what the Monitor service tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interleaf.v1 import monitor_pb2
from service.commands.watching import ServerStatus
from service.convert.answers import GROUNDINGS, citation_messages, finish_reason, timings_message
from service.convert.facts import namespace_name, stamp
from service.serving.injections import Injection

_TEXTS = ("subject", "relation", "object")


def injection_message(injection: Injection, *, texts: bool) -> Any:
    """interleaf.v1.Injection."""
    answer = injection.answer
    citations: Sequence[Any] = citation_messages(answer, details=True)
    if not texts:
        for citation in citations:
            for name in _TEXTS:
                citation.ClearField(name)
    return monitor_pb2.Injection(
        sequence=injection.sequence,
        create_time=stamp(injection.when),
        parent=namespace_name(injection.namespace),
        method=injection.method,
        prompt=injection.prompt,
        text=answer.generation.text if texts else "",
        grounding=GROUNDINGS[answer.grounding],
        finish_reason=finish_reason(answer),
        citations=citations,
        prompt_tokens=answer.generation.prompt_tokens,
        generated_tokens=len(answer.generation.token_ids),
        injected_tokens=answer.injected_tokens,
        timings=timings_message(answer.timings),
        namespace_revision=answer.namespace_revision,
        retrieval_disabled=injection.retrieval_disabled,
    )


def status_message(status: ServerStatus) -> Any:
    """interleaf.v1.Status."""
    cache = status.cache
    return monitor_pb2.Status(
        model=status.model,
        encoder=status.encoder,
        start_time=stamp(status.start),
        running_requests=status.running,
        waiting_requests=status.waiting,
        compiled_facts=cache.facts,
        compiled_bytes=cache.used_bytes,
        compiled_capacity_bytes=cache.capacity_bytes,
        compiled_hits=cache.hits,
        compiled_misses=cache.misses,
        calls=[
            monitor_pb2.CallLoad(kind=load.kind, running=load.running, limit=load.limit, refused=load.refused)
            for load in status.calls
        ],
        answers=status.answers,
        grounded_answers=status.grounded,
    )
