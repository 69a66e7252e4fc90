"""Fitting a calibration: what is asked, what retrieval finds, and when a value leaves its neutral setting."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

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
from service.encoders.own_words import divided
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
    pool = _pool_of_facts(stand, FACTS, random.Random(0), 12, {})
    assert set(pool.facts) == set(FACTS)
    for question in pool.questions:
        assert pool.facts[question.asked].subject in question.prompt


def test_a_relation_that_the_bank_knows_is_asked_for_in_unseen_words(stand: Stand) -> None:
    known = stand.bank.relations[0]
    prompts = {
        _question(
            stand, FactText("", "Tom Berg", known.name.upper(), "x"), 0, random.Random(seed), {}
        ).searched
        for seed in range(40)
    }
    texts = [phrasing.filled("Tom Berg", known.name, "x") for phrasing in known.held_out_phrasings]
    assert prompts & {text for pair in texts for text in pair if text}


EXAMPLES = {
    "Launch_Date": ["{s} left the ground on", "When did {s} take off?", "The rocket {s} first flew on"],
    "mother tongue": ["{s} grew up speaking"],
}


def test_where_an_application_says_how_it_is_asked_every_second_example_asks(stand: Stand) -> None:
    described, asked = divided(EXAMPLES)
    assert described == {
        "launch date": ("it left the ground on", "The rocket it first flew on"),
        "mother tongue": ("it grew up speaking",),
    }
    assert set(asked) == {"launch date"}  # who gives one example has none to ask with
    prompts = {_question(stand, FACTS[3], 3, random.Random(seed), asked).prompt for seed in range(20)}
    assert "Question: When did Falcon 7 take off?\nAnswer:" in prompts
    assert all("When did Falcon 7 take off?" in prompt for prompt in prompts)


def test_what_describes_a_relation_is_known_to_the_judge(stand: Stand, encoder: KVEncoder) -> None:
    """The texts that a calibration's judge is given beside the questions."""
    heard: list[str] = []

    class Listening:
        dimension, digest = WORDS.dimension, WORDS.digest

        def embed(self, texts: list[str]) -> Any:
            heard.extend(texts)
            return WORDS.embed(texts)

    settings = CalibrationSettings(questions=8, scales=(), offsets=(), top_ks=())
    listening = dataclasses.replace(stand, embedder=Listening(), score=scorer(Listening()))
    calibrate(listening, encoder, FACTS, settings, "people", examples=EXAMPLES)
    assert "it left the ground on" in heard
    heard.clear()
    calibrate(listening, encoder, FACTS, settings, "people")
    assert "it left the ground on" not in heard


def test_candidates_are_what_retrieval_finds_with_the_fact_and_without(stand: Stand) -> None:
    pool = Pool(FACTS, (_question(stand, FACTS[0], 0, random.Random(1), {}),))
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
