"""What optimizers are checked on: models of a few hundred parameters, and the batches they are trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lehi_cli.curvature import make_loss
from lehi_cli.data import embedded
from lehi_cli.training.steps import STEPS, Evaluation, Meter

Batches = Callable[[int], tuple[Tensor, Tensor]]


@dataclass
class Problem:
    """A model, its loss, and the batch for every step."""

    model: nn.Module
    loss: str
    batches: Batches

    def evaluate(self) -> float:
        """The loss on the first batch, at the current weights."""
        inputs, targets = self.batches(0)
        with torch.no_grad():
            return float(make_loss(self.loss)(self.model(inputs), targets))

    def step(self, kind: str, optimizer: Optimizer, number: int, meter: Meter) -> Tensor:
        """Take one step on batch `number`, as the training loop drives that kind, and return the loss before it."""
        inputs, targets = self.batches(number)
        evaluation = Evaluation(self.model, make_loss(self.loss), inputs, targets, meter, nullcontext)
        return STEPS[kind](optimizer, evaluation)

    def train(self, kind: str, optimizer: Optimizer, steps: range | int) -> Meter:
        """Take some steps, each with torch's global generator seeded by its number, and return what they cost."""
        meter = Meter()
        for number in range(steps) if isinstance(steps, int) else steps:
            torch.manual_seed(number)
            self.step(kind, optimizer, number, meter)
        return meter

    def weights(self) -> list[Tensor]:
        """A copy of all parameters."""
        return [p.detach().clone() for p in self.model.parameters()]


class _Scaled(nn.Module):
    """A net between a shift of one element and a scale without dimensions."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shift = nn.Parameter(torch.zeros(1))
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * self.body(inputs + self.shift)


def small(seed: int = 0) -> Problem:
    """A net with matrices, biases, a one-element and a 0-d parameter, and three classes."""
    torch.manual_seed(seed)
    model = _Scaled(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(24, 6, generator=generator)
        return inputs, inputs[:, :3].argmax(1)

    return Problem(model, "cross_entropy", batches)


def linear() -> Problem:
    """One layer, whose gradient grows with its inputs without bound; batches as in `small`."""
    problem = small()
    torch.manual_seed(0)
    problem.model = nn.Linear(6, 3)
    return problem


def quadratic() -> Problem:
    """Linear regression on one batch: a convex quadratic with condition number 25."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 5, generator=generator) * torch.tensor([5.0, 3.0, 2.0, 1.5, 1.0])
    targets = inputs @ torch.randn(5, 1, generator=generator)
    torch.manual_seed(1)
    return Problem(nn.Linear(5, 1), "mse", lambda _: (inputs, targets))


def digits() -> Problem:
    """Handwritten digits in mini-batches of 128, and a net with one hidden layer."""
    inputs, targets = _digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(128) * 13 + step * 128
        return inputs[rows % len(inputs)], targets[rows % len(inputs)]

    return Problem(model, "cross_entropy", batches)


def digits_one_batch() -> Problem:
    """The first batch of `digits`, over and over."""
    problem = digits()
    batch = problem.batches(0)
    problem.batches = lambda _: batch
    return problem


def embedding() -> Problem:
    """An embedding whose gradients are sparse, and a layer on top."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    batch = torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 1])
    return Problem(model, "cross_entropy", lambda _: batch)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    split = embedded.digits().splits["train"]
    return split.inputs.float(), split.targets.long()


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Whether two lists of tensors are the same to the last bit; NaN equals nothing."""
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def farthest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference between corresponding entries."""
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether there is neither an infinity nor a NaN."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
