"""A user's own loss, with its own factor."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lehi_cli.curvature.loss import Loss
from lehi_cli.curvature.output_hessian import output_hessian_product

FactorFunction = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]
CountFunction = Callable[[Tensor, Tensor], Tensor | float]

_COUNTS: dict[str, CountFunction] = {
    "rows": lambda outputs, targets: outputs.shape[0],
    "elements": lambda outputs, targets: outputs.numel(),
    "sum": lambda outputs, targets: 1,
}
_HOW = (
    "'rows' (averaged over the outputs' first axis), 'elements' (over all outputs), 'sum' (not averaged) or a callable "
    "predictions(outputs, targets) -> what the loss divides by"
)


class CustomLoss(Loss):
    """A loss f = (1/D) sum_n l(p_n, y_n) given as a callable, with the factor of its Hessian in the outputs.

    For a scalar output v = sqrt(l''(p, y)) is enough: the auxiliary loss is then the integral of sqrt(l'') in p.
    `check_loss` tells whether all three arguments fit together.

    Args:
        loss: `loss(outputs, targets)` -> scalar, the reduced loss.
        factor: `factor(outputs, targets, generator)` -> v of the outputs' shape, *not* divided by D, with
            E[v_n v_n^T] = Lam_n. It is called without gradient tracking, with outputs in float32 or wider.
        predictions: D, what the loss averages over: `"rows"`, the length of the outputs' first axis; `"elements"`, the
            number of outputs; `"sum"`, nothing, D = 1; or `predictions(outputs, targets)` -> D.

    Raises:
        TypeError: when loss or factor is not callable, and when `predictions` is not given; at a call, when the factor
            is not a tensor.
        ValueError: for any other string as `predictions`; at a call, when the factor's shape is not the outputs'.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        factor: FactorFunction,
        predictions: CountFunction | Literal["rows", "elements", "sum"] | None = None,
    ) -> None:
        super().__init__("sum" if predictions == "sum" else "mean")
        for name, function in (("loss", loss), ("factor", factor)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {function!r}")
        self._loss = loss
        self._user_factor = factor
        self._user_predictions = _count_function(predictions)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The user's loss."""
        return self._loss(outputs, targets)

    def split(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The user's loss, or its `split` if it is a `Loss` that was given another factor."""
        return self._loss.split(outputs, targets) if isinstance(self._loss, Loss) else self._loss(outputs, targets)

    def _count(self, outputs: Tensor, targets: Tensor) -> Tensor | float:
        return self._user_predictions(outputs, targets)

    def _factor(
        self, outputs: Tensor, targets: Tensor, kind: str, generator: torch.Generator | None, sample_signs: bool
    ) -> Tensor:
        """The user's factor, whatever the `kind`, times a random sign per row of the first axis."""
        v = self._user_factor(outputs, targets, generator)
        if not isinstance(v, Tensor):
            raise TypeError(f"factor must return a tensor, got {type(v).__name__}")
        if v.shape != outputs.shape:
            raise ValueError(f"factor must return the outputs' shape {list(outputs.shape)}, got {list(v.shape)}")
        if not sample_signs:
            return v
        return v * self.draw_signs(outputs.shape[:1] + (1,) * (outputs.ndim - 1), outputs, generator)

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        """The user's loss differentiated twice, times D, because the reduced loss is already divided by it."""
        product = output_hessian_product(lambda point: self.split(point, targets), outputs, vector)
        return product * self.predictions(outputs, targets)


def _count_function(predictions: object) -> CountFunction:
    if callable(predictions):
        return predictions
    if predictions is None:
        raise TypeError(
            "a loss of your own must say over what it averages: CustomLoss(loss, factor, predictions=...) with "
            f"predictions {_HOW}"
        )
    if isinstance(predictions, str) and predictions in _COUNTS:
        return _COUNTS[predictions]
    error = ValueError if isinstance(predictions, str) else TypeError
    raise error(f"predictions must be {_HOW}, got {predictions!r}")
