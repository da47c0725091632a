"""Each optimizer against the reference, over all tasks."""

from __future__ import annotations

import math

import pytest

from lehi_cli.analysis.standings import standings
from lehi_cli.analysis.task_scores import TaskScores
from lehi_cli.stats.aggregate import Matchup, interquartile_change, probability_of_improvement
from lehi_cli.stats.scale import Scale

RATIO, DIFFERENCE = Scale("ratio"), Scale()
A = TaskScores({"adam": {0: 1.0, 1: 1.1, 2: 1.2}, "sgd": {0: 1.3, 1: 1.2, 2: 1.1}}, RATIO)
B = TaskScores({"adam": {0: 5.0, 1: 5.5, 2: 6.0}, "sgd": {1: 7.0, 2: math.inf, 3: 1.0}}, RATIO)
C = TaskScores({"adam": {0: -1.0, 1: 0.5}, "sgd": {0: 0.0, 1: 2.0}}, DIFFERENCE)
D = TaskScores({"adam": {0: 1.0, 1: 2.0}, "sgd": {5: 2.0, 6: 3.0, 7: 4.0}}, RATIO)


def logarithms(*values: float) -> list[float]:
    return [math.log(value) for value in values]


def test_the_seeds_count_that_both_have() -> None:
    found = standings({"a": A, "b": B, "d": D}, ["adam", "sgd"], "adam")
    matchups = [
        Matchup(logarithms(1.3, 1.2, 1.1), logarithms(1.0, 1.1, 1.2)),
        Matchup([math.log(7.0), math.inf], logarithms(5.5, 6.0)),
        Matchup(logarithms(2, 3, 4), logarithms(1, 2), paired=False),
    ]
    (row,) = found.rows
    assert (row.label, row.fewest) == ("sgd", 2)
    assert row.improvement == probability_of_improvement(matchups)
    assert row.change == interquartile_change(matchups)
    assert found.notes == ("the intervals against adam are too narrow: on some task there are only 2 runs",)


def test_only_ratios_are_averaged() -> None:
    found = standings({"a": A, "c": C}, ["adam", "sgd"], "sgd")
    assert (found.tasks, found.ratio_tasks) == (("a", "c"), ("a",))
    (row,) = found.rows
    assert row.change == interquartile_change([Matchup(logarithms(1.0, 1.1, 1.2), logarithms(1.3, 1.2, 1.1))])
    assert found.notes[0] == "c: not in the change, as values there are not compared by ratio"
    assert standings({"c": C}, ["adam", "sgd"], "sgd").rows[0].change is None


def test_what_weakens_the_change_is_said() -> None:
    floored = TaskScores({"adam": {0: 0.2, 1: 0.3, 2: 0.4}, "sgd": {0: 0.5, 1: 0.6, 2: 0.2}}, Scale("ratio", 0.1))
    lost = TaskScores({"adam": {0: 1.0, 1: 2.0, 2: 3.0}, "sgd": {0: 1.0, 1: math.inf, 2: 2.0}}, RATIO)
    assert standings({"e": floored, "f": lost}, ["adam", "sgd"], "sgd").notes == (
        "e: the change is of what lies above the floor",
        "f: the change is against the runs of sgd that ended with a value",
    )


@pytest.mark.parametrize("reference_is_lost", [False, True])
def test_single_runs_and_lost_ones(reference_is_lost: bool) -> None:
    value = math.inf if reference_is_lost else 1.0
    tasks = {name: TaskScores({"adam": {0: value}, "sgd": {0: 2.0}}, RATIO) for name in "ab"}
    found = standings(tasks, ["adam", "sgd"], "adam")
    assert found.rows[0].improvement.value == (1.0 if reference_is_lost else 0.0)
    assert all(map(math.isnan, found.rows[0].improvement.interval))
    assert found.notes[-1] == "no intervals against adam: on some task a single run says nothing about others"


def test_no_spread_is_not_certainty() -> None:
    task = TaskScores({"adam": {0: 1.0, 1: 1.1, 2: 1.2}, "sgd": {0: 2.3, 1: 2.2, 2: 2.1}}, RATIO)
    found = standings({"a": task}, ["adam", "sgd"], "adam")
    assert found.rows[0].improvement.interval == (0.0, 0.0)
    assert found.notes == ("an interval of zero length means that all these runs agree, which others need not",)
