"""The sweep over layers, on a tiny random model: what it searches in, and that it finds what is there to find."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from editors.kv.cca import canonical_directions
from editors.kv.phrases import is_held_out, load
from editors.kv.sweep import LayerScore, SweepSettings, _of_one_relation, _of_one_subject, suggest, sweep
from tests.tiny import bank_model, bank_tokenizer

BANK = load()


def score(layer: int, same_relation: float, same_subject: float) -> LayerScore:
    return LayerScore(layer, 0.5, same_relation, same_subject, 0.0)


def test_every_layer_is_measured_and_progress_reaches_the_end() -> None:
    shares: list[float] = []
    settings = SweepSettings(pairs=60, groups=1, facts=6, batch=30)
    found = sweep(bank_model(), bank_tokenizer(), BANK, settings, shares.append)
    assert [item.layer for item in found.layers] == [0, 1, 2, 3]
    assert (found.same_relation_facts, found.same_subject_facts) == (6, 6)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # What enters the first layer is the last token's embedding: it says nothing of who is asked about.
    assert found.layers[0].same_relation <= 0.5
    assert set(found.suggested) <= {0, 1, 2, 3}
    again = sweep(bank_model(), bank_tokenizer(), BANK, settings)
    assert again == found


def test_groups_are_held_out_and_confusable() -> None:
    rng = random.Random(3)
    one = _of_one_relation(BANK, rng, 20, held_out=True)
    assert len({fact.relation for fact in one.facts}) == 1
    assert len({fact.subject for fact in one.facts}) == 20
    assert all(is_held_out(fact.subject) and is_held_out(fact.object) for fact in one.facts)
    other = _of_one_subject(BANK, rng, 20)
    assert len({fact.subject for fact in other.facts}) == 1
    assert len({fact.relation for fact in other.facts}) == 20
    assert all(fact.subject in question for fact, question in zip(one.facts, one.questions, strict=True))
    trained = _of_one_relation(BANK, rng, 20, held_out=False)
    assert not any(is_held_out(fact.subject) for fact in trained.facts)


def test_suggested_are_the_best_third_and_none_that_is_far_behind() -> None:
    rates = [0.0, 0.1, 0.4, 0.9, 0.8, 0.7, 0.2, 0.1, 0.0]
    assert suggest([score(i, rate, 1.0) for i, rate in enumerate(rates)]) == (3, 4, 5)
    assert suggest([score(0, 0.9, 0.1), score(1, 0.5, 0.5), score(2, 0.1, 0.9)]) == (1,)
    assert suggest([score(i, rate, 1.0) for i, rate in enumerate([0.1, 0.9, 0.2, 0.3, 0.1, 0.1])]) == (1,)


def test_canonical_directions_find_what_two_sides_share() -> None:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(400, 2, generator=generator)
    sides: list[Any] = []
    for _ in range(2):
        mixed = torch.cat([shared, torch.randn(400, 4, generator=generator)], 1)
        sides.append(mixed @ torch.randn(6, 6, generator=generator) + 3)
    mean_l, mean_r, to_l, to_r, rho = canonical_directions(*sides, 6, 1e-4)
    assert rho[:2].min() > 0.95
    assert rho[2:].max() < 0.4
    left, right = (sides[0] - mean_l) @ to_l[:, :2], (sides[1] - mean_r) @ to_r[:, :2]
    assert torch.corrcoef(torch.stack([left[:, 0], right[:, 0]]))[0, 1] == pytest.approx(1, abs=0.05)
