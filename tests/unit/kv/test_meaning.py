"""Judging relations against a background."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from editors.kv.meaning import FLOOR, Meaning


def _unit(*rows: list[float]) -> torch.Tensor:
    return F.normalize(torch.tensor(rows), dim=-1)


def _judge() -> Meaning:
    torch.manual_seed(0)
    axes = torch.eye(4)
    texts = F.normalize(axes.repeat(8, 1) + 0.05 * torch.randn(32, 4), dim=-1)
    return Meaning(axes[:3], texts)


def test_a_text_that_asks_for_the_candidate_is_told_from_one_that_asks_for_another_relation() -> None:
    asked = _unit([0.0, 0.0, 0.1, 1.0], [1.0, 0.1, 0.0, 0.0])
    candidate = _unit([0.0, 0.0, 0.0, 1.0])
    hit, miss = _judge()(asked, candidate)[:, 0].tolist()
    assert hit > math.log(0.5)
    assert miss < math.log(0.1)


def test_a_background_relation_that_says_the_same_is_no_rival() -> None:
    asked = _unit([1.0, 0.0, 0.0, 0.0])
    synonym = _unit([1.0, 0.1, 0.0, 0.0])
    assert float(_judge()(asked, synonym)) > math.log(0.8)


def test_a_rival_that_is_not_in_the_background_counts_against_the_candidate() -> None:
    asked = _unit([0.0, 0.0, 0.6, 1.0])
    candidate, rival = _unit([0.0, 0.0, 0.9, 0.5]), _unit([0.0, 0.0, 0.0, 1.0])
    background = Meaning(_judge().relations[:2], _judge().texts)
    alone = float(background(asked, candidate))
    assert float(background(asked, candidate, rival)) < alone - 0.5
    same = _unit([0.0, 0.0, 1.0, 0.5])
    assert float(background(asked, candidate, same)) == alone
    assert float(background(asked, candidate, rival[:0])) == alone


def test_log_probabilities_stay_above_the_floor() -> None:
    judge = _judge()
    for parameter in (judge.relations, judge.texts):
        assert not parameter.requires_grad
    fits = judge(_unit([1.0, 0.0, 0.0, 0.0]), _unit([-1.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]))
    assert float(fits.min()) >= FLOOR
    assert float(fits.max()) <= 0.0


def test_a_candidate_near_what_like_texts_asked_for_fits_better() -> None:
    """Of two relations that are as near to a text, the one that texts like it ask for in the bank. What the model's
    states say of them does not count there."""
    torch.manual_seed(0)
    halves = F.normalize(torch.cat([torch.eye(4), torch.randn(4, 2)], dim=-1), dim=-1)
    texts = F.normalize(halves.repeat(8, 1) + 0.05 * torch.randn(32, 6), dim=-1)
    text = _unit([0.3, 0.3, 0.0, 0.6, 0.0, 0.0])
    wanted, other = _unit([1.0, 0.1, 0.0, 0.0, 0.0, 0.0]), _unit([0.1, 1.0, 0.0, 0.0, 0.0, 0.0])
    both = torch.cat([wanted, other])
    ways = _unit([0.1, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0])  # texts that end so ask for the first relation
    plain, knowing = Meaning(halves, texts), Meaning(halves, texts, asked=ways)
    (before, rival_before), (after, rival_after) = plain(text, both)[0], knowing(text, both)[0]
    assert after - rival_after > before - rival_before + 1.0
    assert after > before
    assert knowing(text, both).max() <= 0.0
    assert knowing(text, both).min() >= FLOOR


def test_what_like_texts_asked_for_counts_less_where_a_rival_is_as_near_to_it() -> None:
    torch.manual_seed(0)
    axes = torch.eye(4)
    texts = F.normalize(axes.repeat(8, 1) + 0.05 * torch.randn(32, 4), dim=-1)
    judge = Meaning(axes[:3], texts, asked=_unit([0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]))
    plain = Meaning(axes[:3], texts)
    text, candidate = _unit([0.4, 0.0, 0.0, 1.0]), _unit([1.0, 0.0, 1.0, 0.3])
    nearer, same = _unit([1.0, 0.0, -0.3, 0.0]), _unit([1.0, 0.1, 0.9, 0.3])

    def gained(rival: torch.Tensor) -> float:
        return float(judge(text, candidate, rival) - plain(text, candidate, rival))

    assert gained(nearer) < gained(same) - 0.5  # other words for the candidate are no rival
    assert gained(same) == pytest.approx(gained(candidate[:0]), abs=1e-5)


def test_without_a_background_nothing_is_known() -> None:
    assert (
        Meaning(torch.zeros(0, 0), torch.zeros(0, 0))(torch.ones(2, 3), torch.ones(4, 3)).tolist()
        == [[0.0] * 4] * 2
    )


def test_thousands_are_judged_at_once_as_they_are_one_by_one() -> None:
    """In the product of texts, relations and background this would take 108 GB."""
    torch.manual_seed(1)
    vectors = F.normalize(torch.randn(3000, 16), dim=-1)
    judge = Meaning(vectors.flip(0), vectors[:64])
    together = judge(vectors, vectors)
    for place in (0, 1500, 2999):
        alone = judge(vectors[place : place + 1], vectors[:5])
        torch.testing.assert_close(together[place : place + 1, :5], alone, atol=1e-4, rtol=1e-4)
