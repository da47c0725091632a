"""What a model is judged by beside its loss: functions `(outputs, targets) -> mean over the batch's predictions`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right predictions.

    Class targets `[...]` against logits `[..., q]`: the greatest logit. Targets of the outputs' own shape: the sign of
    the logit against 0 or 1.
    """
    if outputs.shape == targets.shape:
        return ((outputs > 0) == (targets > 0.5)).float().mean()
    return (outputs.argmax(-1) == targets).float().mean()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error, in units of the target as the task scales it; see `lehi_cli.data.units` for its own."""
    return (outputs - targets).abs().mean()


# After a whole split, from its mean loss: the mean of a batch's perplexities would be another number.
DERIVED: dict[str, Callable[[float], float]] = {
    "perplexity": lambda loss: math.exp(min(loss, 700.0)),
    "rmse": math.sqrt,
}
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"accuracy": accuracy, "mae": mae}
