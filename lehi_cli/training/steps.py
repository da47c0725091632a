"""How the training loop drives an optimizer: one function per kind, over one `Evaluation` of a mini-batch.

An optimizer touches model and loss only through the evaluation, so its price is counted in one place, from what really
happens: a forward pass costs 1/3 of a gradient, each backward pass through the outputs 2/3, no matter what asks for it,
and a backward pass through such a backward pass 4/3. A Hessian-vector product (one of each of the last two) therefore
costs 2, and so does a Gauss-Newton-vector product by two backward passes. A pass over part of the mini-batch costs that
part. Counts are kept in thirds, so they are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lehi_cli.curvature import Loss

from .streams import RandomState, preserved_random, random_state, set_random_state

FORWARD = 1
BACKWARD = 2
DOUBLE_BACKWARD = 4


@dataclass
class Meter:
    """Compute spent, in thirds of a gradient (one forward and one backward pass over a mini-batch)."""

    thirds: int | Fraction = 0

    def spend(self, thirds: int | Fraction) -> None:
        """Count `thirds` of a gradient."""
        self.thirds += thirds

    @property
    def passes(self) -> float:
        """Gradient equivalents spent."""
        return float(self.thirds / 3)


_ALL = slice(None)


@contextmanager
def _still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics still; it goes on normalising by the batch's own."""
    norms = [(module, module.momentum) for module in model.modules() if isinstance(module, _BatchNorm)]
    for module, _ in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum in norms:
            module.momentum = momentum


class Evaluation:
    """One mini-batch under the current weights, and the ways to evaluate and differentiate its loss.

    A recurrent model on one long sequence also has a state: every forward pass, however often the optimizer asks for
    one, starts from the state before the batch, and `next_state` is the state after the last pass.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        meter: Meter,
        precision: Callable[[], AbstractContextManager[object]],
        state: object = None,
    ):
        self._model = model
        self._loss = loss
        self._inputs = inputs
        self._meter = meter
        self._precision = precision
        self._state = state
        self._random: RandomState | None = None
        self.next_state: object = None
        self.targets = targets

    def forward(self) -> Tensor:
        """Outputs of the model; counts this pass and every backward pass that starts from them."""
        return self._run(self._inputs, 1)

    def part(self, rows: slice = _ALL) -> tuple[Tensor, Tensor]:
        """Outputs and targets of some rows of the mini-batch, as often as asked for, always from the same function.

        Every call sees the same random numbers (dropout) as the first, and only the first moves the running statistics
        of BatchNorm. A batch that continues a sequence, and so has a state, is always evaluated whole.
        """
        rows = rows if self._state is None else _ALL
        inputs, targets = self._inputs[rows], self.targets[rows]
        share = Fraction(len(inputs), len(self._inputs))
        with self._replay():
            return self._run(inputs, share if share != 1 else 1), targets

    def _run(self, inputs: Tensor, share: int | Fraction) -> Tensor:
        self._meter.spend(FORWARD * share)
        with self._precision():
            outputs, self.next_state = run_model(self._model, inputs, self._state)
        if outputs.requires_grad:
            outputs.register_hook(partial(self._count_backward, share))
        return outputs

    def _count_backward(self, share: int | Fraction, grad: Tensor) -> None:
        self._meter.spend(BACKWARD * share)
        if grad.requires_grad:  # this backward pass has a graph: differentiating it comes through here
            grad.register_hook(lambda _: self._meter.spend(DOUBLE_BACKWARD * share))

    @contextmanager
    def _replay(self) -> Iterator[None]:
        device = self._inputs.device
        if self._random is None:
            self._random = random_state(device)
            yield
            return
        with preserved_random(device), _still_statistics(self._model):
            set_random_state(self._random, device)
            yield

    def loss(self, outputs: Tensor) -> Tensor:
        """The training loss of `outputs`, a scalar."""
        return self._loss(outputs, self.targets)


def run_model(model: nn.Module, inputs: Tensor, state: object) -> tuple[Tensor, object]:
    """Outputs and next state of a model; a model that returns a bare tensor has no state."""
    result = model(inputs) if state is None else model(inputs, state)
    return result if isinstance(result, tuple) else (result, None)


def gradient_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """Forward, backward, step: every first-order optimizer."""
    optimizer.zero_grad()
    loss = evaluation.loss(evaluation.forward())
    loss.backward()
    optimizer.step()
    return loss.detach()


def curvature_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """One forward pass for both gradients: LEHI and its kin, which have their own `backward(outputs, targets)`."""
    optimizer.zero_grad()
    loss = optimizer.backward(evaluation.forward(), evaluation.targets)  # type: ignore[attr-defined]
    optimizer.step()
    return _returned(loss, f"{type(optimizer).__name__}.backward")


def closure_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """Hand over a closure to call as often as it likes: L-BFGS. Returns the loss of the first call."""
    first: list[Tensor] = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = evaluation.loss(evaluation.forward())
        loss.backward()
        first.append(loss.detach())
        return float(loss.detach())

    optimizer.step(closure)
    if not first:
        raise RuntimeError(f"{type(optimizer).__name__}.step has not called the closure that it was given")
    return first[0]


def loss_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """Forward, backward, step with the loss's value: SOAA, which compares it with its prediction."""
    optimizer.zero_grad()
    loss = evaluation.loss(evaluation.forward())
    loss.backward()
    optimizer.step(loss.detach())  # type: ignore[call-overload]
    return loss.detach()


def differentiable_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """Gradients with a graph, which the optimizer differentiates once more: AdaHessian, Sophia-H.

    The graph is made only for the steps that will use it, as far as the optimizer says (`hessian_due`).
    """
    optimizer.zero_grad()
    loss = evaluation.loss(evaluation.forward())
    if not getattr(optimizer, "hessian_due", True):
        loss.backward()
        optimizer.step()
        return loss.detach()
    params = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    # Not loss.backward(create_graph=True): gradients that stay in .grad would hold the graph that holds them.
    for p, grad in zip(params, torch.autograd.grad(loss, params, create_graph=True, allow_unused=True), strict=True):
        p.grad = grad
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def whole_step(optimizer: Optimizer, evaluation: Evaluation) -> Tensor:
    """Hand over the mini-batch, to evaluate whole or in part as often as the optimizer likes: Hessian-free, SFN."""
    loss: object = optimizer.step(evaluation.part)  # type: ignore[arg-type]
    return _returned(loss, f"{type(optimizer).__name__}.step")


def _returned(loss: object, method: str) -> Tensor:
    """The loss that an optimizer must return, detached."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"{method} returns {type(loss).__name__}, and must return the loss, a tensor")
    return loss.detach()


STEPS: dict[str, Callable[[Optimizer, Evaluation], Tensor]] = {
    "gradient": gradient_step,
    "curvature": curvature_step,
    "closure": closure_step,
    "loss": loss_step,
    "differentiable": differentiable_step,
    "whole": whole_step,
}
