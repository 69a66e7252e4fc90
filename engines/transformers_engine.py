"""The default engine: one worker thread owns a transformers model and decodes all requests together."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from engines.admission import check_facts, check_length, generate_all
from engines.architectures import ModelSpec, spec_for
from engines.continuations import score_batch
from engines.contract import (
    GenerateRequest,
    Generation,
    InjectedFact,
    KVAdapter,
    Message,
    Scored,
    Weights,
)
from engines.decoding import RunningBatch
from engines.errors import EngineBusy, EngineClosed, EngineError, InvalidRequest
from engines.kv_attention import require_injectable
from engines.models import model_digest
from engines.prompts import PromptEncoder, end_tokens
from engines.request import ActiveRequest, Handle
from engines.sampling import check_sampling
from engines.scoring import ScoringQueue, Unit
from engines.words import Words

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of an engine."""

    max_batch: int = 16  # requests decoded together
    max_queue: int = 256  # requests that wait; more are refused
    max_context: int | None = None  # prompt and answer; None: what the model knows
    prefill_tokens: int = 4096  # prompt tokens read in one forward (one longer prompt is read alone)
    threads: int | None = None  # of torch, for the whole process; None: left as it is


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[[Any, Any], Any]
    future: Future[Any]
    alone: bool


class TransformersEngine:
    """Implements `engines.contract.Engine`.

    Requests join the running batch as soon as there is room, at any step, and leave it when they are finished.
    A request without facts gets the plain model's answer.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        adapter: KVAdapter | None = None,
        *,
        name: str = "model",
        settings: EngineSettings | None = None,
        digest: str | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        self._spec: ModelSpec = require_injectable(model) if adapter else spec_for(model)
        self._model, self._tokenizer, self._adapter = model, tokenizer, adapter
        self._name, self._digest = name, digest or model_digest(model)
        self._prompts = PromptEncoder(tokenizer)
        self._end_tokens, self._words = end_tokens(model, tokenizer), Words.of(tokenizer)
        self._decode = functools.partial(
            tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        self._batch: RunningBatch[ActiveRequest] = RunningBatch(model, adapter)
        self._waiting: deque[ActiveRequest] = deque()
        self._calls: deque[_Call] = deque()
        self._scoring = ScoringQueue(self._settings.max_batch, self._settings.prefill_tokens)
        self._closing = False
        self._wake = threading.Condition()
        self._worker = threading.Thread(target=self._work, name=f"engine-{name}", daemon=True)
        self._worker.start()

    @property
    def model_name(self) -> str:
        """For people."""
        return self._name

    @property
    def model_digest(self) -> str:
        """Names the weights."""
        return self._digest

    @property
    def spec(self) -> ModelSpec:
        """Where the model's parts are, and its numbers."""
        return self._spec

    @property
    def max_context(self) -> int:
        """Tokens of prompt and answer together."""
        return min(self._spec.context, self._settings.max_context or self._spec.context)

    @property
    def load(self) -> tuple[int, int]:
        """Requests in the batch, requests that wait."""
        with self._wake:
            return len(self._batch.rows), len(self._waiting)

    def submit(self, request: GenerateRequest) -> Handle:
        """Queues a request; returns at once. See `engines.contract.Engine`."""
        check_sampling(request.sampling)
        check_facts(request.facts, self._adapter, self._spec)
        ids = self._prompts.encode(request.prompt)
        check_length(len(ids) + 1, self.max_context)
        active = ActiveRequest(request, ids, self._decode, self._end_tokens, self.max_context, self._words)
        active.handle.on_cancel = lambda: self._cancel(active)
        with self._wake:
            self._check_open()
            if len(self._waiting) >= self._settings.max_queue:
                raise EngineBusy(f"{self._settings.max_queue} requests are waiting already")
            self._waiting.append(active)
            self._wake.notify()
        return active.handle

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """Submits all and waits; none is left behind when one is refused."""
        return generate_all(self.submit, requests)

    def score(
        self,
        prompt: str | Sequence[Message],
        continuations: Sequence[str],
        facts: Sequence[InjectedFact] = (),
        *,
        original: bool = False,
    ) -> list[Scored]:
        """Log-probabilities of each continuation; attention: a fact's largest share at any of its tokens."""
        check_facts(facts, self._adapter, self._spec)
        pairs = [self._prompts.encode_pair(prompt, text) for text in continuations]
        for index, (head, tail) in enumerate(pairs):
            if not tail:
                raise InvalidRequest(f"continuations[{index}]", "has no tokens")
            check_length(len(head) + len(tail), self.max_context)
        units = [Unit(pair, facts, original, Future(), first=not nth) for nth, pair in enumerate(pairs)]
        with self._wake:
            self._check_open()
            if self._scoring and len(self._scoring) + len(units) > self._settings.max_queue:
                raise EngineBusy(f"{len(self._scoring)} continuations are waiting already")
            self._scoring.add(units)
            self._wake.notify()
        scores = [unit.future.result() for unit in units]
        results = []
        for (_, tail), (said, masses) in zip(pairs, scores, strict=True):
            attention: dict[str, float] = {}
            for fact, mass in zip(facts, masses, strict=True):
                attention[fact.tokens.key] = attention.get(fact.tokens.key, 0.0) + mass
            results.append(Scored(self._prompts.pieces(tail), tuple(tail), said, attention))
        return results

    def count_tokens(self, prompt: str | Sequence[Message]) -> int:
        """Length of the prompt as the model sees it."""
        return len(self._prompts.encode(prompt))

    def call(self, function: Callable[[Any, Any], T], *, alone: bool = False) -> Future[T]:
        """Runs `function(model, tokenizer)` on the worker, between two decoding steps; keep it short.

        `alone`: when no answer is under way; those that were begun end first, new ones wait. EngineBusy when too many
        wait. Never wait for the result inside another such function: there is only one worker.
        """
        future: Future[T] = Future()
        with self._wake:
            self._check_open()
            if len(self._calls) >= self._settings.max_queue:
                raise EngineBusy(f"{self._settings.max_queue} calls are waiting already")
            self._calls.append(_Call(function, future, alone))
            self._wake.notify()
        return future

    def edited_by(self, weights: Weights) -> None:
        """Tells the engine of the edits that its model carries. Before the first of them, on any thread."""
        self._batch.weights = weights

    def close(self) -> None:
        """Cancels what runs and what waits; returns when the worker has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._worker.join()

    def _check_open(self) -> None:
        if self._closing:
            raise EngineClosed(f"engine {self._name} is shutting down")

    def _cancel(self, active: ActiveRequest) -> None:
        with self._wake:
            active.cancelled = True
            if active not in self._waiting:
                return  # in the batch: the worker sees it before its next step; or finished
            self._waiting.remove(active)
        active.end_cancelled()

    # What follows runs on the worker.

    def _work(self) -> None:
        try:
            while self._wait_for_work():
                self._run_call()
                self._score_waiting()
                self._drop_cancelled()
                self._join()
                if self._batch.rows:
                    self._guarded(self._batch.step, self._batch.rows)
        finally:
            self._shut_down()

    def _wait_for_work(self) -> bool:
        with self._wake:
            self._wake.wait_for(
                lambda: self._closing or self._calls or self._scoring or self._waiting or self._batch.rows
            )
            return not self._closing

    def _one_waits_alone(self) -> bool:
        """Whether the next call is to have no answer under way: until it ran, none is begun."""
        return bool(self._calls) and self._calls[0].alone

    def _run_call(self) -> None:
        with self._wake:
            if not self._calls or (self._one_waits_alone() and (self._batch.rows or self._scoring.begun)):
                return
            call = self._calls.popleft()
        if not call.future.set_running_or_notify_cancel():
            return
        try:
            call.future.set_result(call.function(self._model, self._tokenizer))
        except Exception as error:
            call.future.set_exception(error)

    def _admit(self) -> list[ActiveRequest]:
        """The next requests, in order, as many as fit the batch and one forward."""
        admitted: list[ActiveRequest] = []
        longest = 0
        with self._wake:
            if self._one_waits_alone():
                return []
            room = self._settings.max_batch - len(self._batch.rows)
            while self._waiting and len(admitted) < room:
                longest = max(longest, len(self._waiting[0].prompt_ids))
                if admitted and longest * (len(admitted) + 1) > self._settings.prefill_tokens:
                    break
                admitted.append(self._waiting.popleft())
        for active in admitted:
            active.admit()
        return admitted

    def _join(self) -> None:
        admitted = self._admit()
        if admitted:
            self._guarded(lambda: self._batch.join(admitted), admitted)

    def _drop_cancelled(self) -> None:
        leaving = [active for active in self._batch.rows if active.cancelled]
        self._batch.drop(lambda active: active in leaving)
        for active in leaving:
            active.end_cancelled()

    def _guarded(self, forward: Callable[[], None], concerned: Sequence[ActiveRequest]) -> None:
        """A failed forward ends the requests that took part in it, not the engine."""
        try:
            forward()
        except Exception as error:
            failure = EngineError(f"the model failed: {error}")
            failure.__cause__ = error
            for active in concerned:
                active.handle.fail(failure)
            self._batch.drop(lambda active: active in concerned)

    def _shut_down(self) -> None:
        with self._wake:
            self._closing = True
            unfinished = [*self._batch.rows, *self._waiting]
            calls = list(self._calls)
            unscored = self._scoring.clear()
            self._waiting.clear()
            self._calls.clear()
        for active in unfinished:
            active.end_cancelled()
        waiting: list[Future[Any]] = [call.future for call in calls]
        for future in [*waiting, *(unit.future for unit in unscored)]:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineClosed(f"engine {self._name} is shutting down"))

    def _score_waiting(self) -> None:
        """One forward for continuations of any requests."""
        with self._wake:
            units = self._scoring.take(begun=self._one_waits_alone())
        if not units:
            return
        weights = self._batch.weights
        try:
            with weights.original() if units[0].original and weights is not None else nullcontext():
                pairs, facts = [unit.pair for unit in units], [unit.facts for unit in units]
                scores = score_batch(self._model, self._adapter, pairs, facts)
        except Exception as error:
            for unit in units:
                unit.future.set_exception(error)
        else:
            for unit, score in zip(units, scores, strict=True):
                unit.future.set_result(score)
