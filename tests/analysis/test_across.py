"""The view across tasks: ranks, records, Friedman's test and the profile of stored runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats
from stored import Curve, sections

from lehi_cli.analysis.across import Across, across
from lehi_cli.analysis.arrivals import all_arrivals
from lehi_cli.analysis.results import Section, Series
from lehi_cli.stats.ranks import Record

Final = float | Curve | Sequence[float | Curve]


Tasks = Mapping[str, Mapping[str, Final]]


def made_up(root: Path, tasks: Tasks, **target: float) -> list[Section]:
    """Made-up tasks, each optimizer with the final losses of its runs, or with their curves."""
    curves = {
        task: {name: [_curve(run) for run in (own if isinstance(own, list) else [own])] for name, own in each.items()}
        for task, each in tasks.items()
    }
    return sections(root, curves, **target)


def _curve(run: float | Curve) -> Curve:
    return run if isinstance(run, Curve) else Curve([1.0, run])


def seen(root: Path, tasks: Tasks, x: str = "passes", tolerance: float = 0.01, **target: float) -> Across | None:
    """The view across made-up tasks."""
    found = made_up(root, tasks, **target)
    return across(found, all_arrivals(found, None), x, tolerance)


def certain(found: Across | None) -> Across:
    assert found is not None
    return found


LOST = Curve([1.0, math.nan], "diverged")


def test_ranks_and_records_by_hand(tmp_path: Path) -> None:
    tasks = {
        "z": {"adam": [0.2, 0.4], "sgd": [0.25, 0.25], "lion": 0.9},  # means 0.3, 0.25, 0.9
        "b": {"adam": 0.1, "sgd": 0.1005, "lion": [0.01, LOST]},  # within 1 %; the third is worst whatever else it did
        "c": {"adam": LOST, "sgd": 0.5, "lion": LOST},
    }
    found = certain(seen(tmp_path, tasks))
    assert found.ranks.tasks == ("z", "b", "c")
    assert found.ranks.ranks == {"adam": (2, 1, 2.5), "sgd": (1, 2, 1), "lion": (3, 3, 2.5)}
    assert found.labels == ("sgd", "adam", "lion")
    assert found.ranks.mean["adam"] == pytest.approx(5.5 / 3)
    assert found.records["sgd", "adam"] == Record(wins=2, ties=1, losses=0)
    assert found.records["adam", "lion"] == Record(wins=2, ties=1, losses=0)
    assert found.friedman.note == "Friedman's test needs 3 methods and 5 tasks that all of them have: here are 3 and 3"
    assert found.profile is None
    assert found.notes == ()


def test_friedman_over_tasks_is_that_of_scipy(tmp_path: Path) -> None:
    finals = {"adam": [0.1, 0.2, 0.3, 0.2, 0.4, 0.5], "sgd": [0.2, 0.3, 0.2, 0.2, 0.5, 0.6], "lion": [0.9] * 6}
    tasks = {f"t{i}": {name: own[i] for name, own in finals.items()} for i in range(6)}
    found = certain(seen(tmp_path, tasks)).friedman
    theirs = stats.friedmanchisquare(*finals.values())
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def arriving(step: int, status: str = "ok") -> Curve:
    """A run that gets to 0.1 at a step of 10, 20, ... and ends at 80."""
    return Curve([1.0] * (step // 10) + [0.1] * (9 - step // 10), status)


def test_the_profile_by_hand(tmp_path: Path) -> None:
    tasks = {
        "a": {"adam": [arriving(10), arriving(20), arriving(20)], "sgd": [arriving(40)] * 3},  # medians 20 and 40
        "b": {"adam": [arriving(60), arriving(60), arriving(90)], "sgd": [arriving(20)] * 3},  # 60 and 20
        "c": {"adam": [arriving(10), arriving(90), arriving(90)], "sgd": [arriving(70)] * 3},  # never and 70
        "d": {"adam": [0.5] * 3, "sgd": [0.5] * 3},
    }
    found = certain(seen(tmp_path, tasks, x="steps", val_loss=0.1))
    assert found.profile is not None
    assert found.profile.ratios == (1.0, 2.0, 3.0)
    assert found.profile.shares == {"sgd": (0.5, 0.75, 0.75), "adam": (0.25, 0.25, 0.5)}
    assert found.profile.unsolved == ("d",)
    assert (found.unit, found.notes) == ("steps", ("d: no optimizer gets to the target in half of its runs",))


def test_tasks_that_the_profile_cannot_have_are_named(tmp_path: Path) -> None:
    start = Curve([0.1, 0.1])
    tasks = {"a": {"adam": arriving(10), "sgd": arriving(20)}, "b": {"adam": start, "sgd": arriving(10)}}
    found = certain(seen(tmp_path / "1", tasks, val_loss=0.1))
    assert found.profile is None
    assert found.notes == (
        "b: not in the profile, at the target from the start",
        "no profile of times to target: it takes 2 tasks",
    )
    tasks = {"a": tasks["a"], "c": {"adam": arriving(20), "sgd": arriving(10)}, "e": {"adam": 0.1, "sgd": 0.2}}
    whole = made_up(tmp_path / "2", tasks, val_loss=0.1)
    some = [*all_arrivals(whole, None)[:2], None]
    found = certain(across(whole, some, "passes", 0.0))
    assert found.profile is not None
    assert found.profile.shares == {"adam": (0.5, 1.0), "sgd": (0.5, 1.0)}
    assert found.notes == ("e: not in the profile, without a target",)


PAIR = {"adam": 0.1, "sgd": 0.2}
TRIO = {**PAIR, "lion": 0.3}


@pytest.mark.parametrize(
    ("tasks", "labels", "ranked", "notes"),
    [
        (
            [TRIO, TRIO, PAIR],
            ("adam", "sgd", "lion"),
            ("t0", "t1"),
            ("t2: left out of the ranks, without a result of lion",),
        ),
        ([TRIO, PAIR, PAIR], ("adam", "sgd"), ("t0", "t1", "t2"), ("lion: left out, on too few of the tasks",)),
        (
            [PAIR, PAIR, {"adam": 0.1}, {"adam": 0.1}, {"lion": 0.1}],
            ("adam", "sgd"),
            ("t0", "t1"),
            (
                "t2, t3: left out of the ranks, without a result of sgd",
                "t4: left out of the ranks, without a result of adam, sgd",
                "lion: left out, on too few of the tasks",
            ),
        ),
        (
            [PAIR, PAIR, {"adam": 0.1, "sgd": Curve([1.0, 0.5], "interrupted")}],
            ("adam", "sgd"),
            ("t0", "t1"),
            ("t2: left out of the ranks, without a result of sgd",),
        ),
    ],
    ids=["optimizers", "tasks", "grouped", "unfinished"],
)
def test_the_largest_rectangle_is_looked_at(
    tmp_path: Path,
    tasks: Sequence[Mapping[str, Final]],
    labels: tuple[str, ...],
    ranked: tuple[str, ...],
    notes: tuple[str, ...],
) -> None:
    found = certain(seen(tmp_path, {f"t{i}": own for i, own in enumerate(tasks)}))
    assert (found.labels, found.ranks.tasks, found.notes) == (labels, ranked, notes)


@pytest.mark.parametrize(
    "tasks",
    [
        {},
        {"a": TRIO},
        {"a": {"adam": 0.1}, "b": {"adam": 0.2}},
        {"a": PAIR, "b": {"adam": 0.1}, "c": {"sgd": 0.2}},
        {"a": PAIR, "b": {"adam": 0.1, "sgd": Curve([], "running")}},
    ],
)
def test_without_two_of_each_there_is_nothing_across(tmp_path: Path, tasks: Tasks) -> None:
    assert seen(tmp_path, tasks) is None


def test_settings_of_a_sweep_are_not_looked_at_across_tasks(tmp_path: Path) -> None:
    settings = {f"lion:lr={i}e-3": 0.1 for i in range(2, 15)}
    assert seen(tmp_path / "1", {"a": settings, "b": settings}) is None
    found = certain(seen(tmp_path / "2", {"a": {**PAIR, **settings}, "b": {**PAIR, **settings}, "c": PAIR}))
    assert found.labels == ("adam", "sgd")
    assert len(found.notes) == 1
    assert found.notes[0].endswith("and 7 more: left out, on too few of the tasks")


def test_two_budgets_of_a_task_are_two(tmp_path: Path) -> None:
    (one,) = made_up(tmp_path / "1", {"a": PAIR})
    (other,) = made_up(tmp_path / "2", {"a": PAIR})
    other = replace(other, series=[*map(rebudgeted, other.series)])
    found = certain(across([one, other, other], [None] * 3, "passes", 0.0))
    assert found.ranks.tasks == ("a, 25 steps", "a, 9 steps (1)", "a, 9 steps (2)")


def rebudgeted(series: Series) -> Series:
    """The series with another budget."""
    spec = {**series.runs[0].spec, "task": {**series.runs[0].spec["task"], "budget": {"steps": 9}}}
    return Series(series.label, [replace(run, spec=spec) for run in series.runs], series.metrics)
