"""The prior: the subject gate, and what is relative to the best candidate."""

from __future__ import annotations

import pytest

from editors.kv.contract import Evidence
from editors.kv.prior import MIN_SUBJECT_COVER, Prior


def test_a_fact_whose_subject_is_not_named_is_not_injected() -> None:
    named, unnamed = Evidence(1.0, 0.5, 0.8), Evidence(MIN_SUBJECT_COVER - 0.01, 1.0, 0.9)
    biases = Prior().biases([named, unnamed])
    assert biases[0] is not None
    assert biases[1] is None


def test_a_half_named_subject_is_pushed_away() -> None:
    whole, half = Prior().biases([Evidence(1.0, 0.5, 0.8), Evidence(0.7, 0.5, 0.8)])
    assert whole is not None
    assert half is not None
    assert half < whole - 4


def test_the_relation_part_is_relative_so_a_lone_candidate_is_not_punished_for_its_phrasing() -> None:
    prior = Prior()
    close, far = prior.biases([Evidence(1.0, 0.0, 0.8), Evidence(1.0, 0.0, 0.6)])
    (alone,) = prior.biases([Evidence(1.0, 0.0, 0.6)])
    assert close is not None
    assert far is not None
    assert alone is not None
    assert close > far + 1.5
    assert alone > far + 1.3


def test_meaning_counts_against_rivals_and_by_itself() -> None:
    prior = Prior()
    meant, other = prior.biases([Evidence(1.0, 0.0, 0.7, -0.5), Evidence(1.0, 0.0, 0.7, -6.0)])
    (alone,) = prior.biases([Evidence(1.0, 0.0, 0.7, -6.0)])
    assert meant is not None
    assert other is not None
    assert alone is not None
    assert meant > alone > other


def test_a_rival_whose_subject_is_not_named_sets_no_standard() -> None:
    prior = Prior()
    with_rival = prior.biases([Evidence(1.0, 0.2, 0.7), Evidence(0.7, 1.0, 0.95)])[0]
    alone = prior.biases([Evidence(1.0, 0.2, 0.7)])[0]
    assert with_rival == pytest.approx(alone)


def test_nothing_in_nothing_out() -> None:
    assert Prior().biases([]) == []
