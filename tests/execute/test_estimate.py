"""What a plan is expected to cost, against what its runs then cost."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from cases import runs_of
from commanded import Lehi

from lehi_cli.execute import estimate
from lehi_cli.execute.estimate import Cost, Steps, estimate_costs
from lehi_cli.execute.place import Place
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.training.loop import train

BUDGETS = [Budget("steps", 30), Budget("steps", 3), Budget("passes", 25), Budget("epochs", 1)]
STEPS = Budget("steps", 24)
OPTIMIZERS = "adam,lehi,lehi:curvature_every=4,lehi:curvature_every=7,sophia,adahessian:update_period=3"


def planned(optims: str, budget: Budget) -> list[RunSpec]:
    return [replace(run, task=replace(run.task, budget=budget)) for run in runs_of(optims)]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_the_passes_of_a_periodic_optimizer_are_those_its_run_then_takes(budget: Budget, tmp_path: Path) -> None:
    place = Place("cpu", tmp_path)
    for run in planned(OPTIMIZERS, budget):
        (cost,) = estimate_costs([run], place).values()
        assert isinstance(cost, Cost)
        outcome = train(run, "cpu", tmp_path, lambda _: None, lambda _: None)
        assert cost.passes == pytest.approx(outcome.passes), str(run.optimizer)
        assert not cost.note


def test_each_price_is_measured_once_and_told_before(tmp_path: Path) -> None:
    said: list[str] = []
    runs = runs_of("adam:lr=1e-3,adam:lr=1e-2,lehi,lehi:curvature_every=4:lr=1e-2", seeds=2, budget=STEPS)
    costs = estimate_costs(runs, Place("cpu", tmp_path), said.append)
    assert [line.split(" of ")[1].split(" on ")[0].split(":")[0] for line in said] == ["adam", "lehi", "lehi"]
    assert costs.keys() == {run.run_id for run in runs}
    passes = {run.label: cost.passes for run in runs if isinstance(cost := costs[run.run_id], Cost)}
    assert list(passes.values()) == pytest.approx([24, 24, 40, 28])


def test_without_time_one_step_is_taken_and_what_it_does_not_tell_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "SECONDS", 0.0)
    evaluated: list[str] = []
    monkeypatch.setattr(estimate.Training, "evaluate", lambda _, name: evaluated.append(name))
    for run in runs_of("adam,lehi:curvature_every=4", budget=STEPS):
        (cost,) = estimate_costs([run], Place("cpu", tmp_path)).values()
        assert isinstance(cost, Cost)
        assert cost.passes == pytest.approx(24 if run.optimizer.name == "adam" else 40)
        rough = "" if run.optimizer.name == "adam" else "its work repeats after 4 steps, and there was time for 1"
        assert cost.note.endswith(rough)
        assert bool(cost.note) == bool(rough)
    assert not evaluated  # a whole split would take longer than a step


def test_steps_repeat_after_the_first() -> None:
    steps = Steps([Fraction(5), Fraction(3)], [Fraction(3), Fraction(3), Fraction(5), Fraction(3)], 0.1)
    assert [steps.thirds(n) for n in range(9)] == [0, 5, 8, 11, 14, 19, 22, 25, 28]
    assert steps.within(1) == 1
    assert steps.within(19 / 3) == 5
    assert steps.within(20 / 3) == 6


def test_a_dry_run_counts_what_comes_every_few_steps(lehi: Lehi) -> None:
    typed = ("compare", "--task", "digits", "--optims", "lehi:curvature_every=4,adam", "--seeds", "1", "--dry-run")
    result = lehi(*typed, "--epochs", "30")
    assert result.code == 0, result.err
    rows = {
        line.split("|")[2].strip(): line.split("|")[5].strip() for line in result.out.splitlines() if "digits" in line
    }
    assert rows == {"lehi": "700", "adam": "600"}
    assert result.err.splitlines()[0] == "measuring a few steps of lehi on digits"
