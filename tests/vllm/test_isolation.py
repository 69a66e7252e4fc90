"""Nobody's facts reach anybody else's answer, and the tests that say so fail when a protection is taken out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from engines.contract import GenerateRequest, Generation, InjectedFact, Sampling
from engines.errors import EngineLost
from tests.unit.engines.tiny_models import RandomAdapter
from tests.vllm.models import PYTHON, Pair, check_equal, text

_TENANTS = 8
_CANARY_TOKENS = 4
_AT_ONCE = 128
_BLOCK = 32  # of the prefix cache
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?")


@dataclass(frozen=True)
class _Question:
    tenant: int
    request: GenerateRequest
    alone: Generation  # as a tenant who has an engine to itself would be answered
    goes_on: bool  # from what somebody was answered before


def _facts(adapter: RandomAdapter, tenant: int) -> tuple[InjectedFact, ...]:
    """Of a tenant's own, and different numbers of them, of different sizes; they draw much attention."""
    return tuple(
        adapter.fact(f"{tenant * 101 + at}", 1 + (tenant + at) % 4, bias=6.0) for at in range(1 + tenant % 4)
    )


def _questions(pair: Pair, prompts: int) -> list[_Question]:
    """Every tenant asks the same; then every tenant goes on from what somebody was answered.

    A prompt and the first token of its answer fill a block of the prefix cache: that block saw facts, and is found
    by whoever goes on from there, unless it is kept from them.
    """
    rng, first = random.Random(7), []
    for _ in range(prompts):
        prompt = text(rng, 60)[: 2 * _BLOCK - 1]
        first += _asked_by_all(pair, prompt, goes_on=False)
    grown = {
        question.request.prompt + question.alone.text[:1]
        for question in first
        if question.alone.text[:1] in _LETTERS
    }
    assert grown
    for prompt in sorted(grown):
        first += _asked_by_all(pair, f"{prompt} and then", goes_on=True)
    return first


def _asked_by_all(pair: Pair, prompt: str, *, goes_on: bool) -> list[_Question]:
    requests = [
        GenerateRequest(
            prompt, _facts(pair.adapter, tenant), Sampling(max_tokens=6), scope=f"tenant {tenant}"
        )
        for tenant in range(_TENANTS)
    ]
    alone = pair.reference.generate(requests)
    return [
        _Question(tenant, request, answer, goes_on)
        for tenant, (request, answer) in enumerate(zip(requests, alone, strict=True))
    ]


def _check_isolated(pair: Pair, questions: Sequence[_Question], rounds: int) -> int:
    """Tokens, probabilities and attention as alone, in whatever company; how many answers were compared."""
    canaries = _canaries(questions)
    starts = pair.vllm.supervisor.starts
    for turn in range(rounds):
        order = random.Random(turn).sample(questions, len(questions))
        order.sort(key=lambda question: question.goes_on)
        _ask_for_what_is_not_there(pair, turn)
        answers: list[Generation] = []
        for goes_on in (False, True):
            asked = [question.request for question in order if question.goes_on == goes_on]
            for start in range(0, len(asked), _AT_ONCE):
                answers += pair.vllm.generate(asked[start : start + _AT_ONCE])
        for question, answer in zip(order, answers, strict=True):
            told = tuple(answer.token_ids[:_CANARY_TOKENS])
            owners = canaries.get((question.request.prompt, told), {question.tenant})
            assert question.tenant in owners, f"{question.tenant} was told what {owners} keep"
            check_equal(answer, question.alone)
    assert pair.vllm.supervisor.starts == starts
    return rounds * len(questions)


def _canaries(questions: Sequence[_Question]) -> dict[tuple[Any, tuple[int, ...]], set[int]]:
    """What facts make of a prompt -> the tenants who have such facts."""
    found: dict[tuple[Any, tuple[int, ...]], set[int]] = {}
    for question in questions:
        told = tuple(question.alone.token_ids[:_CANARY_TOKENS])
        found.setdefault((question.request.prompt, told), set()).add(question.tenant)
    return found


def _ask_for_what_is_not_there(pair: Pair, turn: int) -> None:
    """A row that nobody has, and one that was freed, among everybody's requests."""
    request = {"prompt": [1, 2, 3], "max_tokens": 2}
    for at, row in enumerate(("nobody's", "freed")):
        message = {"type": "run", "name": f"{turn}-{at}", "request": request, "facts": [[row, 0.0, 0]]}
        pair.vllm.supervisor.send({"type": "drop", "row": row})
        pair.vllm.supervisor.send(message)


def _check_that_facts_matter(questions: Sequence[_Question]) -> None:
    """Tenants who have different ones are answered differently."""
    told = {q.tenant: q.alone.token_ids for q in questions if q.request.prompt == questions[0].request.prompt}
    assert len(set(told.values())) == _TENANTS


def test_tenants_with_the_same_prompts_do_not_meet(llama: Pair) -> None:
    questions = _questions(llama, 3)
    _check_that_facts_matter(questions)
    _check_isolated(llama, questions, 3)


@pytest.mark.slow
def test_eight_tenants_with_five_hundred_generations_each(llama: Pair) -> None:
    questions = _questions(llama, 8)
    _check_that_facts_matter(questions)
    assert len(questions) > 8 * _TENANTS  # some go on from an answer
    rounds = -(-_TENANTS * 500 // len(questions))
    assert _check_isolated(llama, questions, rounds) >= _TENANTS * 500


@pytest.mark.parametrize("change", ["unsalted", "unmasked", "unchecked"])
def test_without_a_protection_the_same_test_fails(change: str, begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", change))
    with pytest.raises((AssertionError, EngineLost)):
        _check_isolated(pair, _questions(pair, 3), 3)


def test_a_freed_place_that_another_tenant_got_is_not_read(begin: Callable[..., Pair]) -> None:
    """The table holds one tenant's facts at a time: each takes the places of the one before."""
    pair = begin(fact_tokens=16)
    questions = [question for question in _questions(pair, 1) if question.tenant in (0, 1, 2)]
    for _ in range(2):
        for question in questions:
            (answer,) = pair.vllm.generate([question.request])
            check_equal(answer, question.alone)


def test_without_validation_an_unknown_row_kills_the_engine(begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", "unchecked"))
    handle = pair.vllm.submit(GenerateRequest("beside", sampling=Sampling(max_tokens=400)))
    next(iter(handle))
    request = {"prompt": [1, 2, 3], "max_tokens": 2}
    pair.vllm.supervisor.send(
        {"type": "run", "name": "x", "request": request, "facts": [["nobody's", 0.0, 0]]}
    )
    with pytest.raises(EngineLost):
        handle.result(120)
