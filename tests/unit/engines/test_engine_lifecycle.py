"""Queueing, cancelling, failing and closing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from engine_helpers import TOKENIZER, Gate, adapter_of, requests_for
from tiny_models import RandomAdapter, tiny_model
from torch import Tensor

from engines.contract import FinishReason, GenerateRequest, Sampling
from engines.errors import EngineBusy, EngineClosed, EngineError
from engines.transformers_engine import TransformersEngine


def test_cancelling_stops_within_one_step(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    gate = Gate(engine._model)
    running = engine.submit(GenerateRequest("Run", sampling=Sampling(max_tokens=100)))
    beside = engine.submit(GenerateRequest("Stay", sampling=Sampling(max_tokens=8)))
    gate.let(3)
    for _ in range(4):
        assert gate.reached.acquire(timeout=60)
    running.cancel()  # the worker stands before its fourth forward
    gate.open()
    answer = running.result(60)
    assert answer.finish_reason is FinishReason.CANCELLED
    assert 1 <= len(answer.token_ids) <= 4
    assert answer.text == "".join(running)
    assert beside.result(60).finish_reason is not FinishReason.CANCELLED
    running.cancel()  # too late, and harmless
    assert running.result() is answer


def test_a_full_queue_refuses_and_a_waiting_request_can_be_cancelled(
    start: Callable[..., TransformersEngine],
) -> None:
    engine = start(max_queue=2)
    release = threading.Event()
    blocked = engine.call(lambda model, tokenizer: release.wait(60))
    while engine._calls:  # until the worker has taken it up
        threading.Event().wait(0.001)
    request = GenerateRequest("Hello", sampling=Sampling(max_tokens=4))
    first, second = engine.submit(request), engine.submit(request)
    assert engine.load == (0, 2)
    with pytest.raises(EngineBusy, match="2 requests are waiting"):
        engine.submit(request)
    first.cancel()
    assert first.result(60).finish_reason is FinishReason.CANCELLED  # although the worker is blocked
    assert first.result().token_ids == ()
    with pytest.raises(EngineBusy):
        engine.generate([request, request, request])  # takes its first one back
    assert engine.load == (0, 1)
    with pytest.raises(TimeoutError):
        second.result(0.01)
    release.set()
    assert blocked.result(60) is True
    assert len(second.result(60).token_ids) == 4


def test_functions_run_on_the_model_between_steps(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    worker = engine.call(lambda model, tokenizer: threading.current_thread().name).result(60)
    assert worker == "engine-llama"
    assert engine.call(lambda model, tokenizer: model is engine._model and tokenizer is TOKENIZER).result(60)
    with pytest.raises(ZeroDivisionError):
        engine.call(lambda model, tokenizer: 1 / 0).result(60)
    handle = engine.submit(GenerateRequest("Hello", sampling=Sampling(max_tokens=100)))
    assert engine.call(lambda model, tokenizer: engine.load[0]).result(60) in (0, 1)
    assert len(handle.result(60).token_ids) > 0


def test_what_wants_the_model_alone_waits_for_a_score_that_was_begun_and_goes_before_the_next(
    start: Callable[..., TransformersEngine],
) -> None:
    """An edit is applied so: a score is of one state of the weights, however many forwards it takes."""
    engine = start(max_batch=2)
    gate, waiting = Gate(engine._model), Future[int]()
    found: dict[str, Any] = {}

    def score(name: str) -> None:
        scored = engine.score("Which", ["a"] * 5)
        found[name] = {round(sum(each.log_probabilities), 4) for each in scored}

    def zeroed(model: Any, tokenizer: Any) -> None:
        waiting.set_result(len(engine._scoring))
        model.get_output_embeddings().weight.data.zero_()

    threads = [threading.Thread(target=score, args=(name,)) for name in ("begun", "next")]
    threads[0].start()
    assert gate.reached.acquire(timeout=60)  # the first forward of three
    call = engine.call(zeroed, alone=True)
    threads[1].start()
    while len(engine._scoring) < 3 + 5:
        threading.Event().wait(0.001)
    gate.open()
    call.result(60)
    for thread in threads:
        thread.join(60)
    assert waiting.result() == 5  # all of the next
    assert len(found["begun"]) == len(found["next"]) == 1
    assert found["begun"] != found["next"]


def test_a_failed_forward_ends_its_requests_and_not_the_engine(
    start: Callable[..., TransformersEngine],
) -> None:
    class Fragile(RandomAdapter):
        broken = False

        def query(self, layer: int, residual: Tensor) -> Tensor:
            if self.broken:
                raise ArithmeticError("overflow")
            return super().query(layer, residual)

    adapter = Fragile.of(tiny_model("llama"))
    engine = start(adapter=adapter)
    request = GenerateRequest("Hello", (adapter.fact("f"),), Sampling(max_tokens=5))
    (before,) = engine.generate([request])
    adapter.broken = True
    handle = engine.submit(request)
    with pytest.raises(EngineError, match="the model failed: overflow"):
        handle.result(60)
    with pytest.raises(EngineError, match="overflow"):
        list(handle)
    adapter.broken = False
    assert engine.generate([request])[0].token_ids == before.token_ids


def test_closing_cancels_what_runs_and_what_waits(start: Callable[..., TransformersEngine]) -> None:
    engine = start(max_batch=1)
    gate = Gate(engine._model)
    running = engine.submit(GenerateRequest("Run", sampling=Sampling(max_tokens=100)))
    assert gate.reached.acquire(timeout=60)
    waiting = engine.submit(GenerateRequest("Wait", sampling=Sampling(max_tokens=100)))
    call = engine.call(lambda model, tokenizer: None)
    closer = threading.Thread(target=engine.close)
    closer.start()
    while not engine._closing:
        threading.Event().wait(0.001)
    gate.open()
    closer.join(60)
    assert not closer.is_alive()
    assert running.result(60).finish_reason is FinishReason.CANCELLED
    assert waiting.result(60).finish_reason is FinishReason.CANCELLED
    with pytest.raises(EngineClosed):
        call.result(60)
    with pytest.raises(EngineClosed):
        engine.submit(GenerateRequest("Late"))
    with pytest.raises(EngineClosed):
        engine.call(lambda model, tokenizer: None)
    engine.close()


def test_many_threads_may_ask_at_once(start: Callable[..., TransformersEngine]) -> None:
    engine = start(max_batch=4)
    requests = requests_for(adapter_of(engine))
    expected = [answer.token_ids for answer in engine.generate(requests)]
    results: dict[int, list[Any]] = {}

    def ask(thread: int) -> None:
        results[thread] = [answer.token_ids for answer in engine.generate(requests)]
        engine.count_tokens("some text")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert results == dict.fromkeys(range(6), expected)
