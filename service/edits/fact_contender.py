"""Facts as key/value tokens among the methods that are compared: the same encoder, evidence and decoding as served."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from editors.comparison.contenders import EditedState
from editors.kv.contract import FactText
from editors.kv.trained import LoadedEncoder, TrainedEncoder
from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Forced, ModelSpeaker, Pair
from editors.weights.errors import InvalidEdit
from editors.weights.model import EditableModel
from engines.contract import GenerateRequest, InjectedFact, KVAdapter, KVTokens, Sampling
from engines.decoding import RunningBatch, injected, packed
from engines.kv_attention import AttentionRecord
from engines.prompts import end_tokens
from engines.request import ActiveRequest
from engines.words import Words
from kb_store.contract import Embedder
from kb_store.scoring import Candidate
from service.serving.evidence import EvidenceReader

T = TypeVar("T")


class FactContender:
    """Implements `editors.comparison.contenders.Contender`. Cases need a relation."""

    name = "kv"
    writes = False

    def __init__(self, editable: EditableModel, encoder: LoadedEncoder, embedder: Embedder) -> None:
        encoder.check(editable.digest, embedder.digest)
        self._editable, self._reader = editable, EvidenceReader(embedder)
        self._encoder: TrainedEncoder = encoder.bind(self._run_here)

    @property
    def layers(self) -> tuple[int, ...]:
        """Where facts are attended to."""
        return self._encoder.adapter.layers

    @contextmanager
    def edited(self, case: EditCase) -> Iterator[EditedState]:
        """The fact is compiled and in view of every prompt that asks for it."""
        request = case.request
        if not request.relation:
            raise InvalidEdit("relation", "kv needs it: a fact has one")
        began = time.perf_counter()
        fact = FactText("edit@1", request.subject, request.relation, request.target)
        (tokens,) = self._encoder.compile([fact])
        seconds = time.perf_counter() - began
        speaker = FactSpeaker(
            self._editable, self._encoder.adapter, functools.partial(self._seen, fact, tokens)
        )
        yield EditedState(speaker, speaker.view, seconds)

    def _seen(self, fact: FactText, tokens: KVTokens, prompts: Sequence[str]) -> list[list[InjectedFact]]:
        """What retrieval would put before each prompt."""
        described = [Candidate(fact.subject, fact.relation)]
        evidence = self._reader.read(prompts, described, self._encoder.meaning)
        biases = [self._encoder.biases(row)[0] for row in evidence]
        return [[] if bias is None else [InjectedFact(tokens, bias)] for bias in biases]

    def _run_here(self, function: Callable[[Any, Any], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(function(self._editable.model, self._editable.tokenizer))
        return future


class FactSpeaker:
    """Implements `editors.metrics.speaking.Speaker`; scores and generates as the engine does. `seen`: each prompt's
    facts."""

    def __init__(
        self,
        editable: EditableModel,
        adapter: KVAdapter,
        seen: Callable[[Sequence[str]], list[list[InjectedFact]]],
    ) -> None:
        self._editable, self._adapter, self._seen = editable, adapter, seen
        self._forced = ModelSpeaker(editable.model, editable.tokenizer, self.view)
        self._ends = end_tokens(editable.model, editable.tokenizer)
        self._words = Words.of(editable.tokenizer)

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        """See `Speaker`."""
        return self._forced.forced(pairs)

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """See `Speaker`."""
        tokenizer = self._editable.tokenizer
        decode = functools.partial(
            tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        rows = []
        for prompt, facts in zip(prompts, self._seen(prompts), strict=True):
            request = GenerateRequest(prompt, tuple(facts), Sampling(max_tokens=max_tokens))
            ids = self._editable.prompts.encode(prompt)
            context = self._editable.spec.context
            rows.append(ActiveRequest(request, ids, decode, self._ends, context, self._words))
        if not rows:
            return []
        running: RunningBatch[ActiveRequest] = RunningBatch(self._editable.model, self._adapter)
        running.join(rows)
        while running.rows:
            running.step()
        return [row.handle.result().text for row in rows]

    @contextmanager
    def view(self, prompts: Sequence[str], last: Sequence[int]) -> Iterator[None]:
        """Within, a batch of these prompts has its facts in view, each from its last token on."""
        facts = packed(self._seen(prompts), self._adapter, self._editable.device)
        facts = None if facts is None else facts.seen_from(last)
        with injected(self._editable.model, self._adapter, facts, AttentionRecord()):
            yield
