"""When runs get to a target, and what is made of those that do not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from stored import Curve, sections

from lehi_cli.analysis.arrivals import Arrivals, SeriesArrival, Target, all_arrivals, arrivals, parse_target
from lehi_cli.errors import UnknownNameError, UsageError

LOSS = Target("val", "loss", 0.1)


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("val_loss=0.1", LOSS, "val loss at most 0.1"),
        ("val_accuracy=0.95", Target("val", "accuracy", 0.95), "val accuracy at least 0.95"),
        ("train_loss=1e-3", Target("train", "loss", 0.001), "train loss at most 0.001"),
        ("val_mae=-2", Target("val", "mae", -2.0), "val mae at most -2"),
    ],
)
def test_targets_are_read_and_put_in_words(text: str, target: Target, words: str) -> None:
    assert parse_target(text) == target
    assert str(target) == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("val_loss", "malformed target 'val_loss'"),
        ("val_loss=low", "malformed target 'val_loss=low'"),
        ("val_loss=", "malformed target"),
        ("val_loss=nan", "malformed target"),
        ("val_loss=inf", "malformed target"),
        ("=0.1", "malformed target"),
        ("loss=0.1", "malformed target"),
        ("val_=0.1", "malformed target"),
        ("test_loss=0.1", "'test' split: it is evaluated once"),
        ("vall_loss=0.1", "'vall' split"),
    ],
)
def test_malformed_targets_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        parse_target(text)
    assert "val_loss" in refused.value.hint


def only(arrived: Arrivals | None) -> SeriesArrival:
    """The one series of a section that has one."""
    assert arrived is not None
    (series,) = arrived.series
    return series


def one(tmp_path: Path, *curves: Curve, target: Target = LOSS) -> SeriesArrival:
    """The only optimizer of a section with these runs."""
    (section,) = sections(tmp_path, {"t": {"adam": curves}})
    return only(arrivals(section, target))


def test_all_units_by_hand(tmp_path: Path) -> None:
    series = one(tmp_path, Curve([1, 0.3, 0.1, 0.05]), Curve([1, 0.09, 0.2, 0.08]), Curve([1, 0.09, 0.09, 0.09]))
    assert [dict(course.times or {}) for course in series.courses] == [
        {"steps": 20, "samples": 640, "passes": 40.0, "seconds": 1.0},
        {"steps": 30, "samples": 960, "passes": 60.0, "seconds": 1.5},
        {"steps": 10, "samples": 320, "passes": 20.0, "seconds": 0.5},
    ]
    assert (series.n, series.reached) == (3, 3)
    assert {unit: found.median for unit, found in series.summary.items()} == {
        "steps": 20, "samples": 640, "passes": 40.0, "seconds": 1.0,
    }  # fmt: skip
    assert series.times("steps") == [10, 20, 30]


HELD = [1, 0.3, 0.09, 0.09]  # below 0.1 from step 20 on


@pytest.mark.parametrize(
    ("curve", "arrived", "watched"),
    [
        (Curve(HELD), 20, None),
        (Curve([0.1, 0.1, 0.1]), 0, None),
        (Curve([1, 0.05, 0.2]), None, 20),
        (Curve([1, 0.05, math.nan], "diverged"), None, math.inf),
        (Curve(HELD, "diverged"), None, math.inf),
        (Curve([], "oom"), None, math.inf),
        (Curve(HELD, "killed"), None, math.inf),
        (Curve([1, 0.5], "interrupted"), None, 10),
        (Curve(HELD, "interrupted"), None, 10),
        (Curve([0.1, 0.1], "running"), None, 0),
        (Curve([], "running"), None, 0),
        (Curve([1, 0.5, 0.4], "pruned"), None, 20),
        (Curve([], "ok"), None, 0),
    ],
)
def test_what_becomes_of_a_run(tmp_path: Path, curve: Curve, arrived: float | None, watched: float) -> None:
    (course,) = one(tmp_path, curve).courses
    assert (course.times and course.times["steps"]) == arrived
    if arrived is None:
        assert course.watched["steps"] == watched
    assert course.ends["steps"] == max(10 * (len(curve.losses) - 1), 0)


def test_to_diverge_early_does_not_pay(tmp_path: Path) -> None:
    wild = [Curve([1, 0.05, 0.05]), *[Curve([1, math.nan], "diverged")] * 2]
    stopped = [Curve([1, 0.05, 0.05]), *[Curve([1], "interrupted")] * 2]
    (section,) = sections(tmp_path, {"t": {"adam": wild, "sgd": stopped}})
    found = arrivals(section, LOSS)
    assert found is not None
    medians = {series.label: series.summary["steps"].median for series in found.series}
    assert medians == {"adam": None, "sgd": 10}


def test_the_share_that_has_arrived_is_that_of_kaplan_and_meier(tmp_path: Path) -> None:
    curves = [Curve([1, 0.05, 0.05, 0.05]), Curve([1, 1], "interrupted"), Curve([1, 1, 0.05, 0.05]), Curve([1] * 5)]
    series = one(tmp_path, *curves)
    # 4 are under way at step 10, where one arrives; one is censored there; 2 at step 20, where one arrives.
    assert series.share("steps") == ([0, 10, 20, 40], [0, 0.25, 0.625, 0.625])
    assert one(tmp_path / "2", Curve([0.1, 0.1]), Curve([1, 0.1])).share("passes") == ([0, 20], [0.5, 1])
    assert one(tmp_path / "3", Curve([], "error")).share("seconds") == ([0], [0])


def test_the_first_to_arrive_comes_first_and_keeps_its_colour(tmp_path: Path) -> None:
    (section,) = sections(
        tmp_path,
        {
            "t": {
                "adam": [Curve([1, 0.09, 0.08, 0.08])],
                "sgd": [Curve([1, 0.9, 0.1, 0.01])],
                "lion": [Curve([1, 0.9, 0.9, 0.9])],
            }
        },
    )
    assert [series.label for series in section.ranked()] == ["sgd", "adam", "lion"]
    found = arrivals(section, LOSS)
    assert found is not None
    assert [(series.label, series.style) for series in found.series] == [("adam", 1), ("sgd", 0), ("lion", 2)]


def test_more_can_be_better_and_training_can_be_asked_about(tmp_path: Path) -> None:
    (section,) = sections(tmp_path, {"t": {"adam": [Curve([1, 0.3, 0.2, 0.15])]}})
    assert only(arrivals(section, Target("val", "accuracy", 0.8))).times("steps") == [20]
    assert only(arrivals(section, Target("train", "loss", 0.15))).times("steps") == [10]


def test_the_target_of_the_task_is_that_of_its_latest_run(tmp_path: Path) -> None:
    curves = [Curve([1, 0.3, 0.1])] * 2
    (section,) = sections(tmp_path, {"t": {"adam": curves}}, val_loss=0.3)
    found = arrivals(section, None)
    assert found is not None
    assert found.target == Target("val", "loss", 0.3)
    assert only(found).times("steps") == [10, 10]
    first, last = section.runs
    for run, value in ((first, 0.3), (last, 0.1)):
        path = run.folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"target": {"val_loss": value}}))
    (section,) = sections(tmp_path, {})
    found = arrivals(section, None)
    assert found is not None
    assert found.target.value == 0.1


@pytest.mark.parametrize("target", [None, {}, {"val_loss": "low"}, {"loss": 1}, {"val_perplexity": 2.0}])
def test_runs_without_a_target_of_use_have_no_arrivals(tmp_path: Path, target: object) -> None:
    sections(tmp_path, {"t": {"adam": [Curve([1, 0.1])]}})
    (path,) = tmp_path.glob("*/run.json")
    content = json.loads(path.read_text()) | {"target": target}
    if target is None:  # as older versions wrote it
        del content["target"]
    path.write_text(json.dumps(content))
    (section,) = sections(tmp_path, {})
    assert arrivals(section, None) is None


def test_a_metric_that_no_section_has_is_refused(tmp_path: Path) -> None:
    found = sections(tmp_path, {"t": {"adam": [Curve([1, 0.1])]}, "u": {"adam": [Curve([1, 0.1])]}})
    with pytest.raises(UnknownNameError, match="unknown target metric 'val_acuracy'; did you mean 'val_accuracy'"):
        all_arrivals(found, parse_target("val_acuracy=0.9"))
    with pytest.raises(UnknownNameError) as refused:
        all_arrivals(found, parse_target("train_accuracy=0.9"))
    assert refused.value.hint == "known: train_loss, val_accuracy, val_loss"
    assert [len(each.series) for each in all_arrivals(found, LOSS) if each] == [1, 1]


def test_nobody_there_is_an_answer_too(tmp_path: Path) -> None:
    series = one(tmp_path, *[Curve([1, 0.5])] * 3)
    assert (series.reached, series.n, series.summary["passes"].median) == (0, 3, None)
    assert series.share("steps") == ([0, 10], [0, 0])
