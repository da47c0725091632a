"""At what price optimizers are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lehi_cli.analysis.equal_price import few_steps, price_of, unequal
from lehi_cli.analysis.results import Section, Series
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.stored_run import StoredRun, StoredSpec

Spent = Sequence[tuple[str, Mapping[str, float]]]  # status and outcome of each run


def spec(kind: str = "passes") -> StoredSpec:
    return StoredSpec({"task": {"budget": {kind: 600}, "metrics": []}})


def series(label: str, spent: Spent) -> Series:
    runs = [
        StoredRun(f"{label}{seed}", "digits", label, label, {}, seed, status, spec(), {}, outcome, {}, "", Path())
        for seed, (status, outcome) in enumerate(spent)
    ]
    return Series(label, runs, [RunMetrics({}) for _ in runs])


def section(kind: str = "passes", **spent: tuple[float, float]) -> Section:
    """Of each optimizer two runs of so many steps and passes."""
    found = [
        series(label, [("ok", {"steps": steps, "passes": passes})] * 2) for label, (steps, passes) in spent.items()
    ]
    return Section("digits", spec(kind), found)


def words(found: Section, label: str, reference: str) -> str:
    by_label = {one.label: one for one in found.series}
    return price_of(found, by_label[label], by_label[reference]).words


CASES = {
    "the same": ("passes", (600, 600), (600, 600), "at equal price"),
    "whole steps of a dear one": ("passes", (7, 602), (600, 600), "at equal price"),
    "one step of a dear one": ("passes", (20, 625), (600, 600), "at equal price"),
    "one step that is much": ("passes", (4, 800), (600, 600), "at 1.33 times adam's price"),
    "two steps of a dear one": ("passes", (5, 1000), (600, 600), "at 1.67 times adam's price"),
    "one step of a very dear one": ("passes", (2, 800), (600, 600), "at 1.33 times adam's price"),
    "one step of a dear reference": ("passes", (600, 600), (20, 625), "at equal price"),
    "one step of a very dear reference": ("passes", (600, 600), (2, 800), "at 0.75 times adam's price"),
    "epochs": ("epochs", (600, 1000), (600, 600), "at 1.67 times adam's price"),
    "epochs of passes": ("epoch_passes", (360, 600), (600, 600), "at equal price"),
    "steps": ("steps", (600, 605), (600, 600), "at equal price"),
    "few steps": ("steps", (2, 3), (2, 2), "at 1.5 times adam's price"),
    "seconds": ("seconds", (350, 583), (600, 600), "in equal time, for 0.972 times adam's passes"),
    "nothing to charge the reference with": ("passes", (600, 600), (0, 0), "at an unknown price"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_price_in_words(case: str) -> None:
    kind, lehi, adam, expected = CASES[case]
    assert words(section(kind, lehi=lehi, adam=adam), "lehi", "adam") == expected


@pytest.mark.parametrize(("lehi", "adam"), [((2, 800), (600, 600)), ((3, 750), (600, 600)), ((4, 800), (600, 600))])
def test_an_equal_price_is_equal_whoever_is_the_reference(lehi: tuple[float, float], adam: tuple[float, float]) -> None:
    found = section(lehi=lehi, adam=adam)
    both = {words(found, "lehi", "adam") == "at equal price", words(found, "adam", "lehi") == "at equal price"}
    assert len(both) == 1


def test_a_run_that_diverged_saved_nothing() -> None:
    whole, short = {"steps": 600, "passes": 600.0}, {"steps": 3, "passes": 3.0}
    found = Section(
        "digits",
        spec(),
        [series("lehi", [("ok", whole), ("diverged", short), ("error", {})]), series("adam", [("ok", whole)] * 3)],
    )
    assert words(found, "lehi", "adam") == "at equal price"


def test_who_never_ended_has_an_unknown_price() -> None:
    found = Section(
        "digits",
        spec(),
        [series("lehi", [("diverged", {"steps": 3, "passes": 3.0})]), series("adam", [("ok", {})])],
    )
    price = price_of(found, *found.series)
    assert (price.words, price.is_equal) == ("at an unknown price", False)
    assert math.isnan(price.ratio)
    assert unequal(found) == []


def test_who_is_not_at_equal_price_is_named() -> None:
    found = section("epochs", adam=(600, 600), lehi=(600, 1000), sgd=(600, 600))
    assert unequal(found) == ["lehi at 1.67 times adam's price"]
    lehi = found.series[1]
    assert unequal(found, lehi) == ["adam at 0.6 times lehi's price", "sgd at 0.6 times lehi's price"]


def test_who_got_next_to_no_steps_for_the_price_is_named() -> None:
    found = section(adam=(600, 600), lehi=(1, 600), slow=(12, 600), enough=(40, 600))
    assert few_steps(found) == ["lehi got 1 step for this price", "slow got 12 steps for this price"]
    assert few_steps(section("steps", adam=(5, 5), lehi=(5, 300))) == []  # asked for so many
    assert few_steps(section(adam=(5, 5), lehi=(5, 6))) == []  # a small budget, not a dear step
