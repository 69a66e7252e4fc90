"""What an answer cannot go on with."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from engines.barred import Barred
from engines.contract import FinishReason, GenerateRequest, InjectedFact, Sampling
from engines.saying import Saying
from engines.transformers_engine import TransformersEngine
from engines.words import Words
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

_END = 5


def _barred(answer: list[int], order: list[int]) -> list[int]:
    """Of ten tokens, of which none is in a word, after an answer about three facts that say a token each."""
    words = Words(torch.zeros(3, 10, dtype=torch.bool))
    words.table[2, 1] = words.table[0, 8] = (
        True  # the first fact ends with a letter, and "8" goes on with words
    )
    saying = Saying([(1,), (2,), (3,)], order)
    barred = Barred(words, saying, [_END, 99])  # an end that the table does not know
    for token in answer:
        saying.add(token)
        barred.note(token)
    return [] if barred.tokens is None else barred.tokens.nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("answer", "order", "barred"),
    [
        ([], [1, 2, 0], []),
        ([2], [1, 2, 0], [_END]),
        ([2, 9], [1, 2, 0], [_END]),
        ([2, 9, 1], [1, 2, 0], [8]),
        ([1], [1, 2, 0], [_END, 8]),
        ([1], [0, 0, 0], [8]),
        ([2], [0, 0, 0], []),
        ([3], [1, 2, 0], []),
    ],
)
def test_an_answer_does_not_end_between_facts_that_were_asked_for_together(
    answer: list[int], order: list[int], barred: list[int]
) -> None:
    assert _barred(answer, order) == barred


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
