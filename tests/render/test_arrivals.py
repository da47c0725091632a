"""Time to target as it is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from lehi_cli.analysis.arrivals import UNITS, Arrivals, Course, SeriesArrival, Target
from lehi_cli.render.arrivals import arrival_blocks, arrival_content
from lehi_cli.render.document import Figure, Heading, Lines, Table
from lehi_cli.stats.targets import arrival

NEVER = math.inf
TARGET = Target("val", "loss", 0.1)


def units(steps: float) -> dict[str, float]:
    return {"steps": steps, "samples": 32 * steps, "passes": 1.25 * steps, "seconds": steps / 300}


def series(label: str, style: int, steps: Sequence[float | None], watched: Sequence[float]) -> SeriesArrival:
    """An optimizer whose runs arrive at these steps, of 500."""
    courses = [
        Course(seed, None if step is None else units(step), units(until), units(500))
        for seed, (step, until) in enumerate(zip(steps, watched, strict=True))
    ]
    summary = {
        unit: arrival(
            [course.times and course.times[unit] for course in courses], [course.watched[unit] for course in courses]
        )
        for unit in UNITS
    }
    return SeriesArrival(label, style, courses, summary)


THREE = Arrivals(
    TARGET,
    [
        series("lehi", 1, [280, 260, 340], [270, 250, 330]),
        series("adam", 0, [321, None, 500], [310, 500, 490]),
        series("sgd", 2, [None, 40, None], [NEVER, 30, NEVER]),
    ],
)


def table_of(arrivals: Arrivals) -> Table:
    heading, table, *_ = arrival_blocks(arrivals, "passes")
    assert heading == Heading("time to val loss at most 0.1, reached and held to the end of the run")
    assert isinstance(table, Table)
    return table


def test_the_table_to_the_letter() -> None:
    table = table_of(THREE)
    assert [column.heading for column in table.columns] == ["optimizer", "reached", *UNITS]
    assert table.rows == [
        ["lehi", "3/3", "280 [260, 340]*", "8960 [8320, 10880]*", "350 [325, 425]*", "0.933 [0.867, 1.13]*"],
        ["adam", "2/3", "500 [321, 500]", "16000 [10272, 16000]", "625 [401.2, 625]", "1.67 [1.07, 1.67]"],
        ["sgd", "1/3", "-", "-", "-", "-"],
    ]
    assert table.caption == (
        "Kaplan-Meier median [first, last of those that got there], * least, - fewer than half got there; "
        "runs that miss it are censored where they end; those that diverged or failed never get there"
    )


def test_the_figure_has_the_share_that_arrived_in_the_colours_of_the_ranking() -> None:
    _, _, figure = arrival_blocks(THREE, "passes")
    assert isinstance(figure, Figure)
    assert figure.x_label == "passes"
    assert [(trace.label, trace.style, trace.kind) for trace in figure.traces] == [
        ("adam", 0, "steps"), ("lehi", 1, "steps"), ("sgd", 2, "steps"),
    ]  # fmt: skip
    adam, lehi, sgd = figure.traces
    assert list(adam.xs) == [0, 401.25, 625]
    assert list(adam.ys) == pytest.approx([0, 1 / 3, 2 / 3])
    assert list(lehi.xs) == [0, 325, 350, 425, 625]
    assert list(lehi.ys) == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert list(sgd.ys) == pytest.approx([0, 1 / 3, 1 / 3])
    assert "val loss at most 0.1" in figure.caption
    assert "Kaplan-Meier over 3 runs each; runs that miss it are censored" in figure.caption


@pytest.mark.parametrize(
    ("shown", "cell", "says"),
    [
        (series("adam", 0, [100], [90]), "100", "- not reached"),
        (series("adam", 0, [100, 110], [90, 90]), "105 [100, 110]", "every run got there"),
    ],
    ids=["one run", "two runs"],
)
def test_too_little_for_a_figure_still_has_its_table(shown: SeriesArrival, cell: str, says: str) -> None:
    _, table = arrival_blocks(Arrivals(TARGET, [shown]), "steps")
    assert isinstance(table, Table)
    assert table.rows[0][1:3] == [f"{shown.reached}/{shown.n}", cell]  # a single optimizer is not marked as best
    assert says in table.caption


@pytest.mark.parametrize("watched", [500, NEVER])
def test_that_nobody_got_there_is_one_line(watched: float) -> None:
    missed = Arrivals(TARGET, [series("adam", 0, [None] * 3, [watched] * 3)])
    assert arrival_blocks(missed, "steps") == [Lines(["time to val loss at most 0.1: no run got there"])]


def test_large_numbers_stay_short() -> None:
    (row,) = table_of(Arrivals(TARGET, [series("adam", 0, [123456.5], [0])])).rows
    assert row == ["adam", "1/1", "123456", "3.951e+06", "154321", "412"]


def test_the_document_has_every_run() -> None:
    content = json.loads(json.dumps(arrival_content(THREE), allow_nan=False))
    assert (content["metric"], content["value"], content["direction"]) == ("val_loss", 0.1, "min")
    lehi, adam, sgd = content["series"]
    assert (lehi["label"], lehi["n"], lehi["reached"]) == ("lehi", 3, 3)
    assert lehi["median"] == units(280)
    assert sgd["median"] == dict.fromkeys(UNITS)
    assert adam["runs"][0] == {"seed": 0, "reached": units(321), "watched": None}
    assert adam["runs"][1] == {"seed": 1, "reached": None, "watched": units(500)}
    assert sgd["runs"][0] == {"seed": 0, "reached": None, "watched": None}
    assert arrival_content(Arrivals(Target("val", "accuracy", 0.9), []))["direction"] == "max"
