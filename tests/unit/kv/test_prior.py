"""The prior: which candidates are seen at all, and what is relative to the best of them."""

from __future__ import annotations

import pytest
import torch

from editors.kv.contract import Evidence
from editors.kv.meaning import FLOOR
from editors.kv.prior import MIN_SUBJECT_COVER, Prior


@pytest.fixture
def prior() -> Prior:
    """As served: a fact is likely from -6 on."""
    made = Prior().eval()
    made.likely.fill_(-6.0)
    return made


def test_a_fact_whose_subject_is_not_named_is_not_seen(prior: Prior) -> None:
    named, unnamed = Evidence(1.0, 0.5, 0.8), Evidence(MIN_SUBJECT_COVER - 0.01, 1.0, 0.9)
    biases = prior.biases([named, unnamed])
    assert biases[0] is not None
    assert biases[1] is None


def test_the_relation_part_is_relative_so_a_lone_candidate_is_not_punished_for_its_phrasing(
    prior: Prior,
) -> None:
    close, far = prior.biases([Evidence(1.0, 0.0, 0.8), Evidence(1.0, 0.0, 0.6)])
    (alone,) = prior.biases([Evidence(1.0, 0.0, 0.6)])
    assert close is not None
    assert far is not None
    assert close > far + 1.3
    assert alone == pytest.approx(close)


def test_meaning_decides_among_rivals_and_whether_a_fact_is_seen(prior: Prior) -> None:
    meant, other = prior.biases([Evidence(1.0, 0.0, 0.7, -3.0), Evidence(1.0, 0.0, 0.7, -5.0)])
    assert meant is not None
    assert other is not None
    assert meant == pytest.approx(other + 4.0)
    assert prior.biases([Evidence(1.0, 0.0, 0.7, -6.1)]) == [None]


def test_a_rival_that_fits_far_better_hides_the_others(prior: Prior) -> None:
    meant, other = prior.biases([Evidence(1.0, 0.0, 0.7, -0.5), Evidence(1.0, 0.0, 0.7, -5.5)])
    assert meant is not None
    assert other is None


def test_an_offset_lets_more_be_seen_and_a_scale_makes_differences_larger(prior: Prior) -> None:
    facts = [Evidence(1.0, 0.0, 0.7, -6.5), Evidence(1.0, 0.0, 0.7, -7.0)]
    assert prior.biases(facts) == [None, None]
    close, far = prior.biases(facts, scale=2.0, offset=2.0)
    assert close is not None
    assert far is not None
    assert close == pytest.approx(far + 2.0)


def test_a_rival_whose_subject_is_not_named_sets_no_standard(prior: Prior) -> None:
    with_rival = prior.biases([Evidence(1.0, 0.2, 0.7), Evidence(0.7, 1.0, 0.95)])[0]
    alone = prior.biases([Evidence(1.0, 0.2, 0.7)])[0]
    assert with_rival == pytest.approx(alone)


def test_facts_that_the_caller_has_chosen_are_pushed_away_rather_than_hidden(prior: Prior) -> None:
    likely, unlikely = prior.biases(
        [Evidence(1.0, 0.0, 0.7, -2.0), Evidence(1.0, 0.0, 0.7, -9.0)], wanted=True
    )
    assert likely is not None
    assert unlikely is not None
    assert unlikely < likely - 10


def test_in_training_every_candidate_is_seen(prior: Prior) -> None:
    figures = [torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[0.5]]), torch.tensor([[FLOOR]])]
    visible = torch.tensor([[True]])
    assert torch.isinf(prior(*figures, visible)).all()
    prior.train()
    assert torch.isfinite(prior(*figures, visible)).all()


def test_nothing_in_nothing_out(prior: Prior) -> None:
    assert prior.biases([]) == []
