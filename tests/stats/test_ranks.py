"""Ranks, records and Friedman's test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lehi_cli.stats.ranks import Record, friedman, rank_table, records, score_differences, side

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


def test_those_within_the_margin_of_the_better_are_level() -> None:
    scores = {"a": {"t": 1.0, "u": 1.0}, "b": {"t": 1.5, "u": 1.5}, "c": {"t": 2.0, "u": math.inf}}
    margins = {"a": {"t": 0.6, "u": 0.4}, "b": {"t": 0.6, "u": 9.0}, "c": {"t": 9.0, "u": 9.0}}
    # on t a is level with b and b with c, but a is better than c; on u the margin of a is too small
    table = rank_table(scores, margins)
    assert table.ranks == {"a": (1.5, 1.0), "b": (2.0, 2.0), "c": (2.5, 3.0)}
    assert score_differences(scores, margins, ("t", "u")) == {
        ("a", "b"): [0.0, -0.5],
        ("a", "c"): [-1.0, -math.inf],
        ("b", "c"): [0.0, -math.inf],
    }


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_ranks_of_a_task_have_one_sum(margin: float) -> None:
    draw = np.random.default_rng(0)
    scores = {f"m{i}": {f"t{j}": float(draw.normal()) for j in range(20)} for i in range(6)}
    scores["m0"]["t3"] = scores["m1"]["t3"] = math.inf
    margins = {method: dict.fromkeys(own, margin) for method, own in scores.items()}
    ranks = rank_table(scores, margins).ranks
    assert [sum(own[i] for own in ranks.values()) for i in range(20)] == [21.0] * 20


def test_ranks_without_a_margin_are_those_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(7, 9)).round(1)
    scores = {f"m{i}": {f"t{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(values)}
    assert list(rank_table(scores).ranks.values()) == [tuple(own) for own in stats.rankdata(values, axis=0).tolist()]


@pytest.mark.parametrize(
    ("own", "other", "margin", "expected"),
    [
        (1.0, 2.0, 0.5, -1),
        (2.0, 1.0, 0.5, 1),
        (1.0, 1.5, 0.5, 0),
        (math.inf, 1.0, 9.0, 1),
        (1.0, math.nan, 9.0, -1),
        (math.inf, math.nan, 0.0, 0),
    ],
)
def test_which_side_is_better(own: float, other: float, margin: float, expected: int) -> None:
    assert side(own, other, margin) == expected


def test_tasks_stay_in_their_order() -> None:
    table = rank_table({"a": {"z": 1.0, "b": 1.0, "y": 1.0}, "b": {"y": 2.0, "x": 1.0, "z": 2.0}})
    assert (table.tasks, table.left_out) == (("z", "y"), ("b", "x"))


def test_no_task_in_common() -> None:
    table = rank_table({"a": {"t1": 1.0}, "b": {"t2": 1.0}})
    assert table.tasks == ()
    assert math.isnan(table.mean["a"])


def test_records_by_hand() -> None:
    duels = [
        {("a", "b"): "better", ("b", "a"): "worse", ("a", "c"): "worse", ("c", "a"): "better"},
        {("a", "b"): "equivalent", ("b", "a"): "equivalent"},
        {("a", "b"): "inconclusive", ("b", "a"): "inconclusive", ("a", "c"): "worse", ("c", "a"): "better"},
    ]
    table = records(duels, ["a", "b", "c"])
    assert table["a", "b"] == Record(wins=1, ties=2, losses=0)
    assert table["b", "a"] == Record(wins=0, ties=2, losses=1)
    assert table["c", "a"] == Record(wins=2, ties=0, losses=0)
    assert table["b", "c"] == Record(wins=0, ties=0, losses=0)


@pytest.mark.parametrize("digits", [0, 1, 9])  # with few digits there are ties
@pytest.mark.parametrize("shape", [(3, 5), (4, 7), (9, 20)])
def test_friedman_is_that_of_scipy(shape: tuple[int, int], digits: int) -> None:
    values = np.random.default_rng(0).normal(size=shape).round(digits)
    scores = {f"m{i}": {f"t{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(values)}
    found, theirs = friedman(rank_table(scores)), stats.friedmanchisquare(*values)
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert found.note == ""


def test_friedman_says_why_not() -> None:
    assert friedman(rank_table(SCORES)).note == (
        "Friedman's test needs 3 methods and 5 tasks that all of them have: there are 3 and 3"
    )
    level = {name: {f"t{j}": 1.0 for j in range(6)} for name in "abc"}
    assert friedman(rank_table(level)).note == "all methods are level on every task"
    assert math.isnan(friedman(rank_table(level)).p)
