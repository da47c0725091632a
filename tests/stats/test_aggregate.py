"""Probability of improvement and interquartile change, with intervals of a stratified bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from peers import peer
from scipy import stats

from lehi_cli.errors import UsageError
from lehi_cli.stats.aggregate import (
    Aggregate,
    Matchup,
    interquartile_change,
    interquartile_mean,
    probability_of_improvement,
)
from lehi_cli.stats.paired import Interval

MANY = 20_000  # resamples, so that an end is off by 2 % of the interval at most


def drawn(tasks: int, own: int, other: int, *, paired: bool, digits: int = 9) -> list[Matchup]:
    """Made-up runs; with few digits some are equal."""
    draw = np.random.default_rng(3)
    return [
        Matchup(
            draw.normal(-0.5, 1, own).round(digits).tolist(), draw.normal(0, 1, other).round(digits).tolist(), paired
        )
        for _ in range(tasks)
    ]


def level(*matchups: Matchup) -> list[Matchup]:
    """The same against a reference that is always 0, so that changes are the candidate's own values."""
    return [Matchup(matchup.own, [0.0, 0.0], paired=False) for matchup in matchups]


def close(found: Interval, theirs: Sequence[float], share: float) -> bool:
    """Whether the ends are as near as this share of the interval."""
    allowed = share * (theirs[1] - theirs[0])
    return all(abs(end - other) <= allowed for end, other in zip(found, theirs, strict=True))


def test_probability_by_hand() -> None:
    one = Matchup([1.0, 3.0], [2.0, 3.0])  # 1 beats both, 3 is level with one and beaten by the other
    other = Matchup([math.inf, math.nan], [math.inf, 0.0])  # level, and beaten
    assert probability_of_improvement([one]).value == 2.5 / 4
    assert probability_of_improvement([other]).value == 1.0 / 4
    assert probability_of_improvement([one, other]).value == pytest.approx(3.5 / 8, abs=1e-15)


def test_interquartile_mean_by_hand() -> None:
    values = np.array([[5.0, 1.0, 2.0, 3.0, 100.0], [math.inf, 1.0, 2.0, 3.0, -math.inf], [math.inf] * 2 + [0.0] * 3])
    assert interquartile_mean(values).tolist() == [10 / 3, 2.0, math.inf]
    assert interquartile_mean(np.array([[-math.inf] * 3 + [math.inf] * 3])).tolist() == [math.inf]
    assert interquartile_mean(np.array([[7.0]])).tolist() == [7.0]


def test_change_by_hand() -> None:
    one = Matchup([1.0, 2.0, 3.0, 9.0], [1.0, 1.0, 2.0, 2.0])  # from a mean of 1.5: -0.5, 0.5, 1.5, 7.5
    assert interquartile_change([one]).value == pytest.approx(1.0)
    lost = Matchup([1.0, math.inf, 3.0], [math.nan, 1.0, 3.0])  # from 2: -1, worst, 1
    assert interquartile_change([lost]).value == math.inf
    assert interquartile_change([one, lost]).value == pytest.approx((-0.5 + 0.5 + 1.0 + 1.5 + 7.5) / 5)
    assert interquartile_change([Matchup([1.0, 2.0], [math.inf] * 2)]).value == -math.inf
    assert interquartile_change([Matchup([1.0, math.nan], [math.inf] * 2)]).value == math.inf


@pytest.mark.parametrize("digits", [0, 9])
@pytest.mark.parametrize("shape", [(1, 5, 5), (4, 7, 3), (10, 20, 20)])
def test_values_are_those_of_scipy(shape: tuple[int, int, int], digits: int) -> None:
    tasks = drawn(*shape, paired=False, digits=digits)
    u = [stats.mannwhitneyu(t.other, t.own).statistic / (len(t.own) * len(t.other)) for t in tasks]
    assert probability_of_improvement(tasks).value == pytest.approx(np.mean(u), abs=1e-12)
    scores = np.concatenate([np.array(t.own) - np.mean(t.other) for t in tasks])
    assert interquartile_change(tasks).value == pytest.approx(stats.trim_mean(scores, 0.25), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 9])
def test_values_are_those_of_rliable(digits: int) -> None:
    metrics = peer("rliable.metrics")
    tasks = drawn(6, 8, 5, paired=False, digits=digits)
    own, other = (
        np.array([-np.array(getattr(t, side)) for t in tasks]).T for side in ("own", "other")
    )  # [runs, tasks]
    theirs = metrics.probability_of_improvement(own, other)
    assert probability_of_improvement(tasks).value == pytest.approx(theirs, abs=1e-12)
    assert interquartile_change(level(*tasks)).value == pytest.approx(-metrics.aggregate_iqm(own), abs=1e-12)


def test_intervals_of_independent_runs_are_those_of_rliable() -> None:
    library, metrics = peer("rliable.library"), peer("rliable.metrics")
    tasks = drawn(4, 10, 8, paired=False)
    own, other = (np.array([-np.array(getattr(t, side)) for t in tasks]).T for side in ("own", "other"))
    np.random.seed(0)  # theirs draws from the global generator
    _, theirs = library.get_interval_estimates({"p": [own, other]}, metrics.probability_of_improvement, reps=1000)
    ours = probability_of_improvement(tasks, resamples=MANY).interval
    assert close(ours, theirs["p"].ravel(), share=0.08)
    _, theirs = library.get_interval_estimates({"s": -own}, lambda s: np.array([metrics.aggregate_iqm(s)]), reps=4000)
    assert close(interquartile_change(level(*tasks), resamples=MANY).interval, theirs["s"].ravel(), share=0.05)


def test_intervals_of_pairs_are_those_of_scipy() -> None:
    (task,) = drawn(1, 15, 15, paired=True)

    def improvement(own: np.ndarray, other: np.ndarray) -> float:
        return float((own[:, None] < other).mean() + (own[:, None] == other).mean() / 2)

    def change(own: np.ndarray, other: np.ndarray) -> float:
        return float(stats.trim_mean(own - other.mean(), 0.25))

    data = (np.array(task.own), np.array(task.other))
    for ours, statistic in ((probability_of_improvement, improvement), (interquartile_change, change)):
        theirs = stats.bootstrap(
            data, statistic, paired=True, vectorized=False, n_resamples=5000, method="percentile", random_state=1
        ).confidence_interval
        assert close(ours([task], resamples=MANY).interval, theirs, share=0.05)


def test_pairs_that_go_together_have_a_shorter_interval() -> None:
    draw = np.random.default_rng(0)
    common = draw.normal(0, 1, 12)
    own, other = (common + draw.normal(mean, 0.1, 12) for mean in (-0.2, 0.0))
    found = [interquartile_change([Matchup(own.tolist(), other.tolist(), paired)]) for paired in (True, False)]
    paired, independent = (high - low for low, high in (one.interval for one in found))
    assert paired < independent / 3


def test_a_single_run_has_no_interval() -> None:
    tasks = [Matchup([1.0], [2.0]), Matchup([1.0, 2.0], [2.0, 3.0])]
    for found in (probability_of_improvement(tasks), interquartile_change(tasks)):
        assert all(map(math.isnan, found.interval))
    assert probability_of_improvement(tasks).value == pytest.approx((1 + 3.5 / 4) / 2)


def test_an_interval_may_be_open() -> None:
    found = interquartile_change([Matchup([1.0, 2.0, 3.0, math.inf], [1.0, 2.0, 3.0, 4.0])])
    assert found.value == pytest.approx(0.0)
    assert math.isfinite(found.interval.low)
    assert found.interval.high == math.inf
    lost = interquartile_change([Matchup([1.0, 2.0, 3.0], [math.inf, math.inf, 3.0])])
    assert (lost.interval.low, lost.value) == (-math.inf, pytest.approx(-1.0))


def test_the_interval_of_few_draws_is_that_of_numpy() -> None:
    (task,) = drawn(1, 6, 6, paired=True)
    found = probability_of_improvement([task], resamples=11, confidence=0.8)
    wins = np.array(task.own)[:, None] < np.array(task.other)
    rows = np.random.default_rng(2108).integers(6, size=(11, 6))
    assert found.interval == pytest.approx(np.quantile([wins[np.ix_(row, row)].mean() for row in rows], [0.1, 0.9]))


def test_the_same_each_time() -> None:
    tasks = drawn(3, 5, 5, paired=True)
    assert probability_of_improvement(tasks) == probability_of_improvement(tasks)
    assert isinstance(interquartile_change(tasks), Aggregate)
    assert interquartile_change(tasks) == interquartile_change(tasks)


@pytest.mark.parametrize(
    ("own", "other", "paired", "message"),
    [
        ([], [1.0], False, "0 runs against 1"),
        ([1.0], [], False, "1 runs against 0"),
        ([1.0, 2.0], [1.0], True, "2 runs cannot be paired with 1"),
    ],
)
def test_what_is_refused(own: list[float], other: list[float], paired: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Matchup(own, other, paired)
