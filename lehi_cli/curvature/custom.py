"""A loss of the user's own, with a factor of the user's own."""

from collections.abc import Callable

import torch
from torch import Tensor

from lehi_cli.curvature.loss import Loss

FactorFunction = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]


class CustomLoss(Loss):
    """A loss f = (1/D) sum_n l(p_n, y_n) given as a callable, with the factor of its Hessian in the outputs.

    For a scalar output v = sqrt(l''(p, y)) will do: the auxiliary loss is then the integral of sqrt(l'') in p.

    Args:
        loss: `loss(outputs, targets)` -> scalar, the reduced loss.
        factor: `factor(outputs, targets, generator)` -> v of the outputs' shape, *not* divided by D, with
            E[v_n v_n^T] = Lam_n. It is called without gradient tracking, with outputs in float32 or wider.
        predictions: `predictions(outputs, targets)` -> D; None takes the length of the outputs' first axis.

    Raises:
        TypeError: when one of the three is not callable; at a call, when the factor is no tensor.
        ValueError: at a call, when the factor's shape is not the outputs'.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        factor: FactorFunction,
        predictions: Callable[[Tensor, Tensor], Tensor | float] | None = None,
    ) -> None:
        super().__init__("mean")
        for name, function in (("loss", loss), ("factor", factor), ("predictions", predictions or len)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {function!r}")
        self._loss = loss
        self._user_factor = factor
        self._user_predictions = predictions

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The user's loss."""
        return self._loss(outputs, targets)

    def _count(self, outputs: Tensor, targets: Tensor) -> Tensor | float:
        return outputs.shape[0] if self._user_predictions is None else self._user_predictions(outputs, targets)

    def _factor(
        self, outputs: Tensor, targets: Tensor, kind: str, generator: torch.Generator | None, sample_signs: bool
    ) -> Tensor:
        """The user's factor, whatever `kind`, times a random sign per row of the first axis."""
        v = self._user_factor(outputs, targets, generator)
        if not isinstance(v, Tensor):
            raise TypeError(f"factor must return a tensor, got {type(v).__name__}")
        if v.shape != outputs.shape:
            raise ValueError(f"factor must return the outputs' shape {list(outputs.shape)}, got {list(v.shape)}")
        if not sample_signs:
            return v
        return v * self.draw_signs(outputs.shape[:1] + (1,) * (outputs.ndim - 1), outputs, generator)

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        """By differentiating the user's loss twice; times D, which the reduced loss has in it already."""
        with torch.enable_grad():
            point = outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._loss(point, targets), point, create_graph=True)
            if not slope.requires_grad:  # a loss linear in the outputs
                return torch.zeros_like(vector)
            (product,) = torch.autograd.grad(slope, point, vector, materialize_grads=True)
        return product * self.predictions(outputs, targets)
