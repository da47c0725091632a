"""Power against statsmodels, and against what happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from lehi_cli.errors import UsageError
from lehi_cli.stats.power import (
    detectable_effect,
    seeds_for_difference,
    t_power,
)


@pytest.mark.parametrize(
    ("n", "effect"), [(n, effect) for n in (2, 3, 5, 20, 300) for effect in (0.0, 0.2, 1.0)] + [(2, 4.0), (3, 4.0)]
)
def test_power_is_that_of_statsmodels(n: int, effect: float) -> None:
    assert t_power(effect, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-8)
    assert t_power(-effect, n) == pytest.approx(t_power(effect, n), abs=1e-12)


def test_power_is_a_number_where_that_of_statsmodels_is_none() -> None:
    assert t_power(4.0, 20) == pytest.approx(1.0)
    t = stats.ttest_1samp(np.random.default_rng(0).normal(5.5, 1, (20_000, 2)), 0, axis=1)
    assert t_power(5.5, 2) == pytest.approx(np.mean(t.pvalue <= 0.05), abs=0.015)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 300])
def test_the_detectable_effect_is_that_of_statsmodels(n: int) -> None:
    found = detectable_effect(n)
    assert found == pytest.approx(TTestPower().solve_power(nobs=n, power=0.8, alpha=0.05), rel=1e-6)
    assert t_power(found, n) == pytest.approx(0.8, abs=1e-8)


@pytest.mark.parametrize("effect", [0.1, 0.5, 1.0, 2.0])
def test_seeds_for_a_difference_are_those_of_statsmodels_rounded_up(effect: float) -> None:
    needed = seeds_for_difference(effect)
    assert needed == math.ceil(TTestPower().solve_power(effect_size=effect, power=0.8, alpha=0.05))


def test_nothing_to_find_takes_more_seeds_than_there_are() -> None:
    assert seeds_for_difference(0.0) is None
    assert seeds_for_difference(1e-200) is None  # whose square is 0
    assert detectable_effect(1) == math.inf
    assert t_power(3.0, 1) == 0.0


def test_an_enormous_effect_takes_two_seeds_and_no_warning() -> None:
    assert seeds_for_difference(1e9) == 2
    assert t_power(1e9, 2) == 1.0


def test_a_level_outside_of_0_to_1_is_refused() -> None:
    with pytest.raises(UsageError, match="alpha is 0"):
        seeds_for_difference(1.0, alpha=0)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 100, 10_000])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
def test_power_grows_with_the_effect_up_to_1_without_a_gap(n: int, alpha: float) -> None:
    powers = [t_power(shift / math.sqrt(n), n, alpha) for shift in np.linspace(0, 1000, 400)]
    assert powers[0] == pytest.approx(alpha)
    assert np.all(np.diff(powers) >= -1e-9)
    assert powers[-1] == pytest.approx(1.0, abs=0.5 if n == 2 else 1e-6)
