"""Passes are counted as what really happened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from torch import nn

from lehi_cli.curvature import make_loss
from lehi_cli.optim import LEHI
from lehi_cli.training.steps import STEPS, Evaluation, Meter

STEPS_TAKEN = 40


def spend(
    kind: str, build: Callable[[nn.Module], torch.optim.Optimizer], steps: int = STEPS_TAKEN
) -> tuple[Meter, int]:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    forwards = 0

    def count(*_: object) -> None:
        nonlocal forwards
        forwards += 1

    model.register_forward_hook(count)
    optimizer, meter = build(model), Meter()
    inputs, targets = torch.randn(16, 4), torch.randint(3, (16,))
    for _ in range(steps):
        STEPS[kind](optimizer, Evaluation(model, make_loss("cross_entropy"), inputs, targets, meter, nullcontext))
    return meter, forwards


def test_a_first_order_step_is_one_pass() -> None:
    meter, _ = spend("gradient", lambda model: torch.optim.Adam(model.parameters()))
    assert meter.thirds == 3 * STEPS_TAKEN
    assert meter.passes == STEPS_TAKEN


@pytest.mark.parametrize(("every", "warmup", "refreshes"), [(1, 0, 40), (10, 0, 4), (10, 20, 22)])
def test_lehi_pays_for_each_auxiliary_backward_pass(every: int, warmup: int, refreshes: int) -> None:
    meter, forwards = spend(
        "curvature", lambda model: LEHI(model.parameters(), curvature_every=every, curvature_warmup=warmup)
    )
    assert forwards == STEPS_TAKEN
    assert meter.thirds == 3 * STEPS_TAKEN + 2 * refreshes


def test_a_closure_pays_for_each_call() -> None:
    meter, forwards = spend("closure", lambda model: torch.optim.LBFGS(model.parameters(), max_iter=5), steps=3)
    assert forwards > 3
    assert meter.passes == forwards


def meet(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[Evaluation, Meter]:
    meter = Meter()
    return Evaluation(model, make_loss("cross_entropy"), inputs, targets, meter, nullcontext), meter


def test_a_hessian_vector_product_costs_two_passes() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    evaluation, meter = meet(model, torch.randn(8, 4), torch.randint(3, (8,)))
    params = list(model.parameters())
    vector = [torch.ones_like(p) for p in params]
    gradient = torch.autograd.grad(evaluation.loss(evaluation.forward()), params, create_graph=True)
    assert meter.passes == 1
    for _ in range(3):
        torch.autograd.grad(gradient, params, vector, retain_graph=True)
    assert meter.passes == 1 + 3 * 2


@pytest.mark.parametrize("rows", [8, 4, 2, 3])
def test_a_gauss_newton_product_on_part_of_the_batch_costs_that_part(rows: int) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    evaluation, meter = meet(model, torch.randn(8, 4), torch.randint(3, (8,)))
    params = list(model.parameters())
    outputs, targets = evaluation.part(slice(0, rows))
    assert len(outputs) == len(targets) == rows
    dummy = torch.zeros_like(outputs, requires_grad=True)
    pulled = torch.autograd.grad(outputs, params, dummy, create_graph=True)
    assert meter.thirds == Fraction(3 * rows, 8)
    for _ in range(3):
        (pushed,) = torch.autograd.grad(pulled, dummy, [torch.ones_like(p) for p in params], retain_graph=True)
        torch.autograd.grad(outputs, params, pushed, retain_graph=True)
    assert meter.thirds == Fraction((3 + 3 * 6) * rows, 8)


def test_parts_of_a_batch_are_the_same_function_every_time() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 3))
    evaluation, _ = meet(model, torch.randn(8, 4), torch.randint(3, (8,)))
    first, _ = evaluation.part()
    statistics = model[1].running_mean.clone()
    after = torch.rand(1)
    torch.manual_seed(5)
    outside = torch.get_rng_state()
    again, _ = evaluation.part()
    assert torch.equal(first, again)
    assert torch.equal(statistics, model[1].running_mean)
    assert model[1].momentum == 0.1
    assert torch.equal(outside, torch.get_rng_state())
    assert after.isfinite().all()


def test_a_batch_with_a_state_is_only_had_whole() -> None:
    class Carrying(nn.Linear):
        def forward(self, inputs: torch.Tensor, state: object = None) -> tuple[torch.Tensor, object]:
            return super().forward(inputs), state

    meter = Meter()
    evaluation = Evaluation(
        Carrying(4, 3), make_loss("mse"), torch.randn(8, 4), torch.randn(8, 3), meter, nullcontext, torch.zeros(1)
    )
    outputs, targets = evaluation.part(slice(0, 2))
    assert len(outputs) == len(targets) == 8
    assert meter.thirds == 1
