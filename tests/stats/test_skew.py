"""The t statistic of exponential values, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats.skew import skewed_one_sided, skewed_p, skewed_tails


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("t", [1.0, 2.5, 4.0])
def test_tails_are_those_of_simulated_samples(n: int, t: float) -> None:
    values = np.random.default_rng(7).exponential(size=(200_000, n)) - 1
    statistic = values.mean(axis=1) * np.sqrt(n) / values.std(axis=1, ddof=1)
    below, above = skewed_tails(t, n)
    assert below == pytest.approx((statistic < -t).mean(), abs=0.004)
    assert above == pytest.approx((statistic > t).mean(), abs=0.004)
    assert skewed_p(-t, n) == pytest.approx(below + above)


@pytest.mark.parametrize("n", [2, 5, 50])
def test_tails_fall_with_t_and_reach_far(n: int) -> None:
    p = [skewed_p(t, n) for t in (0.0, 1.0, 3.0, 10.0, 100.0)]
    assert p[0] == pytest.approx(1.0)
    assert p == sorted(p, reverse=True)
    assert 0 < p[-1] < 0.05


def test_many_values_are_as_good_as_normal() -> None:
    assert skewed_p(2.0, 1999) == pytest.approx(2 * stats.t(1998).sf(2.0), rel=0.1)
    assert skewed_p(2.0, 5000) == pytest.approx(2 * stats.t(4999).sf(2.0))


def test_one_sided_is_for_a_mean_below_zero() -> None:
    assert skewed_one_sided(-2.0, 5) == skewed_tails(2.0, 5)[0]
    assert skewed_one_sided(0.5, 5) == 1.0
