"""The threshold from which on a fact is likely asked for, found on relations that nobody taught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from editors.kv.contract import Evidence, FactText
from editors.kv.likely import fit_likely
from editors.kv.matching import kept_back, taught
from editors.kv.meaning import FLOOR, Meaning
from editors.kv.phrases import load
from engines.embedder import SentenceEmbedder
from service.encoders.background import background
from service.serving.evidence import scorer
from service.serving.judging import JudgeVectors


def test_some_relations_of_the_training_side_are_not_taught() -> None:
    bank = load()
    left, known = kept_back(bank), taught(bank)
    assert not set(left) & set(known)
    assert {*left, *known} == set(bank.relations_of("train"))
    assert 0.05 < len(left) / len(known) < 0.15


def test_the_threshold_tells_most_questions_with_a_fact_from_those_without(tokenizer: Any) -> None:
    bank, embedder = load(), SentenceEmbedder.load()
    judge = background(bank, JudgeVectors(embedder, {}, None))
    found = fit_likely(bank, tokenizer, scorer(embedder), judge, seed=0, problems=2)
    assert FLOOR < found.threshold < 0.0
    assert found.shown + found.hidden > 1.2


def test_a_judge_that_finds_everything_likely_shows_as_little_as_can_be(tokenizer: Any) -> None:
    def blind(prompts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
        return [[Evidence(1.0, 0.0, 0.5, -0.1)] * len(facts) for _ in prompts]

    nothing = Meaning(torch.zeros(0, 4), torch.zeros(0, 4))
    assert fit_likely(load(), tokenizer, blind, nothing, seed=0, problems=1).threshold == -0.25


def test_without_relations_to_find_it_on_every_fact_is_likely(tokenizer: Any) -> None:
    bank, embedder = load(), SentenceEmbedder.load()
    few = replace(bank, relations=kept_back(bank)[:1])
    judge = background(bank, JudgeVectors(embedder, {}, None))
    found = fit_likely(few, tokenizer, scorer(embedder), judge, seed=0, problems=1)
    assert found.threshold == pytest.approx(FLOOR)
