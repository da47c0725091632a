"""Passes are counted as what really happened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from lehi_cli.curvature import make_loss
from lehi_cli.optim import LEHI
from lehi_cli.steps import STEPS, Evaluation, Meter

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
