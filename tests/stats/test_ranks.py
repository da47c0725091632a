"""Ranks, records and Friedman's test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats.ranks import Record, friedman, rank_table, records

SCORES = {
    "a": {"t1": 0.1, "t2": 0.5, "t3": math.inf, "only": 1.0},
    "b": {"t1": 0.2, "t2": 0.5, "t3": 0.3},
    "c": {"t1": 0.3, "t2": 0.4, "t3": math.nan},
}


def test_ranks_by_hand() -> None:
    table = rank_table(SCORES)
    assert table.tasks == ("t1", "t2", "t3")
    assert table.left_out == ("only",)
    assert table.ranks == {"a": (1.0, 2.5, 2.5), "b": (2.0, 2.5, 1.0), "c": (3.0, 1.0, 2.5)}
    assert table.mean["a"] == pytest.approx(2.0)


def test_higher_can_be_better_but_never_diverged() -> None:
    table = rank_table(SCORES, minimize=False)
    assert table.ranks == {"a": (3.0, 1.5, 2.5), "b": (2.0, 1.5, 1.0), "c": (1.0, 3.0, 2.5)}


def test_tasks_stay_in_their_order() -> None:
    table = rank_table({"a": {"z": 1.0, "b": 1.0, "y": 1.0}, "b": {"y": 2.0, "x": 1.0, "z": 2.0}})
    assert (table.tasks, table.left_out) == (("z", "y"), ("b", "x"))


def test_no_task_in_common() -> None:
    table = rank_table({"a": {"t1": 1.0}, "b": {"t2": 1.0}})
    assert table.tasks == ()
    assert math.isnan(table.mean["a"])


def test_records_by_hand() -> None:
    table = records(SCORES)
    assert table["a", "b"] == Record(wins=1, ties=1, losses=1)
    assert table["b", "a"] == Record(wins=1, ties=1, losses=1)
    assert table["a", "c"] == Record(wins=1, ties=1, losses=1)
    assert table["b", "c"] == Record(wins=2, ties=0, losses=1)
    assert records(SCORES, tolerance=0.5)["a", "b"] == Record(wins=0, ties=2, losses=1)


@pytest.mark.parametrize("digits", [0, 1, 9])  # with few digits there are ties
@pytest.mark.parametrize("shape", [(3, 5), (4, 7), (9, 20)])
def test_friedman_is_that_of_scipy(shape: tuple[int, int], digits: int) -> None:
    values = np.random.default_rng(0).normal(size=shape).round(digits)
    scores = {f"m{i}": {f"t{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(values)}
    found, theirs = friedman(scores), stats.friedmanchisquare(*values)
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert found.note == ""


def test_friedman_says_why_not() -> None:
    assert friedman(SCORES).note == (
        "Friedman's test needs 3 methods and 5 tasks that all of them have: here are 3 and 3"
    )
    level = {name: {f"t{j}": 1.0 for j in range(6)} for name in "abc"}
    assert friedman(level).note == "all methods are level on every task"
    assert math.isnan(friedman(level).p)
