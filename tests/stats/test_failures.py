"""How often runs fail: counts, the exact test, intervals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats.failures import Failures, count_failures, failure_p, rate_interval

INF, NAN = math.inf, math.nan


def test_failures_are_counted_pair_by_pair() -> None:
    found = count_failures([INF, 1.0, NAN, 2.0], [INF, INF, 1.0, 1.0])
    assert found == Failures(own=2, other=2, n=4, only_own=1, only_other=1)
    assert (found.excess, found.any) == (0, True)
    assert not count_failures([1.0], [2.0]).any


def brute(one: int, two: int, n: int) -> float:
    """The maximum over ψ of the chance of a table as extreme, table by table."""

    def conditional(b: int, c: int) -> float:
        return float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0

    observed = conditional(one, two)
    tables = [(b, c) for b, c in itertools.product(range(n + 1), repeat=2) if b + c <= n]
    extreme = [(b, c) for b, c in tables if conditional(b, c) <= observed * (1 + 1e-9)]
    return max(
        sum(float(stats.multinomial.pmf([b, c, n - b - c], n, [psi / 2, psi / 2, 1 - psi])) for b, c in extreme)
        for psi in np.linspace(0.005, 0.5, 100)
    )


@pytest.mark.parametrize("table", [(3, 0, 3), (2, 0, 2), (5, 0, 6), (3, 1, 6), (0, 4, 8), (1, 1, 4)])
def test_p_is_the_maximum_over_tables(table: tuple[int, int, int]) -> None:
    assert failure_p(*table) == pytest.approx(brute(*table), abs=2e-3)


def test_three_failures_of_three_against_none_are_a_finding() -> None:
    assert failure_p(3, 0, 3) == pytest.approx(1 / 32)
    assert failure_p(2, 0, 20) > 0.05
    assert failure_p(0, 0, 20) == 1.0


@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.8])
def test_the_level_holds_where_both_fail_equally_often(n: int, rate: float) -> None:
    rng = np.random.default_rng(n)
    own, other = rng.random((2, 4000, n)) < rate
    wrong = [failure_p(int(b), int(c), n) <= 0.05 for b, c in zip((own & ~other).sum(1), (other & ~own).sum(1))]  # noqa: B905
    assert np.mean(wrong) <= 0.055


@pytest.mark.parametrize(("failed", "n"), [(0, 3), (3, 3), (2, 20), (1, 1)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(failed: int, n: int) -> None:
    found = stats.binomtest(failed, n).proportion_ci(method="exact")
    assert rate_interval(failed, n) == pytest.approx((found.low, found.high))


def test_hundreds_of_seeds_are_no_matter() -> None:
    assert 0 < failure_p(60, 20, 500) < 1e-3
