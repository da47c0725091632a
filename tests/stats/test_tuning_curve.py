"""Tuning curves against brute force, opda, and distributions whose curves are known."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from opda import utils as opda_utils
from opda.nonparametric import EmpiricalDistribution
from scipy import stats

from lehi_cli.errors import UsageError
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.tuning_curve import (
    METHODS,
    cdf_band,
    equal_tailed,
    expected_best,
    highest_density,
    joint_coverage,
    leads,
    tuning_curve,
)

INF = math.inf


def sample(seed: int) -> list[float]:
    """Random values, in turn plain, with ties, with diverged trials, with both."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=int(rng.integers(3, 30)))
    if seed % 2:
        values = np.round(values, 1)
    if seed % 4 > 1:
        values[rng.random(len(values)) < 0.2] = INF
    return values.tolist()


def bands_of_opda(values: list[float], confidence: float, method: str, **options: object) -> tuple:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # opda warns of ties, rightly
        return EmpiricalDistribution.confidence_bands(values, confidence, method=method, **options)


@pytest.mark.parametrize("minimize", [True, False])
def test_expected_best_is_the_mean_over_all_subsets(minimize: bool) -> None:
    values = [3.0, 1.0, 1.0, 7.0, -2.0, 4.5]
    best = min if minimize else max
    expected = [np.mean([best(subset) for subset in itertools.combinations(values, k)]) for k in range(1, 7)]
    assert expected_best(values, minimize=minimize) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_expected_best_is_opdas_u_statistic(seed: int) -> None:
    values = sample(seed)
    ours = np.array(expected_best(values))
    # opda multiplies infinity by a weight of zero: where its weight is zero, any finite value does in its place
    known = EmpiricalDistribution([1e6 if value == INF else value for value in values])
    theirs = known.u_tuning_curve(np.arange(1, len(values) + 1), minimize=True)
    diverged = values.count(INF)
    assert np.isinf(ours).tolist() == [k <= diverged for k in range(1, len(values) + 1)]
    np.testing.assert_allclose(ours[diverged:], theirs[diverged:], rtol=1e-6, atol=1e-6)
    upwards = expected_best([-value for value in values], minimize=False)
    np.testing.assert_allclose(upwards, -ours)


@pytest.mark.parametrize("method", ["dkw", "ks"])
@pytest.mark.parametrize("seed", range(20))
def test_bands_of_the_curve_are_opdas(seed: int, method: str) -> None:
    values = sample(seed)
    ours = tuning_curve(values, confidence=0.9, method=method)
    lower, point, upper = bands_of_opda(values, 0.9, method)
    trials = np.array(ours.trials)
    np.testing.assert_allclose(ours.low, upper.quantile_tuning_curve(trials, minimize=True), rtol=1e-6)
    np.testing.assert_allclose(ours.high, lower.quantile_tuning_curve(trials, minimize=True), rtol=1e-6)
    # At k = 1 the level is 1/2 exactly, a jump of the empirical distribution when n is even: a matter of rounding
    np.testing.assert_allclose(ours.median[1:], point.quantile_tuning_curve(trials[1:], minimize=True), rtol=1e-6)
    assert ours.median[0] == sorted(values)[math.ceil(len(values) / 2) - 1]


@pytest.mark.parametrize("method", ["dkw", "ks"])
@pytest.mark.parametrize("seed", [0, 1, 4, 5])
def test_bands_are_opdas_where_higher_is_better_on_a_bounded_scale(seed: int, method: str) -> None:
    values = [value / 100 for value in sample(seed)]
    ours = tuning_curve(values, minimize=False, confidence=0.8, method=method, support=Interval(0.0, 1.0))
    lower, point, upper = bands_of_opda(values, 0.8, method, a=0.0, b=1.0)
    trials = np.array(ours.trials)
    np.testing.assert_allclose(ours.low, upper.quantile_tuning_curve(trials), rtol=1e-6)
    np.testing.assert_allclose(ours.high, lower.quantile_tuning_curve(trials), rtol=1e-6)
    np.testing.assert_allclose(ours.median[1:], point.quantile_tuning_curve(trials[1:]), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 24, 60])
def test_intervals_of_order_statistics_are_opdas(n: int) -> None:
    i = np.arange(1, n + 1)
    for coverage in (0.5, 0.99):
        theirs = opda_utils.beta_equal_tailed_interval(i, n + 1 - i, coverage)
        np.testing.assert_allclose(equal_tailed(n, coverage), theirs, atol=1e-9)
        if n > 1:
            theirs = opda_utils.beta_highest_density_interval(i, n + 1 - i, coverage)
            np.testing.assert_allclose(highest_density(n, coverage), theirs, atol=1e-6)


@pytest.mark.parametrize("method", ["ld_equal_tailed", "ld_highest_density"])
def test_bands_of_order_statistics_are_opdas_up_to_its_simulation(method: str) -> None:
    n, confidence = 12, 0.9
    lower, _, upper = bands_of_opda(
        list(range(1, n + 1)), confidence, method, generator=np.random.default_rng(0), n_jobs=1
    )
    low, high = cdf_band(n, confidence, method)
    places = np.arange(1, n) + 0.5
    np.testing.assert_allclose(low[1:-1], lower.cdf(places), atol=2e-3)
    np.testing.assert_allclose(high[1:-1], upper.cdf(places), atol=2e-3)


def test_at_the_coverage_that_opda_simulated_the_bands_are_the_same() -> None:
    n = 12
    lower, _, upper = bands_of_opda(
        list(range(1, n + 1)), 0.9, "ld_equal_tailed", generator=np.random.default_rng(0), n_jobs=1
    )
    coverage = 1 - 2 * stats.beta(1, n).cdf(lower.cdf(1.5))
    low, high = equal_tailed(n, coverage)
    np.testing.assert_allclose(low[:-1], lower.cdf(np.arange(1, n) + 0.5), atol=1e-6)
    np.testing.assert_allclose(high[1:], upper.cdf(np.arange(1, n) + 0.5), atol=1e-6)


@pytest.mark.parametrize("method", ["ks", "ld_equal_tailed", "ld_highest_density"])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_exact_bands_hold_jointly_as_often_as_they_say(method: str, n: int) -> None:
    low, high = cdf_band(n, 0.95, method)
    assert joint_coverage(np.array(low[1:]), np.array(high[:-1])) == pytest.approx(0.95, abs=1e-9)


def test_joint_coverage_of_two_values_by_hand() -> None:
    # 0.1 <= least <= 0.5 and 0.3 <= largest <= 0.9: twice the area of x in [.1, .5], y in [max(x, .3), .9]
    area = 0.2 * 0.6 + (0.4**2 - 0.6**2) / -2
    low, high = np.array([0.1, 0.3]), np.array([0.5, 0.9])
    assert joint_coverage(low, high) == pytest.approx(2 * area, abs=1e-12)


def test_dkw_holds_more_often_than_it_says() -> None:
    low, high = cdf_band(10, 0.9, "dkw")
    assert joint_coverage(np.array(low[1:]), np.array(high[:-1])) > 0.9


def test_the_band_covers_the_true_median_curve_at_all_k_at_once() -> None:
    rng, n, covered, repeats = np.random.default_rng(1), 15, 0, 1000
    truth = 1 - 0.5 ** (1 / np.arange(1, n + 1))  # of uniform values
    for _ in range(repeats):
        curve = tuning_curve(rng.random(n).tolist(), confidence=0.8)
        covered += bool(np.all(curve.low <= truth) and np.all(truth <= curve.high))
    # The curve is read at n levels only, so it is covered at least as often as the distribution function.
    assert 0.8 - 3 * math.sqrt(0.16 / repeats) <= covered / repeats <= 0.95


def test_a_diverged_trial_counts_and_the_median_bears_it() -> None:
    curve = tuning_curve([0.5, math.nan, 0.2, INF, 0.3])
    assert curve.expected[:2] == (INF, INF)
    assert curve.expected[2] == pytest.approx((6 * 0.2 + 3 * 0.3 + 1 * 0.5) / 10)
    assert curve.median[0] == 0.5
    assert curve.expected[-1] == curve.median[-1] == 0.2
    assert curve.low[-1] == -INF


def test_all_diverged_is_infinite_throughout() -> None:
    curve = tuning_curve([INF, INF, math.nan])
    assert set(curve.expected) | set(curve.median) | set(curve.high) == {INF}


def test_many_trials_overflow_nothing() -> None:
    values = np.linspace(0, 1, 2001).tolist()
    found = expected_best(values, [1, 1000, 2001])
    assert found == pytest.approx([0.5, 2002 / 1001 / 2000 - 1 / 2000, 0.0])


def test_of_identical_optimizers_at_most_one_in_twenty_is_said_to_be_ahead() -> None:
    rng, repeats = np.random.default_rng(7), 400
    for count, prices in ((2, (1.0, 1.0)), (2, (1.0, 5 / 3)), (3, (1.0, 1.0, 2.0))):
        wrong = 0
        for _ in range(repeats):
            curves = [tuning_curve(rng.lognormal(size=16).tolist(), confidence=1 - 0.05 / count) for _ in range(count)]
            pairs = itertools.combinations(range(count), 2)
            # At unequal prices more trials are better, so that only the dearer must not be ahead.
            found = [
                (i, j, lead) for i, j in pairs for lead in leads(curves[i], curves[j], (prices[i], prices[j])) or []
            ]
            wrong += any(prices[(i, j)[lead.ahead]] >= prices[(j, i)[lead.ahead]] for i, j, lead in found)
        assert wrong / repeats <= 0.05


def test_a_curve_is_ahead_where_the_bands_are_apart() -> None:
    rng = np.random.default_rng(3)
    good, bad = rng.uniform(0.4, 0.6, 24).tolist(), rng.uniform(1.2, 1.3, 24).tolist()
    for pair, ahead in (((good, bad), 0), ((bad, good), 1)):
        first, second = (tuning_curve(values, confidence=0.975) for values in pair)
        (lead,) = leads(first, second) or []
        assert (lead.ahead, lead.low) == (ahead, 1.0)
        better, worse = (first, second) if ahead == 0 else (second, first)
        apart = [k for k in first.trials if better.high[k - 1] < worse.low[k - 1]]
        assert (lead.low, lead.high) == (apart[0], apart[-1])
        assert lead.trials == ((1, apart[-1]), (1, apart[-1]))


def test_where_higher_is_better_the_other_one_is_ahead() -> None:
    low, high = [0.1 + i / 1000 for i in range(24)], [0.9 + i / 1000 for i in range(24)]
    curves = [tuning_curve(values, minimize=False) for values in (low, high)]
    assert [lead.ahead for lead in leads(*curves, minimize=False) or []] == [1]


def test_curves_are_compared_at_equal_price() -> None:
    good = tuning_curve([0.4 + i / 1000 for i in range(64)])
    bad = tuning_curve([0.9 + i / 1000 for i in range(64)])
    (lead,) = leads(good, bad, (3.0, 1.0)) or []
    assert lead.ahead == 0
    assert lead.low == 3.0  # the price of the first trial of the dearer
    assert lead.trials[0][0] == 1
    assert lead.trials[1][0] == 3
    assert lead.high == lead.trials[1][1]
    assert bad.low[int(lead.high) - 1] > good.high[int(lead.high) // 3 - 1]
    assert leads(good, bad, (65.0, 1.0)) is None  # 64 of one cost less than one of the other
    (rounded,) = leads(good, bad, (0.3, 0.1)) or []  # 3 * 0.1 is a little more than 0.3
    assert rounded.trials == lead.trials


def test_curves_that_lost_every_trial_are_not_ahead() -> None:
    lost, fine = tuning_curve([INF] * 8), tuning_curve([0.1 * i for i in range(8)])
    assert leads(lost, lost) == []
    assert all(lead.ahead == 1 for lead in leads(lost, fine) or [])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tuning_curve([]), "at least one trial"),
        (lambda: expected_best([1.0, 2.0], [3]), "best of 3 cannot be estimated from 2"),
        (lambda: expected_best([1.0], [0]), "best of 0"),
        (lambda: tuning_curve([1.0], quantile=1.0), "quantile is 1.0"),
        (lambda: cdf_band(3, 1.0), "confidence is 1.0"),
        (lambda: cdf_band(3, 0.9, "kss"), "did you mean 'ks'"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_every_method_is_there() -> None:
    for method in METHODS:
        low, high = cdf_band(4, 0.9, method)
        assert len(low) == len(high) == 5
        assert all(a <= b for a, b in zip(low, high, strict=True))
