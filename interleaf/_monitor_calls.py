"""Calls of the Monitor service. The docstrings are those of `client.monitor`'s methods."""

from __future__ import annotations

from typing import Any

from interleaf import _decode
from interleaf._calls import Call, Streamed
from interleaf._monitor_types import CallLoad, Injection, ServerStatus
from interleaf._session import Session
from interleaf.v1 import monitor_pb2

MONITOR = "/interleaf.v1.Monitor/"


def injections(
    session: Session, *, after: int = 0, limit: int = 0, all_namespaces: bool = False
) -> Call[tuple[Injection, ...]]:
    """The last answers, the newest first, and the facts that each had injected; those `after` a sequence number.

    for injection in client.monitor.injections(limit=10):
        print(injection.sequence, injection.grounding, [c.fact for c in injection.citations if c.used])
    """
    request = _asked(session, after, limit, all_namespaces)

    def decode(message: Any) -> tuple[Injection, ...]:
        return tuple(map(_injection, message.injections))

    return Call(MONITOR + "ListInjections", request, monitor_pb2.ListInjectionsResponse, decode)


def watch(session: Session, *, after: int = 0, all_namespaces: bool = False) -> Streamed[Injection]:
    """The same as they come, the oldest first, until you leave; begins with those `after` a sequence number.

    for injection in client.monitor.watch():
        print(injection.sequence, injection.grounding)
    """
    request = _asked(session, after, 0, all_namespaces)
    return Streamed(MONITOR + "WatchInjections", request, monitor_pb2.Injection, _injection, kind="transfer")


def status(session: Session) -> Call[ServerStatus]:
    """What is loaded, how busy the service is, and how well its caches serve.

    print(client.monitor.status().running_requests)
    """
    return Call(MONITOR + "GetStatus", monitor_pb2.GetStatusRequest(), monitor_pb2.Status, _status)


def _asked(session: Session, after: int, limit: int, all_namespaces: bool) -> Any:
    return monitor_pb2.ListInjectionsRequest(
        parent="" if all_namespaces else session.parent, after_sequence=after, page_size=limit
    )


def _injection(message: Any) -> Injection:
    return Injection(
        sequence=message.sequence,
        create_time=_decode.time_of(message, "create_time"),
        namespace=message.parent.removeprefix("namespaces/"),
        method=message.method,
        prompt=message.prompt,
        text=message.text,
        grounding=_decode.grounding(message.grounding),
        finish_reason=_decode.finish_reason(message.finish_reason),
        citations=tuple(map(_decode.citation, message.citations)),
        prompt_tokens=message.prompt_tokens,
        generated_tokens=message.generated_tokens,
        injected_tokens=message.injected_tokens,
        timings=_decode.timings(message.timings),
        namespace_revision=message.namespace_revision,
        retrieval_disabled=message.retrieval_disabled,
    )


def _status(message: Any) -> ServerStatus:
    return ServerStatus(
        model=message.model,
        encoder=message.encoder,
        start_time=_decode.time_of(message, "start_time"),
        running_requests=message.running_requests,
        waiting_requests=message.waiting_requests,
        compiled_facts=message.compiled_facts,
        compiled_bytes=message.compiled_bytes,
        compiled_capacity_bytes=message.compiled_capacity_bytes,
        compiled_hits=message.compiled_hits,
        compiled_misses=message.compiled_misses,
        calls=tuple(CallLoad(each.kind, each.running, each.limit, each.refused) for each in message.calls),
        answers=message.answers,
        grounded_answers=message.grounded_answers,
    )
