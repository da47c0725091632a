"""The table of probabilities and changes."""

from __future__ import annotations

import json
import math

import pytest

from lehi_cli.analysis.standings import Standing, Standings
from lehi_cli.render.standings import standings_content, standings_table
from lehi_cli.stats.aggregate import Aggregate
from lehi_cli.stats.paired import Interval

TASKS = ("a", "b", "c")


def found(*rows: Standing, ratio_tasks: tuple[str, ...] = TASKS) -> Standings:
    return Standings("adam", TASKS, ratio_tasks, rows)


LEHI = Standing(
    "lehi",
    Aggregate(0.75, Interval(0.61, 0.88)),
    Aggregate(math.log(0.9), Interval(math.log(0.87), math.log(0.93))),
    5,
)
LOST = Standing("sgd", Aggregate(0.1, Interval(0.0, 0.2)), Aggregate(math.inf, Interval(0.1, math.inf)), 5)
SINGLE = Standing("lion", Aggregate(0.5, Interval(math.nan, math.nan)), None, 1)


def test_the_table_to_the_letter() -> None:
    table = standings_table(found(LEHI, LOST), "final validation loss")
    assert [column.heading for column in table.columns] == ["optimizer", "beats adam [95 %]", "change [95 %], %"]
    assert table.rows == [
        ["lehi", "0.75 [0.61, 0.88]", "-10.0 [-13.0, -7.0]"],
        ["sgd", "0.10 [0.00, 0.20]", "inf [10.5, inf]"],
    ]
    assert table.caption == (
        "how often a run beats one of adam, mean over 3 tasks, 0.5 is as often as not; change of the final validation "
        "loss against the mean of adam, interquartile mean of all runs over them; runs that diverged or failed are "
        "worst, bootstrap intervals for other seeds on these tasks (Agarwal et al., 2021)"
    )


def test_without_ratios_or_intervals() -> None:
    table = standings_table(found(SINGLE, ratio_tasks=()), "final test accuracy")
    assert [column.heading for column in table.columns] == ["optimizer", "beats adam [95 %]"]
    assert table.rows == [["lion", "0.5"]]
    assert "change" not in table.caption
    assert "over 2 of them" in standings_table(found(LEHI, ratio_tasks=("a", "b")), "loss").caption


def test_the_numbers_know_no_infinity() -> None:
    content = json.loads(json.dumps(standings_content(found(LEHI, LOST, SINGLE)), allow_nan=False))
    assert (content["reference"], content["tasks"], content["change_tasks"]) == ("adam", list(TASKS), list(TASKS))
    lehi, lost, single = content["rows"]
    assert lehi["probability"] == {"value": 0.75, "interval": [0.61, 0.88]}
    assert lehi["change_percent"]["value"] == pytest.approx(-10)
    assert lost["change_percent"] == {"value": None, "interval": [pytest.approx(100 * math.expm1(0.1)), None]}
    assert single == {"label": "lion", "probability": {"value": 0.5, "interval": [None, None]}, "change_percent": None}
