"""What `client.monitor` returns. Texts are untrusted, times are aware UTC datetimes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interleaf._types import Citation, FinishReason, Grounding, Timings


@dataclass(frozen=True, slots=True)
class Injection:
    """An answer, and the facts that were put into the model's attention for it.

    `sequence` counts from 1 since the server started. Prompt, text and the facts' words are empty unless the server's
    `monitor.texts` is set.
    """

    sequence: int
    create_time: datetime | None
    namespace: str
    method: str
    prompt: str
    text: str
    grounding: Grounding
    finish_reason: FinishReason
    citations: tuple[Citation, ...]
    prompt_tokens: int
    generated_tokens: int
    injected_tokens: int
    timings: Timings
    namespace_revision: int
    retrieval_disabled: bool


@dataclass(frozen=True, slots=True)
class CallLoad:
    """Calls of one kind: how many run, how many may, and how many were refused for being one too many."""

    kind: str
    running: int
    limit: int
    refused: int


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How the service stands; counts are since its start. `model` and `encoder` are empty where there is none."""

    model: str
    encoder: str
    start_time: datetime | None
    running_requests: int
    waiting_requests: int
    compiled_facts: int
    compiled_bytes: int
    compiled_capacity_bytes: int
    compiled_hits: int
    compiled_misses: int
    calls: tuple[CallLoad, ...]
    answers: int
    grounded_answers: int
