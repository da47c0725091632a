"""Metrics beside the loss: functions `(outputs, targets) -> mean over the batch's predictions`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of correct predictions.

    For class targets `[...]` and logits `[..., q]`, the largest logit decides. For targets of the outputs' own shape,
    the sign of the logit is compared with 0 or 1.
    """
    if outputs.shape == targets.shape:
        return ((outputs > 0) == (targets > 0.5)).float().mean()
    return (outputs.argmax(-1) == targets).float().mean()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error, in the units to which the task scales the target; for its own see `lehi_cli.data.units`."""
    return (outputs - targets).abs().mean()


# Computed after a whole split, from its mean loss: the mean of the batches' perplexities would be another number.
DERIVED: dict[str, Callable[[float], float]] = {
    "perplexity": lambda loss: math.exp(min(loss, 700.0)),
    "rmse": math.sqrt,
}
# Computed on each batch, and averaged over the split.
MEASURED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"accuracy": accuracy, "mae": mae}
