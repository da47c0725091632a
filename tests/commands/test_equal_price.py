"""At what price a comparison is made, and that it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Result

Lehi = Callable[..., Result]
QUIET = ("--seeds", "3", "--quiet")


def compare(lehi: Lehi, *more: str, task: str = "digits", optims: str = "adam,lehi") -> Result:
    return lehi("compare", "--task", task, "--optims", optims, *QUIET, *more)


def spent(result: Result) -> dict[str, dict[str, float]]:
    (section,) = json.loads(result.out)["sections"]
    return {
        series["label"]: {unit: value["mean"] for unit, value in series["spent"].items()}
        for series in section["series"]
    }


@pytest.mark.parametrize(
    ("task", "key", "budget"),
    [("digits", "budget.epochs=2", "passes of 2 epochs"), ("quadratic", "budget.steps=60", "60 passes")],
)
def test_a_budget_of_the_task_is_the_same_price_for_all(lehi: Lehi, task: str, key: str, budget: str) -> None:
    result = compare(lehi, "--set", key, "--json", task=task)
    found = spent(result)
    assert found["lehi"]["passes"] == pytest.approx(found["adam"]["passes"], abs=5 / 3)
    assert found["lehi"]["steps"] == pytest.approx(0.6 * found["adam"]["steps"], abs=1)
    shown = compare(lehi, "--set", key, task=task)
    assert f"{budget} · batch" in shown.out
    assert "at equal price" in shown.out
    assert "adam's price" not in shown.out


def test_one_gradient_a_step_gives_the_numbers_of_as_many_epochs(lehi: Lehi) -> None:
    by_price = compare(lehi, "--set", "budget.epochs=2", "--json")
    by_epochs = compare(lehi, "--epochs", "2", "--json")
    finals = [
        next(series["final"] for series in json.loads(result.out)["sections"][0]["series"] if series["label"] == "adam")
        for result in (by_price, by_epochs)
    ]
    assert finals[0] == finals[1]


@pytest.mark.parametrize("budget", [("--steps", "12"), ("--epochs", "0.6")])
def test_other_budgets_say_at_how_many_times_the_price(lehi: Lehi, budget: tuple[str, str]) -> None:
    result = compare(lehi, *budget, "--assert", "lehi < adam")
    words = "lehi at 1.67 times adam's price"
    assert "at 1.67 times adam's price" in result.out.split("\n\n")[1]
    assert "| at the price of" in result.out
    assert result.out.count(f"({words})") == 3  # both curves and the final values
    assert f"lehi < adam on digits, {words}, is " in result.out
    brief = compare(lehi, *budget, "--assert", "lehi < adam", "--brief")
    assert words in brief.out
    verdict, *_ = documents(compare(lehi, *budget, "--json"))["sections"][0]["verdicts"]
    assert verdict["price_ratio"] == pytest.approx(5 / 3)


def test_ranks_say_it_too(lehi: Lehi) -> None:
    result = compare(lehi, "--steps", "6", task="digits,diabetes")
    assert "digits: lehi at 1.67 times adam's price; diabetes: lehi at 1.67 times adam's price" in result.out
    assert (
        "by mean final validation loss · at equal price" in compare(lehi, "--passes", "10", task="digits,diabetes").out
    )


def test_who_gets_next_to_no_steps_for_the_price_is_named(lehi: Lehi) -> None:
    result = compare(lehi, "--passes", "60", optims="adam,sfn_fixed", task="quadratic")
    assert "sfn_fixed got 1 step for this price" in result.out
    assert "adam got" not in result.out


def test_tuning_and_sweeps_are_at_equal_price_too(lehi: Lehi) -> None:
    task = ("--task", "digits", "--optims", "adam,lehi", "--set", "budget.epochs=0.6", "--quiet", "--json")
    for typed in (("sweep", "--over", "lr=0.001,0.01"), ("compare", "--tune", "2", "--seeds", "2")):
        found = spent(lehi(typed[0], *task, *typed[1:]))
        passes = {label: own["passes"] for label, own in found.items()}
        assert max(passes.values()) - min(passes.values()) <= 5 / 3


def test_two_budgets_contradict_each_other(lehi: Lehi) -> None:
    result = compare(lehi, "--passes", "10", "--epochs", "2")
    assert result.code == 2
    assert "--epochs and --passes are two budgets" in result.err


def documents(result: Result) -> Any:
    return json.loads(result.out)
