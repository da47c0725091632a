"""Paired tests against scipy and statsmodels, by hand, and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from lehi_cli.errors import UsageError
from lehi_cli.stats.paired import (
    BY_RANKS,
    Interval,
    compare_paired,
    differences,
    holm,
    median,
    median_interval,
    smallest_wilcoxon_p,
    t_interval,
    t_test,
    tost,
    wilcoxon,
)
from lehi_cli.stats.skew import skewed_one_sided

INF, NAN = math.inf, math.nan
ALTERNATIVES = ("two-sided", "less", "greater")


def draw(seed: int, n: int, mean: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, n)


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_t_is_that_of_scipy(n: int, alternative: str) -> None:
    d = draw(n, n)
    theirs = stats.ttest_1samp(d, 0.1, alternative=alternative)
    assert t_test(d, alternative, 0.1) == pytest.approx(theirs.pvalue, rel=1e-9)
    if alternative == "two-sided":
        assert t_interval(d, 0.9) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 6, 20, 50])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_signed_ranks_are_those_of_scipy(n: int, alternative: str) -> None:
    d = draw(n, n)
    theirs = stats.wilcoxon(d, alternative=alternative, method="exact").pvalue
    assert wilcoxon(d, alternative) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_signed_ranks_with_ties_and_zeros_are_exact(alternative: str) -> None:
    d = np.array([1.0, -1.0, 2.0, 2.0, 0.0, 3.0, -2.0, 0.0, 5.0])
    kept = d[d != 0]
    ranks = stats.rankdata(np.abs(kept))
    sums = [np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=len(kept))]
    observed = ranks[kept > 0].sum()
    less, greater = np.mean(np.array(sums) <= observed), np.mean(np.array(sums) >= observed)
    by_hand = {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[alternative]
    assert wilcoxon(d, alternative) == pytest.approx(by_hand, rel=1e-12)
    theirs = stats.wilcoxon(d, alternative=alternative, method=stats.PermutationMethod(n_resamples=10_000))
    assert wilcoxon(d, alternative) == pytest.approx(theirs.pvalue, rel=1e-9)


def test_many_pairs_are_approximated_as_by_scipy() -> None:
    d = np.round(draw(1, 300, 0.1), 1)
    assert wilcoxon(d) == pytest.approx(stats.wilcoxon(d, method="approx").pvalue, rel=1e-9)
    nearly = draw(1, 200, 0.1)
    assert wilcoxon(nearly) == pytest.approx(stats.wilcoxon(nearly, method="approx").pvalue, rel=0.02)


def test_the_smallest_p_is_reached_when_all_agree() -> None:
    for n in range(1, 12):
        assert wilcoxon(np.arange(1.0, n + 1)) == pytest.approx(smallest_wilcoxon_p(n))
    assert smallest_wilcoxon_p(5) > 0.05 >= smallest_wilcoxon_p(6)
    assert smallest_wilcoxon_p(0) == 1.0


@pytest.mark.parametrize("margin", [0.2, 0.8, 3.0])
def test_equivalence_is_that_of_statsmodels_or_more_cautious(margin: float) -> None:
    a, b = draw(1, 12), draw(2, 12)
    d = a - b
    theirs = ttost_paired(a, b, -margin, margin)[0]
    t = [(sign * d.mean() - margin) * math.sqrt(12) / d.std(ddof=1) for sign in (1, -1)]
    assert tost(d, margin) == pytest.approx(max(theirs, *(skewed_one_sided(one, 12) for one in t)), rel=1e-9)
    assert tost(d, margin) >= theirs * (1 - 1e-9)


def test_equivalence_over_thousands_of_pairs_is_that_of_statsmodels() -> None:
    a, b = draw(1, 3000), draw(2, 3000)
    assert tost(a - b, 0.05) == pytest.approx(ttost_paired(a, b, -0.05, 0.05)[0], rel=1e-9)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("n", [3, 6, 15])
def test_equivalence_holds_its_level_where_differences_are_strongly_skewed(side: int, n: int) -> None:
    # The mean lies at the margin; what most differences show lies within it.
    d = side * np.random.default_rng(n).exponential(size=(2000, n))
    assert np.mean([tost(row, 1.0) <= 0.05 for row in d]) <= 0.05 + 2 * 0.0049


def test_equivalence_by_ranks_where_there_is_no_t() -> None:
    within = np.array([INF, 0.1, -0.1, 0.05, 0.02, -0.07, 0.01, 0.0, 0.03, -0.02])
    expected = max(wilcoxon(within - 1, "less"), wilcoxon(within + 1, "greater"))
    assert tost(within, 1.0) == expected
    assert 0 < expected < 1
    assert tost(np.full(5, 0.1), 1.0) == pytest.approx(1 / 32)
    assert tost(np.full(5, 0.1), 0.0) == 1.0
    assert tost(np.zeros(5), 0.0) == pytest.approx(1 / 32)
    assert tost(np.array([]), 1.0) == 1.0


def test_holm_is_that_of_statsmodels() -> None:
    for seed in range(20):
        p = np.round(np.random.default_rng(seed).random(1 + seed % 6) ** 3, 2)
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert holm([]) == []


def test_holm_counts_what_could_not_be_tested() -> None:
    first, second = holm([0.02, NAN])
    assert first == 0.04
    assert math.isnan(second)


@pytest.mark.parametrize(
    ("minimize", "expected"), [(True, [0.5, INF, -INF, 0.0, INF]), (False, [0.5, -INF, INF, 0.0, -INF])]
)
def test_a_run_without_a_value_counts_as_worst(minimize: bool, expected: list[float]) -> None:
    found = differences([1.5, NAN, 1.0, INF, INF], [1.0, 1.0, INF, NAN, 2.0], minimize=minimize)
    assert found.tolist() == expected


def test_everything_about_finite_pairs() -> None:
    a, b = draw(1, 10), draw(2, 10)
    found = compare_paired(a.tolist(), b.tolist())
    d = a - b
    assert (found.n, found.center, found.note) == (10, "mean", "")
    assert found.difference == pytest.approx(d.mean())
    assert found.interval == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval()))
    assert found.effect_size == pytest.approx(d.mean() / d.std(ddof=1))
    assert found.p == found.p_t == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)


def test_diverged_runs_leave_order_but_no_mean() -> None:
    found = compare_paired([1.0, INF, 3.0, 4.0, NAN, 6.0, 7.0], [0.5, 1.0, 2.0, 3.5, 1.0, 5.0, 6.5])
    assert (found.center, found.difference) == ("median", 1.0)
    assert found.interval == Interval(0.5, INF)
    assert math.isnan(found.p_t)
    assert math.isnan(found.effect_size)
    assert found.p == found.p_wilcoxon == pytest.approx(2 / 2**7)
    assert found.note == BY_RANKS


@pytest.mark.parametrize(
    ("a", "b", "center", "difference", "note"),
    [
        ([1.0], [0.5], "mean", 0.5, "one pair has no spread"),
        ([], [], "median", NAN, "no pair of runs"),
        ([1.0, 2.0], [1.0, 2.0], "median", 0.0, "identical at every seed"),
        ([1.1, 2.1, 3.1], [1.0, 2.0, 3.0], "median", 0.1, "the same difference at every seed"),
        ([INF, INF], [NAN, INF], "median", 0.0, BY_RANKS),
        ([3e300, 1e300], [0.0, 0.0], "median", 2e300, "by ranks, not means"),
    ],
)
def test_without_spread_nothing_is_made_up(a: list, b: list, center: str, difference: float, note: str) -> None:
    found = compare_paired(a, b)
    assert (found.center, found.note) == (center, note)
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert found.interval == Interval(-INF, INF)
    assert math.isnan(found.p_t)
    assert found.p > 0.2


def test_median_of_infinite_differences() -> None:
    assert median(np.array([INF, 1.0, INF])) == INF
    assert math.isnan(median(np.array([INF, -INF])))
    assert median(np.array([1.0, 2.0, -INF, INF])) == 1.5


@pytest.mark.parametrize(("n", "k"), [(5, 0), (6, 1), (8, 1), (9, 2), (20, 6)])
def test_the_interval_of_the_median_is_of_the_tabulated_order_statistics(n: int, k: int) -> None:
    expected = Interval(k, n + 1 - k) if k else Interval(-INF, INF)
    assert median_interval(np.arange(1.0, n + 1)) == expected


def test_samples_of_different_lengths_and_odd_confidences_are_refused() -> None:
    with pytest.raises(UsageError, match="2 values cannot be paired with 1"):
        compare_paired([1.0, 2.0], [1.0])
    with pytest.raises(UsageError, match="confidence is 95"):
        compare_paired([1.0, 2.5], [1.0, 2.0], confidence=95)


def test_the_interval_covers_as_often_as_it_says() -> None:
    covered = 0
    for d in np.random.default_rng(3).normal(0.7, 2.0, (2000, 6)):
        low, high = t_interval(d)
        covered += low <= 0.7 <= high
    assert 0.93 <= covered / 2000 <= 0.97


def test_tests_find_nothing_in_nothing() -> None:
    d = np.random.default_rng(4).normal(size=(2000, 8))
    assert np.mean([t_test(row) <= 0.05 for row in d]) <= 0.06
    assert np.mean([wilcoxon(row) <= 0.05 for row in d]) <= 0.05
