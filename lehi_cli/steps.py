"""How the training loop drives an optimizer: one function per kind, over one `Evaluation` of a mini-batch.

An optimizer touches model and loss only through the evaluation, so its price is counted in one place, as what really
happened: a forward pass costs 1/3 of a gradient, each backward pass through the outputs 2/3, whoever asks for it.
Counts are kept in thirds, so they are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from lehi_cli.curvature import Loss

FORWARD = 1
BACKWARD = 2


@dataclass
class Meter:
    """Compute spent, in thirds of a gradient (one forward and one backward pass over a mini-batch)."""

    thirds: int = 0

    @property
    def passes(self) -> float:
        """Gradient equivalents spent."""
        return self.thirds / 3


class Evaluation:
    """One mini-batch under the current weights, and the ways to evaluate and differentiate its loss.

    A recurrent model on one long sequence also has a state: every forward pass starts from the state the batch was met
    with, however often the optimizer asks for one, and `next_state` is what the last of them left.
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
        self.next_state: object = None
        self.targets = targets

    def forward(self) -> Tensor:
        """Outputs of the model; counted, and every backward pass that starts from them will be."""
        self._meter.thirds += FORWARD
        with self._precision():
            outputs, self.next_state = run_model(self._model, self._inputs, self._state)
        outputs.register_hook(self._count_backward)
        return outputs

    def _count_backward(self, _: Tensor) -> None:
        self._meter.thirds += BACKWARD

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
    """One forward pass for both gradients: LEHI and its kin, which have a `backward(outputs, targets)` of their own."""
    optimizer.zero_grad()
    loss: Tensor = optimizer.backward(evaluation.forward(), evaluation.targets)  # type: ignore[attr-defined]
    optimizer.step()
    return loss.detach()


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
    return first[0]


STEPS: dict[str, Callable[[Optimizer, Evaluation], Tensor]] = {
    "gradient": gradient_step,
    "curvature": curvature_step,
    "closure": closure_step,
}
