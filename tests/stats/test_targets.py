"""Time to target, with runs that never arrive."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from lehi_cli.errors import UsageError
from lehi_cli.stats.targets import arrival, performance_profile, survival, time_to_target


@pytest.mark.parametrize(
    ("y", "minimize", "expected"),
    [
        ([3, 2, 1, 0.5], True, 30),
        ([3, 0.9, 1.5, 0.9], True, 40),
        ([3, 0.9, 0.8, 1.1], True, None),
        ([0.5, 0.4, 0.3, 0.2], True, 10),
        ([0.5, 1.2, math.nan, 1.0], False, 40),
        ([1.0, 1.0, 1.0, math.nan], True, None),
        ([0.2, 0.8, 1.0, 1.1], False, 30),
    ],
)
def test_reached_means_reached_and_held(y: list[float], minimize: bool, expected: float | None) -> None:
    assert time_to_target([10, 20, 30, 40], y, 1.0, minimize=minimize) == expected


def test_an_empty_curve_reaches_nothing_and_a_lopsided_one_is_refused() -> None:
    assert time_to_target([], [], 1.0) is None
    with pytest.raises(UsageError, match="1 places and 2 values"):
        time_to_target([1.0], [1.0, 2.0], 1.0)


def test_by_hand_with_one_censored() -> None:
    found = arrival([2.0, 4.0, None, 6.0], [9.0, 9.0, 5.0, 9.0])
    assert survival([2.0, 4.0, None, 6.0], [9.0, 9.0, 5.0, 9.0]) == [(2.0, 0.75), (4.0, 0.5), (6.0, 0.0)]
    assert (found.n, found.reached, found.median, found.horizon) == (4, 3, 5.0, 6.0)
    assert found.mean == pytest.approx(2 + 0.75 * 2 + 0.5 * 2)


def test_the_median_is_the_plain_one_when_all_arrive() -> None:
    for times in ([3.0], [3.0, 5.0], [5.0, 1.0, 9.0], [1.0, 2.0, 2.0, 8.0]):
        found = arrival(times, [10.0] * len(times))
        assert found.median == np.median(times)
        assert found.mean == pytest.approx(np.mean(times))


@pytest.mark.parametrize(
    ("times", "median"),
    [([None, None, None], None), ([1.0, None, None], None), ([1.0, 3.0, None, None], 3.0), ([1.0, 2.0, None], 2.0)],
)
def test_the_median_when_some_never_arrive(times: list, median: float | None) -> None:
    found = arrival(times, [7.0] * len(times))
    assert (found.median, found.horizon) == (median, 7.0)


def test_a_run_that_never_arrives_is_under_way_for_ever() -> None:
    times, ends = [2.0, 4.0, None, None], [9.0, 9.0, math.inf, 3.0]
    assert survival(times, ends) == [(2.0, 0.75), (4.0, 0.375)]
    found = arrival(times, ends)
    assert (found.reached, found.median, found.mean, found.horizon) == (2, 4.0, math.inf, math.inf)
    assert arrival([2.0, None, None], [9.0, math.inf, math.inf]).median is None
    assert arrival([2.0, None, None], [9.0, 1.0, 1.0]).median == 2.0


def test_no_runs() -> None:
    found = arrival([], [])
    assert (found.n, found.median) == (0, None)
    assert math.isnan(found.mean)


@pytest.mark.parametrize("seed", range(10))
def test_survival_is_that_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, ends = rng.integers(1, 12, 15).astype(float), rng.integers(4, 12, 15).astype(float)
    times = [float(t) if t <= end else None for t, end in zip(true, ends, strict=True)]
    theirs = SurvfuncRight(np.minimum(true, ends), (true <= ends).astype(int))
    ours = survival(times, ends.tolist())
    at = [t for t, _ in ours]
    where = np.searchsorted(theirs.surv_times, at)
    np.testing.assert_allclose([share for _, share in ours], theirs.surv_prob[where], rtol=1e-9)


def test_times_without_ends_are_refused() -> None:
    with pytest.raises(UsageError, match="2 times and 1 ends"):
        arrival([1.0, 2.0], [1.0])


def test_a_performance_profile_by_hand() -> None:
    profile = performance_profile(
        {
            "a": {"t1": 1.0, "t2": 4.0, "t3": None, "t4": None},
            "b": {"t1": 2.0, "t2": 2.0, "t3": 5.0},
        }
    )
    assert profile.ratios == (1.0, 2.0)
    assert profile.shares == {"a": (0.25, 0.5), "b": (0.5, 0.75)}
    assert profile.unsolved == ("t4",)


def test_profiles_of_nothing_and_of_free_methods() -> None:
    assert performance_profile({"a": {}}).shares == {"a": ()}
    assert performance_profile({"a": {"t": None}}).shares == {"a": (0.0,)}
    with pytest.raises(UsageError, match=r"a costs 0.0 on t"):
        performance_profile({"a": {"t": 0.0}})
