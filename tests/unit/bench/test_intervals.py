"""Intervals, where samples that belong together are alike."""

from __future__ import annotations

import pytest

from bench.common import interval, sample_keys, share_keys


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
