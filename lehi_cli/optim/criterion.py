"""A loss for training loops that call `loss.backward()` themselves: its backward also takes the curvature sample."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lehi_cli.curvature import Loss
from lehi_cli.optim.checked import eager

if TYPE_CHECKING:
    from lehi_cli.optim.curvature_optimizer import CurvatureOptimizer


Scaler = torch.amp.GradScaler | Callable[[], torch.amp.GradScaler]
"""A `GradScaler`, or a function that returns it, for one that is created later."""


class Criterion:
    """`criterion(outputs, targets)` -> the loss, attached to its graph, for one optimizer of the LEHI family.

    When the loss is differentiated, the sample h is pulled back from the outputs just before the gradient is, through
    the same forward pass; on steps that need none (`refresh_due` is False) nothing is added. The loss's weight c_i in
    the objective is read off the gradient that reaches it, so losses may be scaled, divided by a number of
    micro-batches, or added to one another and to penalties: `CurvatureOptimizer.backward` has the formula.

    Args:
        optimizer: the one whose sample is taken.
        loss: the loss to compute.
        factor: the kind of its factor.
        scaler: the `torch.amp.GradScaler` that scales the objective, or a function that returns it; None if nothing
            scales it.

    Source: this project; see `CurvatureOptimizer.criterion`.
    """

    def __init__(self, optimizer: "CurvatureOptimizer", loss: Loss, factor: str, scaler: Scaler | None = None) -> None:
        self.optimizer, self.loss, self.factor, self._scaler = optimizer, loss, factor, scaler

    @eager
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar equal to torch's.

        Raises:
            TypeError: for outputs that are not a tensor with a row for each sample.
        """
        check_outputs(outputs)
        loss = self.loss(outputs, targets)
        if outputs.requires_grad and loss.requires_grad:
            loss.register_hook(partial(self._before_backward, outputs, targets))
        return loss

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The `GradScaler` in use; None if there is none or it is disabled."""
        scaler = self._scaler
        if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
            scaler = scaler()
        return scaler if scaler is not None and scaler.is_enabled() else None

    def _before_backward(self, outputs: Tensor, targets: Tensor, grad: Tensor) -> None:
        if self.optimizer.refresh_due:
            with torch.no_grad():
                scaler = self.scaler
                scale = None if scaler is None else scaler.scale(torch.ones((), device=grad.device))
                # The magnitude: a loss that is maximised (weight -1) is as curved as the same loss minimised.
                weight = grad.detach().abs() if scale is None else grad.detach().abs() / scale
                self.optimizer._sample_in_backward(self.loss, self.factor, outputs, targets, weight, scale)


def check_outputs(outputs: object) -> None:
    """Refuse what cannot be a network's outputs.

    Raises:
        TypeError: naming what was given.
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(f"outputs must be a tensor, got {type(outputs).__name__}: pass what the loss is taken of")
    if outputs.ndim == 0:
        raise TypeError("outputs must have a row for each sample, got a scalar: pass the network's outputs, not a loss")
