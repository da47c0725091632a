"""Bands around mean curves, and intervals of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats import estimate
from lehi_cli.stats.summary import Band, band_curve, mean_interval


def test_a_band_is_mean_lowest_and_highest_as_far_as_the_shortest_curve() -> None:
    curves = [([1, 2, 3], [1.0, 2.0, 3.0]), ([1, 4], [3.0, 8.0]), ([], [])]
    assert band_curve(curves) == Band([1.0, 3.0], [2.0, 5.0], [1.0, 2.0], [3.0, 8.0], 2)


def test_one_curve_is_its_own_band_and_none_is_empty() -> None:
    assert band_curve([([1, 2], [0.5, 0.25])]) == Band([1.0, 2.0], [0.5, 0.25], [0.5, 0.25], [0.5, 0.25], 1)
    assert band_curve([]) == Band([], [], [], [], 0)


def test_a_band_of_positive_curves_is_positive() -> None:
    rng = np.random.default_rng(0)
    band = band_curve((list(range(20)), rng.lognormal(sigma=3, size=20).tolist()) for _ in range(3))
    assert min(band.low) > 0
    assert all(low <= mean <= high for low, mean, high in zip(band.low, band.mean, band.high, strict=True))


@pytest.mark.parametrize(("n", "level"), [(2, 0.95), (5, 0.95), (30, 0.9)])
def test_the_interval_of_a_mean_is_scipys(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    theirs = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    assert mean_interval(estimate(values.tolist()), level) == pytest.approx(theirs)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_interval(values: list[float]) -> None:
    assert all(map(math.isnan, mean_interval(estimate(values))))
