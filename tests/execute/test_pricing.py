"""Measuring in turn: how the time is divided, what is counted, and who is left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cases import runs_of
from torch import nn

from lehi_cli.execute import pricing
from lehi_cli.execute.memory import TensorCounter, peak_memory
from lehi_cli.execute.place import Place
from lehi_cli.execute.pricing import Shape, measure_prices, period, shape
from lehi_cli.runs.measurements import Measured
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.training.loop import Training

HERE = Place("cpu", Path(), threads=1)
BRIEF = 1e-3  # seconds: as short as it gets


def measured(runs: Sequence[RunSpec], seconds: float = BRIEF) -> dict[str, Measured]:
    """What was found of each optimizer of one task, by its name."""
    (found,) = measure_prices(runs, HERE, seconds=seconds)
    return {each.optimizer: each for each in found.optimizers}


@pytest.mark.parametrize(
    ("step_seconds", "period", "seconds", "expected"),
    [
        ([1e-3, 1e-3], 1, 20.0, Shape(10, 50, 50)),  # a turn of 50 ms is more than 10 steps
        ([1e-3, 1e-3], 20, 20.0, Shape(10, 60, 50)),  # whole periods
        ([1e-3, 1e-3], 200, 20.0, Shape(10, 50, 50)),  # too long a period
        ([0.01, 0.01], 1, 20.0, Shape(10, 10, 5)),
        ([1e-3, 0.1], 1, 20.2, Shape(10, 10, 6)),  # geometric mean of 10 ms, but for rounding
        ([0.1, 0.3], 1, 20.1, Shape(10, 5, 1)),  # no time for 10 steps
        ([0.1, 0.3], 10, 20.1, Shape(5, 10, 1)),  # fewer rounds, of a period each
        ([1.0, 3.0], 1, 20.0, Shape(4, 3, 1)),  # never fewer, however long it takes
        ([1.0, 3.0], 10, 20.0, Shape(4, 10, 1)),
        ([1.0, 3.0], 11, 20.0, Shape(4, 3, 1)),
    ],
)
def test_the_time_is_divided(step_seconds: list[float], period: int, seconds: float, expected: Shape) -> None:
    found = shape(step_seconds, period, 10, seconds)
    assert (found.rounds, found.steps) == (expected.rounds, expected.steps)
    assert found.turn in (expected.turn, expected.turn - 1)  # 50 ms / geometric mean, rounded up


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [("adam", 1), ("lehi", 1), ("lehi:curvature_every=4", 4), ("sophia", 10), ("sophia_h:update_period=7", 7),
     ("soap:precondition_frequency=5", 5)],
)  # fmt: skip
def test_periods_are_known_by_their_names(optimizer: str, steps: int) -> None:
    (run,) = runs_of(optimizer)
    assert period(run) == steps


def test_what_is_measured() -> None:
    runs = runs_of("lehi,adam,sgd,sophia", seeds=2)
    (found,) = measure_prices(runs, HERE, seconds=BRIEF)
    assert (found.device, found.threads, found.precision, found.steps, found.rounds) == ("cpu", 1, "fp32", 10, 4)
    assert "tensors alive" in found.memory
    assert [each.optimizer for each in found.optimizers] == ["lehi", "adam", "sgd", "sophia"]
    passes = {each.optimizer: each.passes_per_step for each in found.optimizers}
    assert passes == pytest.approx({"lehi": 5 / 3, "adam": 1, "sgd": 1, "sophia": 16 / 15})
    for each, run in zip(found.optimizers, runs, strict=False):
        assert each.options == run.optimizer.options
        assert len(each.ms) == 4
        assert all(0 < value < math.inf for value in each.ms)
        assert each.note == ""
    state = {each.optimizer: each.state_bytes_per_parameter for each in found.optimizers}
    assert state["sgd"] == 0
    assert state["adam"] == pytest.approx(8, abs=0.05)  # two copies in fp32, and a step counter per tensor


def test_tasks_are_measured_apart() -> None:
    found = measure_prices(runs_of("adam,sgd", task="digits,diabetes"), HERE, seconds=BRIEF)
    assert [each.task["name"] for each in found] == ["digits", "diabetes"]
    assert [len(each.optimizers) for each in found] == [2, 2]


def test_turns_alternate_and_each_pays_for_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = 0.0, []
    cost = {"adam": 0.03, "sgd": 0.02}
    original = Training.step

    def step(self: Any, *batch: torch.Tensor) -> torch.Tensor:
        nonlocal clock
        label = self._run.label
        order.append(label)
        slow = 1 if len(order) % 5 else 3  # something else runs on the machine now and then
        clock += cost[label] * slow
        return original(self, *batch)

    monkeypatch.setattr(Training, "step", step)
    monkeypatch.setattr(pricing, "time", SimpleNamespace(perf_counter=lambda: clock))
    monkeypatch.setattr(pricing, "peak_memory", lambda *_: 1)
    (found,) = measure_prices(runs_of("adam,sgd"), HERE, rounds=2, seconds=1e9)
    warm_up = 2 * (2 * pricing.WARMUP)
    turns = [order[i : i + 2] for i in range(warm_up, len(order), 2)]  # of ⌈50 ms / √(30 · 20) ms⌉ = 3 steps, then 1
    assert found.steps == 10
    one, other = ["adam"], ["sgd"]
    first = one * 3 + other * 6 + one * 6 + other * 3
    assert order[warm_up : warm_up + 18] == first
    assert [label for turn in turns for label in turn].count("adam") == 2 * 10
    spent = [sum(each.ms) * found.steps for each in found.optimizers]
    assert sum(spent) == pytest.approx(1000 * (clock - _warm_up_seconds(order[:warm_up], cost)))


def _warm_up_seconds(order: Sequence[str], cost: dict[str, float]) -> float:
    return sum(cost[label] * (1 if i % 5 else 3) for i, label in enumerate(order, 1))


PLUGIN = """
import torch
from lehi_cli.registry.record import OptimizerRecord, Option

class Fails(torch.optim.SGD):
    def __init__(self, params, lr, after):
        if not after:
            raise RuntimeError("cannot be built")
        super().__init__(params, lr)
        self.left = after

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("no more\\nof this")
        super().step()

OPTIMIZERS = [OptimizerRecord(
    "fails", "fails after some steps", ":Fails", (Option("lr", 0.1, "rate"), Option("after", 1, "steps")))]
"""


@pytest.mark.parametrize(
    ("after", "note"),
    [(0, "not measured: RuntimeError: cannot be built"), (2, "not measured: RuntimeError: no more"),
     (10, "not measured: RuntimeError: no more")],
    ids=["built", "warm-up", "rounds"],
)  # fmt: skip
def test_one_that_fails_has_a_reason_and_the_others_prices(tmp_path: Path, after: int, note: str) -> None:
    (tmp_path / "fails.py").write_text(PLUGIN)
    runs = runs_of(f"adam,{tmp_path}/fails.py:after={after},sgd")
    found = measured(runs)
    assert (found["fails"].ms, found["fails"].passes_per_step, found["fails"].note) == ((), None, note)
    assert len(found["adam"].ms) == len(found["sgd"].ms) == 4


def test_none_that_can_be_measured(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(PLUGIN)
    (found,) = measure_prices(runs_of(f"{tmp_path}/fails.py:after=0"), HERE)
    assert (found.rounds, found.steps) == (0, 0)


def test_one_whose_memory_cannot_be_found_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise NotImplementedError("no storage")

    monkeypatch.setattr(pricing, "peak_memory", refuse)
    adam = measured(runs_of("adam"))["adam"]
    assert (adam.peak_bytes, adam.note) == (None, "peak memory not found: NotImplementedError: no storage")
    assert len(adam.ms) == 4


def test_one_that_diverges_is_timed_and_said_to() -> None:
    sgd = measured(runs_of("sgd:lr=1e30"))["sgd"]
    assert (len(sgd.ms), sgd.note) == (4, "diverged while it was measured")


@pytest.mark.parametrize("budget", [Budget("steps", 2), Budget("seconds", 1), Budget("passes", 3)], ids=str)
def test_the_budget_of_the_runs_ends_no_measurement(budget: Budget) -> None:
    found = measured(runs_of("soaa,schedulefree_adamw,adam", budget=budget))
    assert [each.note for each in found.values()] == ["", "", ""]


def linear_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    ((model(x) - y) ** 2).mean().backward()
    optimizer.step()


def test_tensors_are_counted_as_worked_out_by_hand() -> None:
    """Weights [50, 100] and inputs [20, 100] of 4 bytes, outputs [20, 50]."""
    model = nn.Linear(100, 50, bias=False)
    optimizer = torch.optim.Adam(model.parameters(), foreach=True)
    x, y = torch.ones(20, 100), torch.zeros(20, 50)
    linear_step(model, optimizer, x, y)
    counter = TensorCounter()
    state = [dict(state) for state in optimizer.state.values()]
    counter.count([model.weight, model.weight.grad, state, x, y])
    weights, step = 4 * 5000, 4
    before = 4 * weights + step + 4 * 2000 + 4 * 1000  # weights, gradient, two moments; step; inputs; targets
    assert (counter.live, counter.peak) == (before, before)
    with counter:
        linear_step(model, optimizer, x, y)
    # Adam's denominator √v + ε comes on top; activations and their gradients are gone by then. Torch may keep a scalar.
    assert counter.peak == pytest.approx(before + weights, abs=8)
    assert counter.live == before


def test_a_storage_counts_once_and_until_it_is_freed() -> None:
    counter = TensorCounter()
    with counter:
        whole = torch.zeros(1000)
        views = whole.view(10, 100).t()[:5]
        assert counter.live == 4000
        doubled = whole * 2
        assert counter.live == 8000
        del whole
        assert counter.live == 8000  # the view holds it
        del views
        assert counter.live == 4000
        doubled.add_(1)
    assert (counter.live, counter.peak) == (4000, 8000)


def test_a_batch_counts_with_its_own_size_though_it_is_a_view_of_the_data() -> None:
    data = torch.zeros(1000, 10)
    counter = TensorCounter()
    inputs, targets = data[:5], torch.zeros(5)
    with counter.lent((inputs, targets)), counter:
        assert counter.live == 4 * (50 + 5)
        inputs + 1
    assert counter.peak == 4 * (50 + 5 + 50)
    assert counter.live == 0


@pytest.mark.parametrize("optimizer", ["lbfgs:max_iter=3", "hf:max_cg=3", "adahessian", "lehi", "muon", "soap", "sfn"])
def test_every_kind_of_step_can_be_counted(optimizer: str) -> None:
    (run,) = runs_of(optimizer)
    training = Training(run, "cpu", Path())
    parameters = sum(4 * parameter.numel() for parameter in training.model.parameters())
    first = peak_memory(lambda: Training(run, "cpu", Path()), "cpu", 2)
    assert first > 2 * parameters  # and gradients
    assert peak_memory(lambda: Training(run, "cpu", Path()), "cpu", 2) == first
