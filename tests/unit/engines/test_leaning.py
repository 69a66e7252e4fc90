"""What an answer leans to where facts were said."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from engines.contract import FinishReason, GenerateRequest, InjectedFact, Sampling
from engines.leaning import TO_END, Leaning, leant
from engines.saying import Saying
from engines.transformers_engine import TransformersEngine
from engines.words import Words
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

_END = 5


def _leans(answer: list[int], order: list[int], is_turn: bool = True) -> dict[int, float]:
    """Which of ten tokens, after an answer about three facts that say a token each."""
    words = Words(torch.zeros(4, 10, dtype=torch.bool))
    words.table[2, 1] = words.table[0, 8] = (
        True  # the first fact ends with a letter, and "8" goes on with words
    )
    words.table[3, 9] = True  # a full stop
    saying = Saying([(1,), (2,), (3,)], order)
    leaning = Leaning(words, saying, [_END, 99], is_turn=is_turn)  # an end that the table does not know
    for token in answer:
        saying.add(token)
        leaning.note(token)
    bias = leaning.bias
    return {} if bias is None else {at: value for at, value in enumerate(bias.tolist()) if value}


_NEVER = float("-inf")


@pytest.mark.parametrize(
    ("answer", "order", "leans"),
    [
        ([], [1, 2, 0], {}),
        ([2], [1, 2, 0], {_END: _NEVER}),
        ([2, 9], [1, 2, 0], {_END: _NEVER}),
        ([2, 9, 1], [1, 2, 0], {8: _NEVER}),
        ([1], [1, 2, 0], {_END: _NEVER, 8: _NEVER}),
        ([1], [0, 0, 0], {8: _NEVER}),
        ([2], [0, 0, 0], {}),
        ([3], [1, 2, 0], {}),
    ],
)
def test_an_answer_does_not_end_between_facts_that_were_asked_for_together(
    answer: list[int], order: list[int], leans: dict[int, float]
) -> None:
    assert _leans(answer, order) == _leans(answer, order, is_turn=False) == leans


@pytest.mark.parametrize(
    ("answer", "order", "leans"),
    [
        ([9], [0, 0, 0], False),  # nothing was said
        ([2], [0, 0, 0], False),
        ([2, 9], [0, 0, 0], True),
        ([2, 7], [0, 0, 0], False),  # the sentence goes on
        ([2, 7, 9], [0, 0, 0], False),
        ([2, 9, 7], [0, 0, 0], False),  # it did not want to end
        ([2, 9, 7, 3, 9], [0, 0, 0], True),
        ([2, 9, 1, 9], [1, 2, 0], True),
    ],
)
def test_a_turn_is_near_its_end_when_all_is_said_and_the_sentence_closed(
    answer: list[int], order: list[int], leans: bool
) -> None:
    assert _leans(answer, order).get(_END) == (TO_END if leans else None)
    assert _leans(answer, order, is_turn=False).get(_END) is None


def test_a_model_may_know_more_tokens_than_its_tokenizer_or_fewer() -> None:
    bias = torch.tensor([0.0, 2.0, 3.0])
    assert leant(torch.zeros(2, 4), [(1, bias)]).tolist() == [[0.0] * 4, [0.0, 2.0, 3.0, 0.0]]
    assert leant(torch.zeros(1, 2), [(0, bias)]).tolist() == [[0.0, 2.0]]
    logits = torch.zeros(1, 2)
    assert leant(logits, []) is logits


@pytest.mark.parametrize("order", [(0, 0), (1, 2)])
def test_no_answer_ends_before_all_is_said(order: tuple[int, int]) -> None:
    """A model that would end its answer behind the first of two facts goes on, if both were asked for."""
    model: Any = tiny_model("llama")
    adapter = RandomAdapter.of(model, (0, 1))
    engine = TransformersEngine(model, byte_tokenizer(), adapter)
    try:
        plain = GenerateRequest("Once upon a time", (adapter.fact("a"), adapter.fact("b")), Sampling(8))
        (answer,) = engine.generate([plain])
        said = [answer.token_ids[:1], (255, 254)]
        facts = tuple(
            InjectedFact(dataclasses.replace(fact.tokens, said=tokens), fact.bias, number)
            for fact, tokens, number in zip(plain.facts, said, order, strict=True)
        )
        request = dataclasses.replace(plain, facts=facts)
        (free,) = engine.generate([request])
        assert free.token_ids[0] == answer.token_ids[0] != free.token_ids[1]
        engine._end_tokens = frozenset(free.token_ids[1:2])
        (found,) = engine.generate([request])
        if order == (0, 0):
            assert (found.token_ids, found.finish_reason) == (free.token_ids[:2], FinishReason.STOP)
        else:
            assert (len(found.token_ids), found.finish_reason) == (8, FinishReason.LENGTH)
            assert free.token_ids[1] not in found.token_ids
    finally:
        engine.close()
