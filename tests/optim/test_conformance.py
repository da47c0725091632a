"""What holds of every optimizer in the registry, whoever wrote it: one suite over all records."""

from __future__ import annotations

import copy
import inspect
import io
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import pytest
import torch
from cases import build_optimizer
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lehi_cli.curvature import make_loss
from lehi_cli.errors import UsageError
from lehi_cli.registry.optimizers import BUILT_IN, OptimizerRecord
from lehi_cli.registry.plugins import resolve
from lehi_cli.steps import STEPS, Evaluation, Meter

RECORDS = [pytest.param(record, id=record.name) for record in BUILT_IN]
every = pytest.mark.parametrize("record", RECORDS)

# What cannot be asked of a method, with the reason.
FULL_BATCHES = {"lbfgs": "its pairs mix the noise of two mini-batches", "rprop": "signs of noisy gradients flip"}
MOVES_ANYWAY = {"rprop": "its least step, 1e-6, is apart from lr"}
NO_COPY = dict.fromkeys(("soap", "lion", "adan", "ademamix"), "the package's own copy lacks its attributes") | {
    "lbfgs": "torch's own copy lacks its parameters"
}
NO_ZERO_RATE = {"prodigy": "its package refuses a rate of zero", **MOVES_ANYWAY}
RATE_ON_QUADRATIC = {"schedulefree_sgd": 0.01}  # its default, 1, is for losses that are less curved
NO_BF16: dict[str, str] = {}
COUNTED_ELSEWHERE = {
    "lbfgs": "closure calls depend on the line search",
    "hf": "products depend on when the conjugate gradients stop",
    "bdhf": "products depend on when the conjugate gradients stop",
}


@dataclass
class Problem:
    """A model and the batches it is trained on."""

    model: nn.Module
    loss: str
    batches: Callable[[int], tuple[Tensor, Tensor]]

    def evaluate(self) -> float:
        with torch.no_grad():
            return float(make_loss(self.loss)(self.model(self.batches(0)[0]), self.batches(0)[1]))

    def train(self, record: OptimizerRecord, optimizer: torch.optim.Optimizer, steps: range | int) -> Meter:
        meter = Meter()
        for step in range(steps) if isinstance(steps, int) else steps:
            torch.manual_seed(step)  # for those that draw from torch's global random numbers
            inputs, targets = self.batches(step)
            evaluation = Evaluation(self.model, make_loss(self.loss), inputs, targets, meter, nullcontext)
            STEPS[record.kind](optimizer, evaluation)
        return meter


def small(seed: int = 0) -> Problem:
    """A net with matrices, biases, a one-element and a 0-d parameter, three classes."""
    torch.manual_seed(seed)
    model = Scaled(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(24, 6, generator=generator)
        return inputs, inputs[:, :3].argmax(1)

    return Problem(model, "cross_entropy", batches)


class Scaled(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shift = nn.Parameter(torch.zeros(1))
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * self.body(inputs + self.shift)


def quadratic() -> Problem:
    """Linear regression on one batch: a convex quadratic with condition number 25."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 5, generator=generator) * torch.tensor([5.0, 3.0, 2.0, 1.5, 1.0])
    targets = inputs @ torch.randn(5, 1, generator=generator)
    torch.manual_seed(1)
    return Problem(nn.Linear(5, 1), "mse", lambda _: (inputs, targets))


@cache
def digits_data() -> tuple[Tensor, Tensor]:
    inputs, targets = load_digits(return_X_y=True)
    return torch.tensor(inputs / 16.0).float(), torch.tensor(targets).long()


def digits() -> Problem:
    inputs, targets = digits_data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(128) * 13 + step * 128
        return inputs[rows % len(inputs)], targets[rows % len(inputs)]

    return Problem(model, "cross_entropy", batches)


def weights(problem: Problem) -> list[Tensor]:
    return [p.detach().clone() for p in problem.model.parameters()]


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@every
@pytest.mark.parametrize("make", [quadratic, digits])
def test_the_loss_goes_down(record: OptimizerRecord, make: Callable[[], Problem]) -> None:
    problem = make()
    if record.name in FULL_BATCHES:
        batch = problem.batches(0)
        problem.batches = lambda _: batch
    before = problem.evaluate()
    changes: dict[str, object] = {"loss": problem.loss} if record.kind in ("curvature", "whole") else {}
    if make is quadratic and record.name in RATE_ON_QUADRATIC:
        changes["lr"] = RATE_ON_QUADRATIC[record.name]
    problem.train(record, build_optimizer(record, problem.model, **changes), 30)
    after = problem.evaluate()
    assert math.isfinite(after)
    assert after < before


@every
def test_a_saved_run_continues_bit_for_bit(record: OptimizerRecord) -> None:
    problem = small()
    optimizer = build_optimizer(record, problem.model)
    problem.train(record, optimizer, 12)
    file = io.BytesIO()
    torch.save({"model": problem.model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    problem.train(record, optimizer, range(12, 24))
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    other = small(seed=1)
    other.model.load_state_dict(saved["model"])
    restored = build_optimizer(record, other.model)
    restored.load_state_dict(saved["optimizer"])
    other.train(record, restored, range(12, 24))
    assert equal(weights(problem), weights(other))


@every
def test_a_learning_rate_of_zero_changes_nothing(record: OptimizerRecord) -> None:
    if record.name in NO_ZERO_RATE:
        pytest.skip(NO_ZERO_RATE[record.name])
    problem = small()
    before = weights(problem)
    problem.train(record, build_optimizer(record, problem.model, lr=0.0), 12)
    assert equal(before, weights(problem))


@every
def test_groups_have_rates_of_their_own(record: OptimizerRecord) -> None:
    if record.takes == "model":
        pytest.skip("sorts the model's parameters into groups of its own")
    if record.name == "lbfgs":
        pytest.skip("torch's L-BFGS refuses more than one group")
    if record.name in NO_ZERO_RATE:
        pytest.skip(NO_ZERO_RATE[record.name])
    problem = small()
    before = weights(problem)
    first, *rest = problem.model.parameters()
    problem.train(record, build_optimizer(record, [{"params": rest}, {"params": [first], "lr": 0.0}]), 12)
    (still, *moved), (start, *starts) = weights(problem), before
    assert torch.equal(still, start)
    assert not any(torch.equal(new, old) for new, old in zip(moved, starts, strict=True))


@every
def test_frozen_parameters_are_left_alone(record: OptimizerRecord) -> None:
    problem = small()
    frozen = next(problem.model.parameters())
    frozen.requires_grad_(False)
    before = weights(problem)
    problem.train(record, build_optimizer(record, problem.model), 3)
    assert torch.equal(frozen, before[0])
    assert not torch.equal(weights(problem)[1], before[1])


@every
def test_a_parameter_the_loss_does_not_depend_on_is_no_obstacle(record: OptimizerRecord) -> None:
    problem = small()
    problem.model.unused = nn.Linear(2, 2)
    before = problem.model.unused.weight.detach().clone()
    problem.train(record, build_optimizer(record, problem.model, **_no_decay(record)), 3)
    assert torch.equal(problem.model.unused.weight, before)
    assert all(w.isfinite().all() for w in weights(problem))


@every
def test_a_gradient_of_zero_moves_nothing_and_makes_no_nan(record: OptimizerRecord) -> None:
    problem = small()
    for p in problem.model.parameters():
        nn.init.zeros_(p)  # every product is zero, and so is every gradient but those of the last bias and the scale
    balanced = torch.zeros(3, 6), torch.arange(3)  # uniform outputs over balanced classes: zero there as well
    problem.batches = lambda _: balanced
    before = weights(problem)
    problem.train(record, build_optimizer(record, problem.model, **_no_decay(record)), 12)
    assert all(w.isfinite().all() for w in weights(problem))
    for new, old in zip(weights(problem), before, strict=True):
        assert torch.allclose(new, old, atol=1e-6)


@every
def test_huge_gradients_make_no_nan(record: OptimizerRecord) -> None:
    problem = small()
    optimizer = build_optimizer(record, problem.model)
    problem.train(record, optimizer, 2)
    usual = problem.batches
    problem.batches = lambda step: (1e8 * usual(step)[0], usual(step)[1])
    problem.train(record, optimizer, 1)
    assert not any(w.isnan().any() for w in weights(problem))


@every
def test_sparse_gradients_work_or_are_refused_in_words(record: OptimizerRecord) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    problem = Problem(model, "cross_entropy", lambda _: (torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 1])))
    before = model[0].weight.detach().clone()
    refusal = ""
    try:
        problem.train(record, build_optimizer(record, model), 2)
    except Exception as error:
        refusal = f"{type(error).__name__} {error}".lower()
    if refusal:
        assert "sparse" in refusal
        return
    assert model[0].weight.isfinite().all()
    assert not torch.equal(model[0].weight, before)


@every
def test_bf16_weights(record: OptimizerRecord) -> None:
    if record.name in NO_BF16:
        pytest.skip(NO_BF16[record.name])
    problem = small()
    problem.model.to(torch.bfloat16)
    usual = problem.batches
    problem.batches = lambda step: (usual(step)[0].to(torch.bfloat16), usual(step)[1])
    problem.train(record, build_optimizer(record, problem.model), 12)
    assert all(w.isfinite().all() and w.dtype == torch.bfloat16 for w in weights(problem))


@every
def test_counted_passes_are_the_stated_ones(record: OptimizerRecord) -> None:
    if record.name in COUNTED_ELSEWHERE:
        pytest.skip(COUNTED_ELSEWHERE[record.name])
    problem = small()
    meter = problem.train(record, build_optimizer(record, problem.model), 20)
    assert meter.thirds == 20 * 3 * stated_passes(record)


def stated_passes(record: OptimizerRecord) -> Fraction:
    """The number that `passes` starts with: `5/3 (...)` is five thirds."""
    return Fraction(record.passes.split()[0])


@every
def test_invalid_values_are_refused_by_name(record: OptimizerRecord) -> None:
    for option in record.options:
        with pytest.raises(UsageError, match=f"{option.name}="):
            option.check(object, record.name)  # type: ignore[arg-type]
        if option.within:
            for outside in _outside(option.within):
                value = (outside,) * len(option.default) if isinstance(option.default, tuple) else outside
                with pytest.raises(UsageError, match=f"{option.name}="):
                    option.check(value, record.name)


@every
def test_foreach_equals_single_tensor(record: OptimizerRecord) -> None:
    factory = resolve(record.factory)
    parameters = inspect.signature(getattr(factory, "__self__", factory)).parameters
    if "foreach" not in parameters or record.takes == "model":
        pytest.skip("has one path only")
    ends = []
    for foreach in (False, True):
        problem = small()
        problem.train(record, build_optimizer(record, problem.model, foreach=foreach), 20)
        ends.append(weights(problem))
    for single, multi in zip(*ends, strict=True):
        assert torch.allclose(single, multi, rtol=1e-5, atol=1e-7)


@every
def test_a_copy_goes_on_alike(record: OptimizerRecord) -> None:
    if record.name in NO_COPY:
        pytest.skip(NO_COPY[record.name])
    problem = small()
    optimizer = build_optimizer(record, problem.model)
    problem.train(record, optimizer, 5)
    other = small()
    other.model, other_optimizer = copy.deepcopy((problem.model, optimizer))
    problem.train(record, optimizer, range(5, 10))
    other.train(record, other_optimizer, range(5, 10))
    assert equal(weights(problem), weights(other))


def _no_decay(record: OptimizerRecord) -> dict[str, float]:
    return {"weight_decay": 0.0} if any(option.name == "weight_decay" for option in record.options) else {}


def _outside(interval: str) -> list[float]:
    low, high = (float(end) for end in interval[1:-1].split(","))
    below = [low - 1] if math.isfinite(low) else []
    return below + ([high + 1] if math.isfinite(high) else [])
