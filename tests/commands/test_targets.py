"""`--target` and the view across tasks, as they are typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of
from commanded import Lehi, document, rows
from stored import Curve, sections, write

from lehi_cli.runs.store import Store

MALFORMED = [
    ("val_loss", "malformed target 'val_loss'"),
    ("val_loss=", "malformed target 'val_loss='"),
    ("val_loss=low", "malformed target 'val_loss=low'"),
    ("val_loss=nan", "malformed target 'val_loss=nan'"),
    ("val_loss=inf", "malformed target 'val_loss=inf'"),
    ("loss=0.1", "malformed target 'loss=0.1'"),
    ("=0.1", "malformed target '=0.1'"),
    ("val_loss=0.1=0.2", "malformed target 'val_loss=0.1=0.2'"),
    ("", "malformed target ''"),
    ("test_loss=0.1", "no target can be set on the 'test' split: it is evaluated once, when the run has ended"),
    ("valid_loss=0.1", "no target can be set on the 'valid' split"),
    ("val_acuracy=0.1", "unknown target metric 'val_acuracy'; did you mean 'val_accuracy'?"),
    ("val_mae=0.1", "unknown target metric 'val_mae'"),
]


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """Three seeds, evaluations at steps 0, 10, 20, 30 and 40, two passes a step; the target 1.0 is held by some."""
    late = Curve([2, 1.9, 1.8, 1.7, 1.6])
    sections(
        tmp_path / "runs",
        {
            "digits": {
                "adam": [
                    Curve([2, 0.9, 0.8, 0.7, 0.6]),
                    Curve([2, 1.5, 0.9, 0.8, 0.7]),
                    late,
                ],
                "sgd": [
                    Curve([2, 0.9, 1.1, 0.9, 0.8]),  # left it once: arrived at 30
                    Curve([2, 1.9, 0.5], status="diverged"),
                    Curve([2, 1.9, 1.8, 1.7, 1.0]),
                ],
            }
        },
    )
    return tmp_path / "runs"


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[row[0] or "empty" for row in MALFORMED])
def test_a_target_that_is_none_is_refused_before_anything_is_trained(
    lehi: Lehi, tmp_path: Path, text: str, message: str
) -> None:
    compare = ("compare", "--task", "digits", "--steps", "2", "--target", text)
    for more in ((), ("--seeds", "auto"), ("--tune", "2")):
        result = lehi(*compare, *more)
        assert (result.code, result.out) == (2, ""), more
        assert message in result.err
        assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[row[0] or "empty" for row in MALFORMED])
def test_a_report_refuses_the_same(lehi: Lehi, curves: Path, text: str, message: str) -> None:
    result = lehi("report", "--target", text)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_who_gets_there_and_when(lehi: Lehi, curves: Path) -> None:
    result = lehi("report", "--target", "val_loss=1", "--json")
    arrivals = document(result)["sections"][0]["time_to_target"]
    assert (arrivals["metric"], arrivals["value"], arrivals["direction"]) == ("val_loss", 1.0, "min")
    found = {series["label"]: series for series in arrivals["series"]}
    assert {label: (series["reached"], series["n"]) for label, series in found.items()} == {
        "adam": (2, 3),
        "sgd": (2, 3),
    }
    steps = {label: [run["reached"] and run["reached"]["steps"] for run in own["runs"]] for label, own in found.items()}
    assert steps == {"adam": [10, 20, None], "sgd": [30, None, 40]}
    assert [run["watched"] and run["watched"]["steps"] for run in found["adam"]["runs"]] == [None, None, 40]
    assert [run["watched"] for run in found["sgd"]["runs"]] == [None, None, None]
    assert found["adam"]["median"] == {"steps": 20, "samples": 640, "passes": 40, "seconds": 1.0}
    assert found["sgd"]["median"]["steps"] == 40
    shown = rows(lehi("report", "--target", "val_loss=1").out.partition("time to val loss at most 1")[2])
    assert [row[:3] for row in shown] == [["adam", "2/3", "20 [10, 20]*"], ["sgd", "2/3", "40 [30, 40]"]]


def test_the_gate_counts_who_never_arrives_as_worst(lehi: Lehi, curves: Path) -> None:
    result = lehi("report", "--target", "val_loss=1", "--assert", "adam < sgd @ steps_to_target", "--json")
    assert result.code == 4
    (check,) = document(result)["assertions"]
    assert (check["n"], check["center"]) == (3, "median")
    assert check["difference"] == 10 - 30  # seed by seed: that, minus infinite, infinite
    assert "sgd: 1 of 3 runs have no steps_to_target and count as worst" in check["reason"]


def test_of_what_is_to_grow_more_is_there(lehi: Lehi, curves: Path) -> None:
    (section,) = document(lehi("report", "--target", "val_accuracy=0.15", "--json"))["sections"]
    arrivals = section["time_to_target"]  # accuracy is 1 - loss
    assert arrivals["direction"] == "max"
    steps = {
        own["label"]: [run["reached"] and run["reached"]["steps"] for run in own["runs"]] for own in arrivals["series"]
    }
    assert steps == {"adam": [20, 30, None], "sgd": [40, None, None]}


def test_training_can_be_the_target_and_a_filter_keeps_it(lehi: Lehi, curves: Path) -> None:
    result = lehi("report", "--target", "train_loss=0.3", "--optims", "adam")
    assert "time to train loss at most 0.3" in result.out
    assert rows(result.out.partition("time to train loss")[2])[0][:3] == ["adam", "1/3", "-"]


def test_nobody_there_is_one_line(lehi: Lehi, curves: Path) -> None:
    out = lehi("report", "--target", "val_loss=0.01").out
    assert "time to val loss at most 0.01: no run got there" in out
    assert "reached" not in out


def test_a_task_without_the_metric_is_left_alone(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for task in ("digits", "diabetes"):
        for run in runs_of("sgd,adam", task=task, seeds=2):
            write(store, run, [2.0, 1.0])
    found = {
        section["task"]: section["time_to_target"]
        for section in document(lehi("report", "--target", "val_mae=3", "--json"))["sections"]
    }
    assert found["digits"] is None
    assert found["diabetes"]["metric"] == "val_mae"


# Final losses of three seeds each, the spread too small to matter: adam wins twice, sgd once, at b they are level.
TASKS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "a": {"sgd": (2.0, 2.0, 2.0), "adam": (1.0, 1.0, 1.0)},
    "b": {"sgd": (1.0, 1.0, 1.0), "adam": (1.001, 1.001, 1.001)},
    "c": {"sgd": (1.0, 1.0, 1.0), "adam": (3.0, 3.0, 3.0)},
    "d": {"sgd": (4.0, 4.0, 4.0), "adam": (2.0, 2.0, 2.0)},
}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    store = Store(tmp_path / "runs")
    for task, optimizers in TASKS.items():
        for run in runs_of("sgd,adam", seeds=3):
            value = optimizers[run.optimizer.name][run.seed]
            write(store, replace(run, task=replace(run.task, name=task)), [5.0, value])
    return store.root


def across(lehi: Lehi, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = document(lehi("report", "--json", *more))["across"]
    return found


def test_tasks_are_looked_at_together(lehi: Lehi, tasks: Path) -> None:
    found = across(lehi)
    assert found["tasks"] == ["a", "b", "c", "d"]
    ranks = {row["label"]: (row["mean"], row["ranks"]) for row in found["ranks"]}
    assert ranks == {"sgd": (1.625, [2, 1.5, 1, 2]), "adam": (1.375, [1, 1.5, 2, 1])}  # within 1 % on b
    exact = {row["label"]: row["ranks"] for row in across(lehi, "--margin", "0")["ranks"]}
    assert exact == {"sgd": [2, 1, 1, 2], "adam": [1, 2, 2, 1]}
    records = {(row["label"], row["against"]): (row["wins"], row["ties"], row["losses"]) for row in found["records"]}
    words = [v["verdict"] for s in document(lehi("report", "--json"))["sections"] for v in s["verdicts"]]
    assert records["adam", "sgd"] == tuple(map(words.count, ("better", "inconclusive", "worse")))
    assert records["sgd", "adam"] == records["adam", "sgd"][::-1]
    out = lehi("report").out
    assert "across 4 tasks" in out
    assert "no test of the ranks: Friedman's test needs 3 methods and 5 tasks" in out


def test_filters_change_what_is_looked_across(lehi: Lehi, tasks: Path) -> None:
    assert across(lehi, "--task", "a,c")["tasks"] == ["a", "c"]
    for less in (("--task", "a"), ("--optims", "adam")):
        assert across(lehi, *less) is None
        assert "across" not in lehi("report", *less).out


def test_an_optimizer_that_diverged_is_last_on_that_task(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for task in ("a", "b"):
        for run in runs_of("sgd,adam", seeds=2):
            lost = (task, run.optimizer.name, run.seed) == ("a", "adam", 1)
            changed = replace(run, task=replace(run.task, name=task))
            write(store, changed, [5.0, 2.0 - (run.optimizer.name == "adam")], status="diverged" if lost else "ok")
    ranks = {row["label"]: row["ranks"] for row in across(lehi)["ranks"]}
    assert ranks == {"sgd": [1, 2], "adam": [2, 1]}
