"""The engine as its callers see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from engine_helpers import TOKENIZER, TOLERANCE, Gate, adapter_of, prompt_ids, requests_for
from slow_reference import reference_greedy, reference_logits
from tiny_models import RandomAdapter, tiny_model

from engines.architectures import ARCHITECTURES
from engines.contract import Engine, FinishReason, GenerateRequest, InjectedFact, Message, Sampling
from engines.errors import InvalidRequest
from engines.scoring import ScoringQueue, Unit
from engines.transformers_engine import TransformersEngine


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_generation_equals_the_reference(kind: str, start: Callable[..., TransformersEngine]) -> None:
    engine = start(kind, max_batch=3)  # smaller than the number of requests: they join as others leave
    adapter = adapter_of(engine)
    requests = requests_for(adapter)
    answers = engine.generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        tokens, scores = reference_greedy(
            engine._model, prompt_ids(request), adapter, request.facts, request.sampling.max_tokens
        )
        tokens = _until_end(tokens, engine)
        assert list(answer.token_ids) == tokens
        assert answer.log_probabilities == pytest.approx(scores[: len(tokens)], abs=TOLERANCE)
        assert answer.prompt_tokens == len(prompt_ids(request)) == engine.count_tokens(request.prompt)
        assert set(answer.attention) == {fact.tokens.key for fact in request.facts}
        for masses in answer.attention.values():
            assert len(masses) == len(tokens)
            assert all(0 < mass < 1 for mass in masses)


def _until_end(tokens: list[int], engine: TransformersEngine) -> list[int]:
    ends = [i for i, token in enumerate(tokens) if token in engine._end_tokens]
    return tokens[: ends[0] + 1] if ends else tokens


def test_what_an_answer_has_said_it_sees_no_more(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    adapter = adapter_of(engine)
    request = requests_for(adapter, tokens=8)[0]
    request = replace(request, facts=(adapter.fact("told"), adapter.fact("kept")))
    (free,) = engine.generate([request])
    told, kept = request.facts
    # The first token of the answer is what the first fact says; the next one closes it.
    told = replace(told, tokens=replace(told.tokens, said=free.token_ids[:1]))
    (answer,) = engine.generate([replace(request, facts=(told, kept))])
    assert answer.token_ids[0] == free.token_ids[0]
    assert all(mass > 0 for mass in answer.attention["told"][:2])
    assert set(answer.attention["told"][2:]) == {0.0}
    assert len(answer.attention["told"]) > 2
    assert all(mass > 0 for mass in answer.attention["kept"])
    # Neighbours in the batch keep theirs.
    beside = engine.generate([replace(request, facts=(told, kept)), request])
    assert [item.token_ids for item in beside] == [answer.token_ids, free.token_ids]
    assert all(mass > 0 for mass in beside[1].attention["told"])


def test_a_request_may_join_at_any_step(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    requests = requests_for(adapter_of(engine), tokens=12)
    alone = [engine.generate([request])[0] for request in requests]
    gate = Gate(engine._model)
    handles = []
    for request in requests:  # each comes two forwards after the one before
        handles.append(engine.submit(request))
        assert gate.reached.acquire(timeout=60)
        gate.let(2)
        assert gate.reached.acquire(timeout=60)
    gate.open()
    for handle, expected in zip(handles, alone, strict=True):
        got = handle.result(60)
        assert got.token_ids == expected.token_ids
        assert got.text == expected.text
        assert got.log_probabilities == pytest.approx(expected.log_probabilities, abs=TOLERANCE)
        for key, masses in expected.attention.items():
            assert got.attention[key] == pytest.approx(masses, abs=TOLERANCE)


def test_attention_is_the_mean_over_heads_and_layers_summed_over_a_facts_tokens(
    start: Callable[..., TransformersEngine],
) -> None:
    engine = start()
    adapter = adapter_of(engine)
    # A fact whose bias wins every softmax gets all the attention; the same key twice is counted together.
    certain = adapter.fact("certain", 2, bias=200.0)
    (answer,) = engine.generate(
        [GenerateRequest("abc", (certain, certain, adapter.fact("other")), Sampling(max_tokens=3))]
    )
    assert answer.attention["certain"] == pytest.approx([1.0] * len(answer.token_ids), abs=1e-5)
    assert answer.attention["other"] == pytest.approx([0.0] * len(answer.token_ids), abs=1e-5)


def test_pieces_are_the_text(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    for request in requests_for(adapter_of(engine), tokens=20):
        handle = engine.submit(request)
        pieces = list(handle)
        answer = handle.result(60)
        assert "".join(pieces) == answer.text
        assert "" not in pieces
        assert list(handle) == []
        kept = [token for token in answer.token_ids if token not in engine._end_tokens]
        assert answer.text == TOKENIZER.decode(kept, skip_special_tokens=True)


def test_sampling_depends_on_the_seed_and_not_on_the_neighbours(
    start: Callable[..., TransformersEngine],
) -> None:
    engine = start()
    adapter = adapter_of(engine)
    facts = (adapter.fact("a"), adapter.fact("b", 3))
    wanted = GenerateRequest("Once", facts, Sampling(max_tokens=10, temperature=1.0, top_p=0.9, seed=11))
    (alone,) = engine.generate([wanted])
    others = [
        GenerateRequest("noise " * i, (), Sampling(max_tokens=10, temperature=1.0, seed=i))
        for i in range(1, 5)
    ]
    together = engine.generate([*others[:2], wanted, *others[2:], wanted])
    assert together[2].token_ids == together[5].token_ids == alone.token_ids
    other_seed = replace(wanted, sampling=replace(wanted.sampling, seed=12))
    assert engine.generate([other_seed])[0].token_ids != alone.token_ids


def test_the_end_token_ends_and_is_not_shown(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    request = GenerateRequest("Where does it end", sampling=Sampling(max_tokens=12))
    (free,) = engine.generate([request])
    end = free.token_ids[4]
    model = tiny_model("llama")
    model.generation_config.eos_token_id = [257, end]
    ending = TransformersEngine(model, TOKENIZER, RandomAdapter.of(model))
    (answer,) = ending.generate([request])
    ending.close()
    assert answer.token_ids == free.token_ids[: free.token_ids.index(end) + 1]
    assert answer.finish_reason is FinishReason.STOP
    assert answer.text == TOKENIZER.decode(list(answer.token_ids[:-1]))
    assert free.finish_reason is FinishReason.LENGTH


def test_a_stop_string_ends_the_answer(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    request = GenerateRequest("Some text", sampling=Sampling(max_tokens=24))
    (free,) = engine.generate([request])
    stop = free.text[2:5]
    stopped = replace(request, sampling=replace(request.sampling, stop=("never", stop)))
    handle = engine.submit(stopped)
    assert "".join(handle) == handle.result(60).text == free.text[: free.text.index(stop)]
    assert handle.result().finish_reason is FinishReason.STOP
    assert len(handle.result().token_ids) < len(free.token_ids)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda a: {"prompt": "x" * 128}, "prompt"),
        (lambda a: {"prompt": ""}, "prompt"),
        (lambda a: {"sampling": Sampling(temperature=-1)}, "sampling.temperature"),
        (lambda a: {"facts": (a.fact("ok"), _recompiled(a.fact("old"), encoder="older"))}, "facts[1]"),
        (lambda a: {"facts": (_recompiled(a.fact("f"), keys=torch.zeros(2, 2, 3, 16)),)}, "facts[0]"),
        (lambda a: {"facts": (a.fact("f", bias=float("inf")),)}, "facts[0].bias"),
    ],
)
def test_requests_that_cannot_be_served_are_refused(
    change: Callable[[RandomAdapter], dict[str, Any]], field: str, start: Callable[..., TransformersEngine]
) -> None:
    engine = start()
    with pytest.raises(InvalidRequest) as caught:
        engine.submit(replace(GenerateRequest("Hello"), **change(adapter_of(engine))))
    assert caught.value.field == field


def _recompiled(fact: InjectedFact, **changes: Any) -> InjectedFact:
    return replace(fact, tokens=replace(fact.tokens, **changes))


def test_an_engine_without_an_encoder_takes_no_facts() -> None:
    model = tiny_model("llama")
    engine = TransformersEngine(model, TOKENIZER)
    with pytest.raises(InvalidRequest, match="no encoder"):
        engine.submit(GenerateRequest("Hello", (RandomAdapter.of(model).fact("f"),)))
    (answer,) = engine.generate([GenerateRequest("Hello", sampling=Sampling(max_tokens=3))])
    assert (
        list(answer.token_ids)
        == reference_greedy(model, prompt_ids(GenerateRequest("Hello")), None, (), 3)[0]
    )
    engine.close()


def test_the_context_is_filled_and_not_overrun(start: Callable[..., TransformersEngine]) -> None:
    engine = start(max_context=20)
    (answer,) = engine.generate([GenerateRequest("fifteen letters", sampling=Sampling(max_tokens=100))])
    assert answer.prompt_tokens == 15
    assert len(answer.token_ids) == 5
    assert answer.finish_reason is FinishReason.LENGTH
    with pytest.raises(InvalidRequest, match="context of 20"):
        engine.submit(GenerateRequest("x" * 20))


@torch.no_grad()
def test_scores_equal_the_reference(start: Callable[..., TransformersEngine]) -> None:
    engine = start(max_batch=2)
    adapter = adapter_of(engine)
    known, other = adapter.fact("a", 3, 1.0), adapter.fact("b")
    texts = [" Rome", " a much longer one", "!"]
    # It takes turns in the second text, and is told before its end.
    said = tuple(TOKENIZER(texts[1]).input_ids[2:4])
    facts = (replace(known, tokens=replace(known.tokens, said=said)), other)
    for prompt in ("The capital is", [Message("user", "Capital?")]):
        scored = engine.score(prompt, texts, facts)
        head = prompt_ids(GenerateRequest(prompt))
        for text, score in zip(texts, scored, strict=True):
            tail = TOKENIZER(text).input_ids
            logits = reference_logits(
                engine._model, [*head, *tail], adapter, facts, since=len(head) - 1
            ).log_softmax(-1)
            wanted = [float(logits[len(head) - 1 + i, token]) for i, token in enumerate(tail)]
            assert score.token_ids == tuple(tail)
            assert "".join(score.tokens) == text
            assert score.log_probabilities == pytest.approx(wanted, abs=TOLERANCE)
            assert set(score.attention) == {"a", "b"}
            assert all(0 < mass < 1 for mass in score.attention.values())
    plain = engine.score("The capital is", texts)
    assert all(score.attention == {} for score in plain)
    assert plain[0].log_probabilities != scored[0].log_probabilities


def test_what_waits_to_be_scored_is_scored_together_with_its_own_facts(
    start: Callable[..., TransformersEngine],
) -> None:
    engine = start(max_batch=8)
    adapter = adapter_of(engine)
    asked = [
        ("The capital is", [" Rome", " Oslo, it seems"], (adapter.fact("a", 2, 1.0),)),
        ("Hi", [" there"], ()),
        ("A longer prompt than the others", [" ends"], (adapter.fact("b"), adapter.fact("c", 3))),
    ]
    alone = [engine.score(*question) for question in asked]
    forwards: list[int] = []
    engine._model.register_forward_hook(
        lambda module, args, kwargs, output: forwards.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    held = threading.Event()
    engine.call(lambda model, tokenizer: held.wait(30))
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(engine.score, *question) for question in asked]
        deadline = time.monotonic() + 30
        while len(engine._scoring) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        held.set()
        together = [future.result() for future in waiting]
    assert forwards == [4]
    for one, other in zip(alone, together, strict=True):
        for expected, score in zip(one, other, strict=True):
            assert score.log_probabilities == pytest.approx(expected.log_probabilities, abs=TOLERANCE)
            assert score.attention == pytest.approx(expected.attention, abs=TOLERANCE)


def test_a_forward_takes_what_fits() -> None:
    def unit(length: int, original: bool = False) -> Unit:
        return Unit(([1] * length, [2, 3]), (), original, Future(), first=False)

    queue = ScoringQueue(rows=3, tokens=60)
    queue.add([unit(50), unit(8), unit(8), unit(8), unit(8, True), unit(8, True)])
    gone = unit(8, True)
    gone.future.cancel()
    queue.add([gone])
    taken = [[len(item.pair[0]) for item in queue.take()] for _ in range(4)]
    assert taken == [[50], [8, 8, 8], [8, 8], []]
    assert len(queue) == 0


def test_a_score_and_a_generation_agree(start: Callable[..., TransformersEngine]) -> None:
    engine = start()
    adapter = adapter_of(engine)
    facts = (adapter.fact("a", 3, 1.0),)
    prompts = [letter * 5 for letter in "abcdefghij"]
    answers = engine.generate([GenerateRequest(prompt, facts, Sampling(max_tokens=1)) for prompt in prompts])
    # A random model mostly says bytes that are no text by themselves; one that is can be scored as text.
    prompt, answer = next(pair for pair in zip(prompts, answers, strict=True) if pair[1].text.isascii())
    (scored,) = engine.score(prompt, [answer.text], facts)
    assert scored.token_ids == answer.token_ids
    assert scored.log_probabilities == pytest.approx(answer.log_probabilities, abs=TOLERANCE)
    assert scored.attention["a"] == pytest.approx(answer.attention["a"][0], abs=TOLERANCE)


def test_nothing_to_score_and_too_much_to_score_are_refused(start: Callable[..., TransformersEngine]) -> None:
    engine = start(max_context=20)
    with pytest.raises(InvalidRequest, match=r"continuations\[1\]"):
        engine.score("The", ["ok", ""])
    with pytest.raises(InvalidRequest, match="context"):
        engine.score("The", ["x" * 30])
    assert engine.score("The", []) == []


def test_it_is_an_engine(start: Callable[..., TransformersEngine]) -> None:
    engine: Engine = start()
    assert engine.model_name == "llama"
    other = start("gemma")
    assert len(engine.model_digest) == len(other.model_digest) == 16
    assert engine.model_digest != other.model_digest
