"""Both engines give the same tokens, probabilities, attention and text, whatever vLLM does with its batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.contract import FinishReason, GenerateRequest, InjectedFact, Message, Sampling
from engines.errors import InvalidRequest
from engines.words import Words
from tests.unit.engines.tiny_models import byte_tokenizer
from tests.vllm.models import CONTEXT, PYTHON, TOLERANCE, Pair, check_equal, mixed_requests, text

# Few tokens per step, so that prompts are read in chunks; few blocks, so that requests are preempted.
_TIGHT: dict[str, Any] = {
    "options": {"max_num_batched_tokens": 48, "num_gpu_blocks_override": 34},
    "max_batch": 16,
}


def _check(pair: Pair, requests: list[GenerateRequest]) -> None:
    wanted = pair.reference.generate(requests)
    for got, expected in zip(pair.vllm.generate(requests), wanted, strict=True):
        check_equal(got, expected)


def test_mixed_batches(llama: Pair) -> None:
    requests = mixed_requests(llama.adapter, 64)
    _check(llama, requests)
    _check(llama, requests[::3])  # their prompts are in the prefix cache


def test_one_at_a_time(llama: Pair) -> None:
    for request in mixed_requests(llama.adapter, 6, seed=1):
        _check(llama, [request])


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_chunked_and_preempted(
    kind: str, begin: Callable[..., Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "preemptions"
    monkeypatch.setenv("INTERLEAF_TEST_COUNT", str(count))
    pair = begin(kind, host=(str(PYTHON), "-m", "tests.vllm.hosts", "counting"), **_TIGHT)
    requests = mixed_requests(pair.adapter, 24, seed=2)
    _check(pair, [replace(request, sampling=Sampling(max_tokens=60)) for request in requests])
    assert int(count.read_text()) > 0


def test_kernels_that_write_into_their_arguments(begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", "in_place"))
    _check(pair, mixed_requests(pair.adapter, 24, seed=5))


@pytest.mark.slow
def test_compiled(begin: Callable[..., Pair]) -> None:
    pair = begin(eager=False)
    _check(pair, mixed_requests(pair.adapter, 24, seed=3))


@pytest.mark.slow
def test_two_workers_share_the_heads(begin: Callable[..., Pair]) -> None:
    pair = begin(options={"tensor_parallel_size": 2})
    _check(pair, mixed_requests(pair.adapter, 24, seed=4))


def test_what_an_answer_has_said_it_sees_no_more(llama: Pair) -> None:
    adapter = llama.adapter
    request = GenerateRequest("once", (adapter.fact("told"), adapter.fact("kept")), Sampling(max_tokens=8))
    (free,) = llama.reference.generate([request])
    told, kept = request.facts
    told = replace(told, tokens=replace(told.tokens, said=free.token_ids[:1]))
    hiding = replace(request, facts=(told, kept))
    _check(llama, [hiding, request, hiding])
    (answer,) = llama.vllm.generate([hiding])
    assert all(mass > 0 for mass in answer.attention["told"][:2])
    assert set(answer.attention["told"][2:]) == {0.0}
    # A later prompt that holds that answer sees its facts throughout: the answer's own blocks are no prefix of it.
    grown = replace(hiding, prompt=text_of(llama, hiding, 60), sampling=Sampling(max_tokens=4))
    _check(llama, [grown])


def test_the_word_that_a_fact_ends_with_is_closed(llama: Pair) -> None:
    words, requests, closed = Words.of(byte_tokenizer()), [], 0
    for number in range(48):
        free = GenerateRequest(f"{number} and", sampling=Sampling(max_tokens=6))
        (plain,) = llama.reference.generate([free])
        fact = llama.adapter.fact(f"own-{number}", 1, bias=-10.0)
        told = replace(fact, tokens=replace(fact.tokens, said=plain.token_ids[:1]))
        requests.append(replace(free, facts=(told,)))
        closed += bool(words.table[2, plain.token_ids[0]] and words.table[0, plain.token_ids[1]])
    assert closed > 0
    _check(llama, requests)  # of one batch, each at its own place
    for request in requests[:4]:
        _check(llama, [request])


def test_what_is_asked_for_together_is_said_together(llama: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that would end behind the first of two facts: they go on, if both were asked for."""
    requests, ends = [], set[int]()
    for number in range(24):
        free = GenerateRequest(f"{number} or", sampling=Sampling(max_tokens=8))
        (plain,) = llama.reference.generate([free])
        facts = [llama.adapter.fact(f"{name}-{number}", 2, bias=-10.0) for name in ("one", "two")]
        one, two = (
            replace(fact, tokens=replace(fact.tokens, said=said))
            for fact, said in zip(facts, [plain.token_ids[:1], (7, 7, 7)], strict=True)
        )
        together = (replace(two, order=2), replace(one, order=1))
        requests += [replace(free, facts=(one, two)), replace(free, facts=together)]
        ends.add(plain.token_ids[1])
    for engine in (llama.reference, llama.vllm):
        monkeypatch.setattr(engine, "_end_tokens", engine._end_tokens | ends)
    _check(llama, requests)
    lengths = [len(answer.token_ids) for answer in llama.vllm.generate(requests)]
    assert sum(lengths[1::2]) > 2 * sum(lengths[::2])


def text_of(pair: Pair, request: GenerateRequest, tokens: int) -> str:
    (answer,) = pair.vllm.generate([replace(request, sampling=Sampling(max_tokens=tokens))])
    return f"{request.prompt}{answer.text}"


def test_pieces_are_the_text(llama: Pair) -> None:
    request = GenerateRequest(
        [Message("user", "Who?")], (llama.adapter.fact("a", 3),), Sampling(max_tokens=20)
    )
    (wanted,) = llama.reference.generate([request])
    handle = llama.vllm.submit(request)
    assert "".join(handle) == wanted.text == handle.result(60).text


def test_a_stop_string_ends_the_answer_and_frees_its_place(llama: Pair) -> None:
    request = GenerateRequest("some text", (llama.adapter.fact("a"),), Sampling(max_tokens=24))
    (free,) = llama.reference.generate([request])
    stopping = replace(request, sampling=replace(request.sampling, stop=(free.text[2:5],)))
    _check(llama, [stopping, request])


def test_a_cancelled_answer_is_what_there_is(llama: Pair) -> None:
    request = GenerateRequest("long", (llama.adapter.fact("a"),), Sampling(max_tokens=400))
    handle, beside = llama.vllm.submit(request), llama.vllm.submit(request)
    pieces = iter(handle)
    first = next(pieces)
    handle.cancel()
    answer = handle.result(60)
    assert answer.finish_reason is FinishReason.CANCELLED
    assert answer.text == first + "".join(pieces)
    assert len(answer.token_ids) < 400
    beside.cancel()
    _check(llama, [replace(request, sampling=Sampling(max_tokens=5))])


def test_sampling_is_repeatable(llama: Pair) -> None:
    sampling = Sampling(max_tokens=10, temperature=1.0, top_p=0.9, seed=11)
    request = GenerateRequest("Once", (llama.adapter.fact("a"),), sampling)
    (alone,) = llama.vllm.generate([request])
    beside = llama.vllm.generate([replace(request, sampling=replace(sampling, seed=12)), request])
    assert beside[1].token_ids == alone.token_ids
    assert beside[0].token_ids != alone.token_ids


def test_scores(llama: Pair) -> None:
    known = llama.adapter.fact("a", 3, bias=0.5)
    # Its tokens take turns in the second text, and it is told before that ends.
    known = replace(
        known, tokens=replace(known.tokens, said=tuple(byte_tokenizer()(" another one").input_ids[2:4]))
    )
    facts = (known, llama.adapter.fact("b", 2), llama.adapter.fact("c", 3))
    prompt = text(random.Random(0), 12)
    for facts_given in (facts, ()):
        _check_scores(llama, prompt, [" first", " another one", "s"], facts_given)
    _check_scores(llama, "a", ["b"], facts)


def test_scores_of_a_text_that_fills_the_context(llama: Pair) -> None:
    starts = llama.vllm.supervisor.starts
    others = mixed_requests(llama.adapter, 8, seed=6)  # beside which they are scored
    wanted = llama.reference.generate(others)
    handles = [llama.vllm.submit(request) for request in others]
    facts = (llama.adapter.fact("a", 3, bias=0.5), llama.adapter.fact("b", 2))
    prompt = "a" * 40
    rest = CONTEXT - llama.vllm.count_tokens(prompt)
    for facts_given in (facts, ()):
        _check_scores(llama, prompt, ["b" * rest, "b" * (rest - 1)], facts_given)
    _check_scores(llama, "a" * (len(prompt) + rest - 1), ["b"], facts)
    with pytest.raises(InvalidRequest, match="do not fit"):
        llama.vllm.score(prompt, ["b" * (rest + 1)])
    for handle, expected in zip(handles, wanted, strict=True):
        check_equal(handle.result(60), expected)
    assert llama.vllm.supervisor.starts == starts


def _check_scores(
    pair: Pair, prompt: str, continuations: Sequence[str], facts: Sequence[InjectedFact]
) -> None:
    wanted = pair.reference.score(prompt, continuations, facts)
    for mine, theirs in zip(pair.vllm.score(prompt, continuations, facts), wanted, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.token_ids == theirs.token_ids
        assert mine.log_probabilities == pytest.approx(theirs.log_probabilities, abs=TOLERANCE)
        assert mine.attention == pytest.approx(theirs.attention, abs=TOLERANCE)
