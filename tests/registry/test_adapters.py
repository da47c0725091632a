"""The optimizers of other packages: what their papers say of them, and what earlier versions got wrong."""

from __future__ import annotations

import copy
import io
import itertools
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import pytorch_optimizer
import schedulefree
import torch
from cases import runs_of
from torch import Tensor, nn

from lehi_cli.curvature import make_loss
from lehi_cli.registry.adapters import AdaHessian, Prodigy, Shampoo, SophiaH
from lehi_cli.training.loop import Training
from lehi_cli.training.steps import STEPS, Evaluation, Meter

H = torch.tensor([[2.0, 3.0], [3.0, 4.0]], dtype=torch.float64)


def weight(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def matrix(rows: int = 5, columns: int = 3, seed: int = 0) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(torch.randn(rows, columns, dtype=torch.float64, generator=generator))


def descend(optimizer: torch.optim.Optimizer, w: nn.Parameter, loss: Callable[[Tensor], Tensor]) -> None:
    """One step, with a graph behind the gradient."""
    (w.grad,) = torch.autograd.grad(loss(w), w, create_graph=True)
    optimizer.step()
    w.grad = None


def quadratic(hessian: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda w: 0.5 * w @ hessian @ w


def noisy_gradients(count: int, like: Tensor) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(like.shape, dtype=like.dtype, generator=generator) for _ in range(count)]


def walk(make: Callable[..., torch.optim.Optimizer], start: Tensor, gradients: list[Tensor], **options: Any) -> Tensor:
    """Where an optimizer takes `start` when it is shown `gradients`."""
    w = nn.Parameter(start.detach().clone())
    optimizer = make([w], **options)
    for gradient in gradients:
        w.grad = gradient.clone()
        optimizer.step()
    return w.detach()


def first_step(make: Callable[..., torch.optim.Optimizer], gradient: Tensor, **options: Any) -> Tensor:
    return walk(make, torch.ones_like(gradient), [gradient], **options) - 1


def test_adahessian_is_exact_on_a_diagonal_hessian() -> None:
    w = weight(1.0, -2.0)
    optimizer = AdaHessian([w])
    descend(optimizer, w, quadratic(torch.diag(torch.tensor([2.0, 5.0], dtype=torch.float64))))
    assert optimizer.state[w]["hessian"].tolist() == [2.0, 5.0]


def test_adahessians_estimates_average_to_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    estimates = []
    for bits in itertools.product((0.0, 1.0), repeat=2):
        monkeypatch.setattr(torch, "randint_like", lambda p, low, high, bits=bits: torch.tensor(bits).to(p))
        w = weight(1.0, 1.0)
        optimizer = AdaHessian([w])
        descend(optimizer, w, quadratic(H))
        estimates.append(optimizer.state[w]["hessian"])
    assert torch.stack(estimates).mean(0).tolist() == [2.0, 4.0]


def test_the_probes_are_plus_and_minus_one() -> None:
    # (z * H z) of [[2, 3], [3, 4]] is (5, 7) for equal signs and (-1, 1) for opposite ones; all ones gave (5, 7) only.
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        w = weight(1.0, 1.0)
        optimizer = AdaHessian([w])
        descend(optimizer, w, quadratic(H))
        seen.add(tuple(optimizer.state[w]["hessian"].tolist()))
    assert seen == {(5.0, 7.0), (-1.0, 1.0)}


def test_adahessians_step_at_power_one_is_newtons() -> None:
    w = weight(1.0, -2.0)
    optimizer = AdaHessian([w], lr=0.1, eps=1e-12)
    diagonal = torch.tensor([2.0, 5.0], dtype=torch.float64)
    m = torch.zeros(2, dtype=torch.float64)
    for k in range(1, 20):
        before = w.detach().clone()
        m = 0.9 * m + 0.1 * diagonal * before
        descend(optimizer, w, quadratic(torch.diag(diagonal)))
        torch.testing.assert_close(w.detach() - before, -0.1 * m / (1 - 0.9**k) / diagonal)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_adahessians_power(power: float) -> None:
    w = weight(1.0, -2.0)
    optimizer = AdaHessian([w], lr=0.1, eps=0.0, hessian_power=power)
    diagonal = torch.tensor([2.0, 5.0], dtype=torch.float64)
    before = w.detach().clone()
    descend(optimizer, w, quadratic(torch.diag(diagonal)))
    torch.testing.assert_close(w.detach() - before, -0.1 * diagonal * before / diagonal**power)


@pytest.mark.parametrize(("kind", "period"), [(AdaHessian, 1), (AdaHessian, 3), (SophiaH, 1), (SophiaH, 10)])
def test_the_hessian_is_due_on_the_steps_that_use_it(kind: type, period: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    optimizer = kind(model.parameters(), update_period=period)
    due, passes = [], []
    for step in range(21):
        due.append(optimizer.hessian_due)
        meter = Meter()
        inputs = torch.randn(8, 4)
        loss = make_loss("cross_entropy")
        STEPS["differentiable"](optimizer, Evaluation(model, loss, inputs, inputs[:, :3].argmax(1), meter, nullcontext))
        passes.append(meter.passes)
        assert due[-1] == (step % period == 0)
    assert passes == [3.0 if d else 1.0 for d in due]


def test_the_schedule_goes_on_from_a_state_dict() -> None:
    w = weight(1.0, 1.0)
    optimizer = SophiaH([w], update_period=4)
    for _ in range(3):
        descend(optimizer, w, quadratic(H))
    resumed = SophiaH([w], update_period=4)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert not resumed.hessian_due
    w.grad = torch.ones(2, dtype=torch.float64)
    resumed.step()
    assert resumed.hessian_due


@pytest.mark.parametrize("period", [1, 10])
def test_sophia_h_uses_the_hessian_of_the_step(period: int) -> None:
    # The Hessian of sum w^4 / 12 is diag(w^2).
    w = weight(2.0, -3.0)
    optimizer = SophiaH([w], update_period=period)
    h = torch.zeros(2, dtype=torch.float64)
    for step in range(2 * period + 1):
        before = w.detach().clone()
        torch.manual_seed(step)
        z = torch.randn_like(before)
        torch.manual_seed(step)
        descend(optimizer, w, lambda w: w.pow(4).sum() / 12)
        if step % period == 0:
            h = 0.99 * h + 0.01 * z * before.square() * z
        assert (optimizer.state[w]["hessian_moment"] != 0).all()
        torch.testing.assert_close(optimizer.state[w]["hessian_moment"], h)


def test_sophia_h_bounds_the_step_by_lr_times_p() -> None:
    w = weight(2.0, -3.0)
    optimizer = SophiaH([w], lr=0.06, p=0.01)
    for _ in range(15):
        before = w.detach().clone()
        descend(optimizer, w, quadratic(H))
        assert (w.detach() - before).abs().max() <= 6e-4 * (1 + 1e-9)


def test_soaps_first_step_leaves_the_weights() -> None:
    w = matrix()
    assert torch.equal(walk(pytorch_optimizer.SOAP, w, noisy_gradients(1, w)), w)


def test_soap_without_rotation_is_adam() -> None:
    w = matrix()
    gradients = noisy_gradients(50, w)
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-16, "weight_decay": 0.0}
    ours = walk(pytorch_optimizer.SOAP, w, gradients, max_precondition_dim=1, **options)
    theirs = walk(torch.optim.Adam, w, gradients[1:], **options)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def unit(*values: float) -> Tensor:
    vector = torch.tensor(values, dtype=torch.float64)
    return vector / vector.norm()


def test_shampoos_first_step_orthogonalises_a_rank_one_gradient() -> None:
    u, v = unit(1.0, 2.0, -1.0), unit(3.0, 1.0)
    step = first_step(pytorch_optimizer.Shampoo, 3.0 * torch.outer(u, v), lr=1.0, matrix_eps=1e-12)
    torch.testing.assert_close(step, -torch.outer(u, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_grafted_shampoo_has_that_direction_and_adams_length(scale: float) -> None:
    u, v = unit(1.0, 2.0, -1.0), unit(3.0, 1.0)
    gradient = scale * torch.outer(u, v)
    step = first_step(Shampoo, gradient, lr=0.1, precondition_frequency=1)
    torch.testing.assert_close(step / step.norm(), -torch.outer(u, v), rtol=0, atol=1e-3)
    assert step.square().mean().sqrt().item() == pytest.approx(0.1, rel=1e-4)


def test_grafted_shampoo_is_rmsprop_with_momentum_until_the_first_root() -> None:
    w = matrix()
    gradients = noisy_gradients(9, w)
    m, v, expected = torch.zeros_like(w), torch.zeros_like(w), w.detach().clone()
    for gradient in gradients:
        v = 0.99 * v + 0.01 * gradient.square()
        m = 0.9 * m + 0.1 * gradient / v.sqrt()
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * m
    torch.testing.assert_close(walk(Shampoo, w, gradients, lr=0.1, weight_decay=0.5), expected, rtol=1e-7, atol=1e-9)


def test_shampoos_state_is_tensors_and_loads() -> None:
    gradients = noisy_gradients(30, matrix())

    def go(optimizer: Shampoo, w: nn.Parameter, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)  # it starts its roots at random
            w.grad = gradients[step].clone()
            optimizer.step()

    w, twin = matrix(), matrix()
    optimizer = Shampoo([w], lr=0.1, precondition_frequency=4)
    go(optimizer, w, range(30))
    optimizer = Shampoo([twin], lr=0.1, precondition_frequency=4)
    go(optimizer, twin, range(15))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed = Shampoo([twin], lr=0.1, precondition_frequency=4)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    go(resumed, twin, range(15, 30))
    assert torch.equal(w, twin)


def schedule_free(name: str, w: nn.Parameter) -> torch.optim.Optimizer:
    kind = schedulefree.AdamWScheduleFree if name == "adamw" else schedulefree.SGDScheduleFree
    optimizer: torch.optim.Optimizer = kind([w], lr=0.1)
    return optimizer


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_schedule_free_after_one_step_averages_to_the_iterate(name: str) -> None:
    w = matrix()
    optimizer = schedule_free(name, w)
    optimizer.train()
    w.grad = noisy_gradients(1, w)[0]
    optimizer.step()
    optimizer.eval()
    torch.testing.assert_close(w.detach(), optimizer.state[w]["z"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_schedule_free_keeps_its_two_sets_of_weights(name: str) -> None:
    w = matrix()
    optimizer = schedule_free(name, w)
    optimizer.train()
    for gradient in noisy_gradients(5, w):
        w.grad = gradient
        optimizer.step()
    trained = w.detach().clone()
    optimizer.eval()
    assert not torch.allclose(w, trained, rtol=1e-3)
    optimizer.train()
    torch.testing.assert_close(w.detach(), trained, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_schedule_free_refuses_to_step_while_evaluating(name: str) -> None:
    w = matrix()
    optimizer = schedule_free(name, w)
    w.grad = torch.ones_like(w)
    with pytest.raises(Exception, match="not in train mode"):
        optimizer.step()


def test_lions_steps_are_signs() -> None:
    w = matrix()
    gradients = noisy_gradients(10, w)
    for count in range(1, 10):
        moved = walk(pytorch_optimizer.Lion, w, gradients[: count + 1], lr=0.01)
        moved = moved - walk(pytorch_optimizer.Lion, w, gradients[:count], lr=0.01)
        torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.01))


def test_adans_first_step_is_a_sign() -> None:
    gradient = noisy_gradients(1, matrix())[0]
    step = first_step(pytorch_optimizer.Adan, gradient, lr=0.01, weight_decouple=True)
    torch.testing.assert_close(step, -0.01 * gradient.sign(), rtol=1e-5, atol=0)


def test_ademamix_without_the_slow_momentum_is_adamw() -> None:
    w = matrix()
    gradients = noisy_gradients(100, w)
    options = {"lr": 1e-2, "weight_decay": 0.1}
    mixed = walk(pytorch_optimizer.AdEMAMix, w, gradients, alpha=0.0, weight_decouple=True, **options)
    torch.testing.assert_close(mixed, walk(torch.optim.AdamW, w, gradients, **options), rtol=0, atol=2e-10)


def test_prodigys_first_step() -> None:
    gradient = noisy_gradients(1, matrix())[0]
    step = first_step(Prodigy, gradient)
    size = 1e-6 * (1 - 0.9) / math.sqrt(1 - 0.999)
    assert size == pytest.approx(3.16e-6, rel=1e-3)
    torch.testing.assert_close(step, -size * gradient.sign(), rtol=1e-4, atol=0)


def test_prodigys_distance_never_shrinks() -> None:
    w = weight(5.0, -3.0)
    optimizer = Prodigy([w])
    distances = []
    for _ in range(200):
        optimizer.zero_grad()
        quadratic(H @ H)(w).backward()
        optimizer.step()
        distances.append(optimizer.param_groups[0]["d"])
    assert distances == sorted(distances)
    assert distances[-1] > 1e4 * distances[0]


def test_prodigy_does_not_print(capsys: pytest.CaptureFixture[str]) -> None:
    Prodigy([weight(1.0)], weight_decay=0.1)
    assert capsys.readouterr().out == ""


TASK = """
import torch
from torch import nn

DRAWN = []

class Noisy(nn.Module):
    def __init__(self, dataset):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 10))

    def forward(self, x):
        if self.training:
            DRAWN.append((x.sum().item(), torch.rand(()).item()))
        return self.net(x)

TASK = {
    "name": "noisy", "summary": "random numbers and batch norm", "data": {"source": "digits"},
    "model": {"kind": ":Noisy"}, "loss": "cross_entropy", "batch_size": 64, "budget": {"steps": 25},
}
"""


def steps(training: Training, count: int) -> None:
    for (inputs, targets), _ in zip(training.batches(), range(count), strict=False):
        training.step(inputs, targets)


@pytest.mark.parametrize(
    ("name", "recomputed"), [("schedulefree_adamw", True), ("schedulefree_sgd", True), ("adam", False)]
)
def test_schedule_free_evaluates_with_statistics_of_its_own(name: str, recomputed: bool, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(TASK)
    (run,) = runs_of(f"{name}:lr=0.01", task="noisy.py")
    training = Training(run, "cpu", Path())
    training.evaluate("val")  # before the first step: from here on the optimizer trains
    steps(training, 10)
    trained = [p.detach().clone() for p in training.model.parameters()]
    before = training.evaluate("val").loss
    training.model.net[1].running_mean.fill_(100.0)
    after = training.evaluate("val").loss
    assert (after == pytest.approx(before)) == recomputed
    for p, q in zip(training.model.parameters(), trained, strict=True):
        torch.testing.assert_close(p.detach(), q)


@pytest.mark.parametrize("name", ["adahessian", "sophia_h", "shampoo:precondition_frequency=1", "po.Kron"])
def test_what_an_optimizer_draws_does_not_move_dropout_or_data(name: str, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(TASK)
    drawn = []
    for run in runs_of(f"{name},adam", task="noisy.py"):
        training = Training(run, "cpu", Path())
        seen = sys.modules[type(training.model).__module__].DRAWN
        seen.clear()
        steps(training, 5)
        drawn.append(list(seen))
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1]
