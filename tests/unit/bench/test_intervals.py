"""Intervals, where samples that belong together are alike."""

from __future__ import annotations

import pytest

from bench.common import interval, sample_keys, share_keys
from bench.encoder import _told_apart


def test_samples_that_belong_together_are_drawn_together() -> None:
    """Ten relations, hit or missed as a whole: a hundred questions tell no more than ten."""
    outcomes = [relation < 5 for relation in range(10) for _ in range(10)]
    relations = [relation for relation in range(10) for _ in range(10)]
    alone = share_keys("hit", outcomes)
    together = share_keys("hit", outcomes, clusters=relations)
    assert alone["hit"] == together["hit"] == 0.5
    assert together["hit_lo"] < 0.3 < alone["hit_lo"]
    assert together == sample_keys("hit", [float(hit) for hit in outcomes], clusters=relations)


def test_clusters_of_one_are_independent_samples() -> None:
    samples = [float(number) for number in range(20)]
    assert interval(samples) == interval(samples, clusters=range(20))
    low, high = interval(samples)
    assert low < 9.5 < high
    with pytest.raises(ValueError, match="zip"):
        interval(samples, clusters=[1, 2])


def test_few_relations_may_be_drawn_all_of_one_kind() -> None:
    """Two relations, one with its fact and one without: a draw of one of them twice tells nothing."""
    keys = sample_keys("auroc", [(0.9, True), (0.1, False)], statistic=_told_apart, clusters=["a", "b"])
    assert keys == {"auroc": 1.0, "auroc_lo": 0.5, "auroc_hi": 1.0}
