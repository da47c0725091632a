"""The view across tasks: ranks, records, Friedman's test and the profile of stored runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from stored import Curve, sections

from lehi_cli.analysis.across import Across, across
from lehi_cli.analysis.arrivals import all_arrivals
from lehi_cli.analysis.results import Section, Series
from lehi_cli.runs.stored_run import StoredSpec
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
        "z": {"adam": [0.2, 0.4], "sgd": [0.25, 0.25], "lion": 0.9},  # geometric means 0.28, 0.25, 0.9
        "b": {"adam": 0.1, "sgd": 0.1005, "lion": [0.01, LOST]},  # within 1 %; the third is worst whatever else it did
        "c": {"adam": LOST, "sgd": 0.5, "lion": LOST},
    }
    found = certain(seen(tmp_path, tasks))
    assert found.ranks.tasks == ("z", "b", "c")
    assert found.ranks.ranks == {"adam": (2, 1.5, 2.5), "sgd": (1, 1.5, 1), "lion": (3, 3, 2.5)}
    assert found.labels == ("sgd", "adam", "lion")
    assert found.ranks.mean["adam"] == pytest.approx(6 / 3)
    assert found.records["sgd", "adam"] == Record(wins=0, ties=3, losses=0)  # two seeds prove nothing
    assert found.records["adam", "lion"] == Record(wins=0, ties=3, losses=0)
    assert found.friedman.note == "Friedman's test needs 3 methods and 5 tasks that all of them have: there are 3 and 3"
    assert found.profile is None
    assert found.notes == ()


def test_ranks_go_by_the_scale_of_the_task(tmp_path: Path) -> None:
    # by ratio a run that ends at 0.01 outweighs one at 0.5; the plain means would say the opposite
    own = {"adam": [0.01, 0.5], "sgd": [0.2, 0.2]}
    found = certain(seen(tmp_path / "1", {"a": own, "b": own}))
    assert found.ranks.ranks == {"adam": (1, 1), "sgd": (2, 2)}
    negative = {"adam": [-0.19, 0.3], "sgd": [0.1, 0.1]}  # no ratio: by difference, which has no margin
    found = certain(seen(tmp_path / "2", {"a": negative, "b": negative}, tolerance=0.5))
    assert found.ranks.ranks == {"adam": (1, 1), "sgd": (2, 2)}


def test_the_margin_decides_who_shares_a_rank(tmp_path: Path) -> None:
    own = {"adam": 0.1, "sgd": 0.1009, "lion": 0.1018}  # neighbours are within 1 %, the outer ones are not
    found = certain(seen(tmp_path, {"a": own, "b": own}))
    assert found.ranks.ranks == {"adam": (1.5, 1.5), "sgd": (2, 2), "lion": (2.5, 2.5)}
    strict = made_up(tmp_path, {})
    assert certain(across(strict, [None, None], "passes", 0.0)).ranks.ranks["sgd"] == (2, 2)
    assert certain(across(strict, [None, None], "passes", 0.0)).ranks.ranks["adam"] == (1, 1)


STEADY = {"adam": [0.1, 0.11, 0.1, 0.11, 0.1], "sgd": [0.2, 0.21, 0.22, 0.21, 0.2]}


def test_wins_are_verdicts(tmp_path: Path) -> None:
    sections = made_up(tmp_path, {"a": STEADY, "b": STEADY, "c": PAIR})
    found = certain(across(sections, [None] * 3, "passes", 0.01))
    assert found.records["adam", "sgd"] == Record(wins=2, ties=1, losses=0)
    assert found.records["sgd", "adam"] == Record(wins=0, ties=1, losses=2)
    words = [{("sgd", "adam"): "inconclusive"}, {("adam", "sgd"): "worse"}, {}]
    found = certain(across(sections, [None] * 3, "passes", 0.01, words=words))
    assert found.records["adam", "sgd"] == Record(wins=0, ties=2, losses=1)


def test_another_column_can_be_looked_at(tmp_path: Path) -> None:
    sections = made_up(tmp_path, {"a": STEADY, "b": STEADY})
    found = certain(across(sections, [None] * 2, "passes", 0.01, column=("val", "accuracy")))
    assert (found.column, found.labels) == (("val", "accuracy"), ("adam", "sgd"))
    assert found.records["adam", "sgd"] == Record(wins=2, ties=0, losses=0)
    assert found.standings is not None
    assert found.standings.rows[0].change is None
    assert across(sections, [None] * 2, "passes", 0.01, column=("test", "loss")) is None


def test_standings_are_against_the_reference(tmp_path: Path) -> None:
    sections = made_up(tmp_path, {"a": STEADY, "b": STEADY, "c": PAIR})
    found = certain(across(sections, [None] * 3, "passes", 0.01)).standings
    assert found is not None
    assert (found.reference, [row.label for row in found.rows]) == ("adam", ["sgd"])
    found = certain(across(sections, [None] * 3, "passes", 0.01, reference="sgd")).standings
    assert found is not None
    assert (found.reference, [row.label for row in found.rows]) == ("sgd", ["adam"])
    assert found.rows[0].improvement.value == 1.0
    assert certain(across(sections, [None] * 3, "passes", 0.01, reference="lion")).standings is None


def finals_of(means: Mapping[str, float], tasks: int, spread: float) -> dict[str, dict[str, Final]]:
    draw = np.random.default_rng(0)
    return {
        f"t{i}": {name: float(mean * np.exp(spread * draw.normal())) for name, mean in means.items()}
        for i in range(tasks)
    }


def test_groups_come_from_signed_ranks_where_the_tasks_suffice(tmp_path: Path) -> None:
    found = certain(seen(tmp_path, finals_of({"adam": 0.5, "sgd": 1.0, "lion": 1.02}, 8, 0.1)))
    assert found.friedman.p < 0.05
    assert found.groups is not None
    assert (found.groups.method, found.groups.groups) == ("wilcoxon", (("sgd", "lion"),))


def test_groups_come_from_ranks_where_ratios_or_tasks_are_missing(tmp_path: Path) -> None:
    few = certain(seen(tmp_path / "1", finals_of({"adam": 0.2, "sgd": 1.0, "lion": 1.5}, 5, 0.01)))
    assert few.groups is not None
    assert (few.groups.method, few.groups.groups) == ("nemenyi", (("adam", "sgd"), ("sgd", "lion")))
    tasks = finals_of({"adam": 0.2, "sgd": 1.0, "lion": 1.5}, 8, 0.01)
    mixed = certain(seen(tmp_path / "2", {**tasks, "t3": {"adam": -0.1, "sgd": 0.1, "lion": 0.2}}))
    assert mixed.groups is not None
    assert mixed.groups.method == "nemenyi"


def test_without_a_finding_there_are_no_groups(tmp_path: Path) -> None:
    found = certain(seen(tmp_path, finals_of({"adam": 1.0, "sgd": 1.0, "lion": 1.0}, 6, 0.1)))
    assert found.friedman.p > 0.05
    assert found.groups is None


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
    stored = series.runs[0].spec
    spec = StoredSpec({**stored.content, "task": {**stored.task, "budget": {"steps": 9}}})
    return Series(series.label, [replace(run, spec=spec) for run in series.runs], series.metrics)
