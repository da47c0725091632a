"""Outliers, skewness and what pairing gained."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats.shape import outlier, pairing_gain, skewed_paired_p


def test_grubbs_finds_the_run_that_shot_up_and_nothing_in_normal_samples() -> None:
    rng = np.random.default_rng(0)
    found = [outlier(rng.normal(size=8)) for _ in range(2000)]
    assert np.mean([one is not None for one in found]) == pytest.approx(0.01, abs=0.007)
    assert outlier(np.array([0.1, 0.2, 0.15, 5.0, 0.12, 0.18])) == 3


@pytest.mark.parametrize("d", [[0.1, 5.0, 0.1], [1.0, 1.0, 1.0, 1.0, 1.0], [math.inf, 1.0, 2.0, 3.0, 4.0, 5.0], []])
def test_too_few_equal_or_infinite_differences_have_no_outlier(d: list[float]) -> None:
    assert outlier(np.array(d)) is None


def test_pairing_gain_is_correlation_and_share_of_the_variance() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=50)
    a, b = common + 0.5 * rng.normal(size=50), common + 0.5 * rng.normal(size=50)
    found = pairing_gain(a.tolist(), b.tolist())
    assert found.correlation == pytest.approx(stats.pearsonr(a, b).statistic)
    assert found.variance_ratio == pytest.approx(np.var(a - b) / (np.var(a) + np.var(b)))
    assert math.isnan(pairing_gain([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).correlation)
    assert math.isnan(pairing_gain([1.0, math.inf, 3.0], [1.0, 2.0, 1.0]).correlation)


def test_the_skewed_p_value_is_there_where_t_is() -> None:
    assert math.isnan(skewed_paired_p(np.array([math.inf, 1.0])))
    assert math.isnan(skewed_paired_p(np.array([1.0])))
    d = np.array([-1.0, -1.2, -0.9, -1.1, -1.05])
    assert stats.ttest_1samp(d, 0).pvalue < skewed_paired_p(d) < 0.01
