"""Fitting a calibration: what is asked, what retrieval finds, and when a value leaves its neutral setting."""

from __future__ import annotations

import random

import pytest
import torch

from editors.kv.contract import FactText
from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.phrases import load
from editors.kv.world import World
from service.encoders.calibration import (
    CalibrationSettings,
    Pool,
    _pool_of_facts,
    _problem,
    _question,
    _ranked,
    calibrate,
)
from service.encoders.stand import Stand
from service.serving.evidence import scorer
from tests.serving import WORDS
from tests.tiny import bank_model, bank_tokenizer

FACTS = (
    FactText("", "Anna Keller", "employer", "Nordlicht Werft"),
    FactText("", "Anna Keller", "mother tongue", "Greek"),
    FactText("", "Tom Berg", "employer", "Norwind Shipping"),
    FactText("", "Falcon 7", "launch date", "14 March 2031"),
)


@pytest.fixture(scope="module")
def stand() -> Stand:
    bank, tokenizer = load(), bank_tokenizer()
    return Stand("tiny", bank_model(), tokenizer, bank, World(bank, tokenizer), WORDS, scorer(WORDS))


@pytest.fixture
def encoder(stand: Stand) -> KVEncoder:
    torch.manual_seed(1)
    shape = EncoderConfig(hidden=40, heads=4, kv_heads=2, head_dim=16, layers=(1, 3), late_layer=3)
    return KVEncoder(shape).eval().requires_grad_(False)


def test_asked_facts_come_with_their_rivals(stand: Stand) -> None:
    pool = _pool_of_facts(stand, FACTS, random.Random(0), 12)
    assert set(pool.facts) == set(FACTS)
    for question in pool.questions:
        assert pool.facts[question.asked].subject in question.prompt


def test_a_relation_that_the_bank_knows_is_asked_for_in_unseen_words(stand: Stand) -> None:
    known = stand.bank.relations[0]
    prompts = {
        _question(stand, FactText("", "Tom Berg", known.name.upper(), "x"), 0, random.Random(seed)).searched
        for seed in range(40)
    }
    texts = [phrasing.filled("Tom Berg", known.name, "x") for phrasing in known.held_out_phrasings]
    assert prompts & {text for pair in texts for text in pair if text}


def test_candidates_are_what_retrieval_finds_with_the_fact_and_without(stand: Stand) -> None:
    pool = Pool(FACTS, (_question(stand, FACTS[0], 0, random.Random(1)),))
    ranks = _ranked(stand, pool)
    assert set(ranks[0]) == {0, 1}  # the others' subjects are not named
    problem = _problem(pool, ranks, 1)
    with_fact, without = problem.questions
    assert with_fact.candidates == (ranks[0][0],)
    assert without.candidates == (1,)
    assert without.absent


def test_values_stay_neutral_where_nothing_is_gained(stand: Stand, encoder: KVEncoder) -> None:
    shares: list[float] = []
    settings = CalibrationSettings(questions=6, scales=(2.0,), offsets=(-50.0,), top_ks=(1,))
    found = calibrate(stand, encoder, FACTS, settings, "people", shares.append)
    # An untrained encoder says no fact, whatever the values.
    assert (found.prior_scale, found.top_k, found.namespace) == (1.0, 8, "people")
    assert found.figures["questions"] == 6
    assert found.figures["right"] == found.figures["right_before"] == 0.0
    assert 0 <= found.grounded_threshold <= 1
    assert found.digest == encoder.digest
    assert shares[-1] <= 1.0
    assert shares == sorted(shares)


def test_silence_is_bought_where_it_is_worth_it(stand: Stand, encoder: KVEncoder) -> None:
    """Random facts change what the model says; pushed far away they cannot."""
    with torch.no_grad():
        for bias in encoder.bias.values():
            bias.fill_(30.0)  # every head looks at facts only
        for maps in (encoder.value, encoder.query_map):
            for linear in maps.values():
                linear.weight.mul_(20)
    settings = CalibrationSettings(questions=8, scales=(), offsets=(-200.0,), top_ks=())
    found = calibrate(stand, encoder, FACTS, settings)
    assert found.prior_offset == -200.0
    assert found.figures["absent_unchanged"] == 1.0 > found.figures["absent_unchanged_before"]
