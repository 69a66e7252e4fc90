"""Nobody's facts reach anybody else's answer, and the tests that say so fail when a protection is taken out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from engines.contract import GenerateRequest, Generation, Sampling
from engines.errors import EngineLost
from tests.vllm.models import PYTHON, Pair, check_equal, text

_TENANTS = 8


@dataclass(frozen=True)
class _Question:
    tenant: int
    request: GenerateRequest
    alone: Generation  # as a tenant who has an engine to itself would be answered


def _questions(pair: Pair, prompts: int) -> list[_Question]:
    """Every tenant asks the same, each with facts of its own that draw much attention, and of different sizes."""
    rng, asked = random.Random(7), []
    for number in range(prompts):
        prompt = text(rng, 20 + number)  # longer than a block of the prefix cache
        for tenant in range(_TENANTS):
            facts = tuple(
                pair.adapter.fact(f"{tenant * 101 + at}", 1 + (tenant + at) % 4, bias=6.0)
                for at in range(1 + tenant % 4)
            )
            asked.append((tenant, GenerateRequest(prompt, facts, Sampling(max_tokens=6))))
    alone = pair.reference.generate([request for _, request in asked])
    return [
        _Question(tenant, request, answer) for (tenant, request), answer in zip(asked, alone, strict=True)
    ]


def _check_isolated(pair: Pair, questions: list[_Question], rounds: int) -> None:
    for turn in range(rounds):
        order = random.Random(turn).sample(questions, len(questions))
        answers = pair.vllm.generate([question.request for question in order])
        for question, answer in zip(order, answers, strict=True):
            check_equal(answer, question.alone)


def test_tenants_with_the_same_prompts_do_not_meet(llama: Pair) -> None:
    questions = _questions(llama, 5)
    # The facts matter: tenants who have different ones are answered differently.
    told = {q.tenant: q.alone.token_ids for q in questions if q.request.prompt == questions[0].request.prompt}
    assert len(set(told.values())) == _TENANTS
    _check_isolated(llama, questions, 3)


@pytest.mark.parametrize("change", ["unsalted", "unmasked"])
def test_without_a_protection_the_same_test_fails(change: str, begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", change))
    with pytest.raises(AssertionError):
        _check_isolated(pair, _questions(pair, 3), 3)


def test_without_validation_an_unknown_row_kills_the_engine(begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", "unchecked"))
    handle = pair.vllm.submit(GenerateRequest("beside", sampling=Sampling(max_tokens=400)))
    next(iter(handle))
    request = {"prompt": [1, 2, 3], "max_tokens": 2}
    pair.vllm.supervisor.send({"type": "run", "name": "x", "request": request, "facts": [["nobody's", 0.0]]})
    with pytest.raises(EngineLost):
        handle.result(120)
