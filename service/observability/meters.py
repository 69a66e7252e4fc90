"""The figures that are counted as things happen. Every label has values from a list that this program knows:
methods, status codes, reasons, stages, verdicts. Never a namespace, a fact, a caller or a text."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.commands.answering import Answer, Ask
from service.serving.citations import Grounding

_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
_FACTS: Final = (0, 1, 2, 4, 8, 16, 32, 64)
_BATCH: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Reasons of refusals that ops/prometheus/alerts.yml asks for.
_ALERTED: Final = ("STORAGE_FULL", "TOO_BUSY", "ENGINE_BUSY", "UNAUTHENTICATED")
STAGES: Final = ("retrieval", "compile", "queue", "prefill", "decode")


def stage_seconds(answer: Answer) -> tuple[float, ...]:
    """What each of the stages took."""
    timings = answer.timings
    before = (timings.retrieval, timings.compile, timings.queue, timings.first_token)
    return (*before, max(0.0, timings.total - sum(before)))


class Meters:
    """Counters and histograms in a registry of their own, so that two servers in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "interleaf_calls",
            "Calls that ended, by method and status.",
            ("method", "code"),
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "interleaf_call_seconds",
            "Duration of calls, over gRPC and HTTP.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_progress = Gauge(
            "interleaf_calls_in_progress", "Calls that run now.", ("kind",), registry=self.registry
        )
        self._refusals = Counter(
            "interleaf_refusals",
            "Calls that failed, by the reason in ErrorInfo.",
            ("reason",),
            registry=self.registry,
        )
        # A rise from nothing is no increase: what alerts ask for is there from the start.
        for reason in _ALERTED:
            self._refusals.labels(reason)
        self._answers = Counter(
            "interleaf_answers", "Answers with their verdict.", ("verdict",), registry=self.registry
        )
        self._without_facts = Counter(
            "interleaf_answers_without_facts",
            "Answers into which no fact was injected, by why not.",
            ("why",),
            registry=self.registry,
        )
        self._abstained = Counter(
            "interleaf_answers_withheld", "Strict answers that no stored fact says.", registry=self.registry
        )
        self._stages = Histogram(
            "interleaf_answer_stage_seconds",
            "Where an answer's time went.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._facts = Histogram(
            "interleaf_injected_facts",
            "Facts injected into an answer.",
            buckets=_FACTS,
            registry=self.registry,
        )
        self._attention = Histogram(
            "interleaf_fact_attention",
            "An injected fact's greatest share of attention in an answer.",
            buckets=_SHARES,
            registry=self.registry,
        )
        self._scores = Histogram(
            "interleaf_retrieval_score",
            "How well an injected fact fitted the question, as the retriever found.",
            buckets=_SHARES,
            registry=self.registry,
        )
        self._tokens = Counter("interleaf_tokens", "Tokens of answers.", ("what",), registry=self.registry)
        self._batch = Histogram(
            "interleaf_batch_at_answer",
            "Requests that were still being decoded together when an answer was ready.",
            buckets=_BATCH,
            registry=self.registry,
        )

        self._canary = Counter(
            "interleaf_canary_questions",
            "Made-up facts that the service asked itself for, by what came of it.",
            ("outcome",),
            registry=self.registry,
        )
        self._canary_leaks = Counter(
            "interleaf_canary_leaks",
            "Made-up facts that a namespace said which does not have them.",
            registry=self.registry,
        )
        self._canary_seconds = Histogram(
            "interleaf_canary_seconds",
            "From writing the canary's facts to the last answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def canary_asked(self, right: int, wrong: int, leaks: int, seconds: float) -> None:
        """A round of the canary ended."""
        self._canary.labels("right").inc(right)
        self._canary.labels("wrong").inc(wrong)
        self._canary_leaks.inc(leaks)
        self._canary_seconds.observe(seconds)

    def canary_failed(self) -> None:
        """A round of the canary broke off."""
        self._canary.labels("failed").inc()

    def call_began(self, kind: str) -> None:
        """A call of the kind runs."""
        self._in_progress.labels(kind).inc()

    def call_ended(self, kind: str, method: str, code: str, reason: str, seconds: float) -> None:
        """A call ended. `reason` is empty where it went well."""
        self._in_progress.labels(kind).dec()
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)
        if reason:
            self._refusals.labels(reason).inc()

    def answered(self, ask: Ask, answer: Answer, decoding: int) -> None:
        """An answer is ready; `decoding` others are still in the batch."""
        generation = answer.generation
        self._answers.labels(answer.grounding.value).inc()
        if answer.grounding is Grounding.NO_FACTS:
            self._without_facts.labels("disabled" if ask.retrieval.disabled else "none_fit").inc()
        if answer.abstained:
            self._abstained.inc()
        for stage, seconds in zip(STAGES, stage_seconds(answer), strict=True):
            self._stages.labels(stage).observe(seconds)
        self._facts.observe(len(answer.citations))
        for citation in answer.citations:
            self._attention.observe(citation.attention)
            self._scores.observe(citation.retrieval_score)
        self._tokens.labels("prompt").inc(generation.prompt_tokens)
        self._tokens.labels("generated").inc(len(generation.token_ids))
        self._tokens.labels("injected").inc(answer.injected_tokens)
        self._batch.observe(decoding)
