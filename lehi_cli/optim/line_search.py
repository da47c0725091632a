"""How far to go along a step that a quadratic model proposes, by looking at the loss itself.

Two searches, one after the other: back along the iterates that led to the step, then down along the step.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

SHRINK, SUFFICIENT, MAX_TRIALS = 0.8, 0.01, 60


def backtrack(value: Callable[[Tensor], float], steps: Sequence[Tensor], last: float) -> tuple[Tensor, float]:
    """The step that the loss prefers, going backwards from the last one as long as the loss falls.

    Where the loss is not finite, going back goes on.

    Args:
        value: step -> the loss after it.
        steps: the steps in the order of the iterations, at least one.
        last: `value(steps[-1])`, known already.

    Returns:
        The step and its loss.
    """
    best, lowest = steps[-1], last
    for step in reversed(steps[:-1]):
        loss = value(step)
        if math.isfinite(lowest) and not loss < lowest:
            break
        best, lowest = step, loss
    return best, lowest


def armijo(
    value: Callable[[Tensor], float], step: Tensor, before: float, slope: float, full: float | None = None
) -> float:
    """The first scale a = 1, 0.8, 0.64, ... with f(w + a step) <= f(w) + 0.01 a slope; 0 after 60 that have it not.

    Args:
        value: step -> the loss after it.
        step: the full step.
        before: f(w).
        slope: gradient . step.
        full: `value(step)` if it is known already.
    """
    scale = 1.0
    for trial in range(MAX_TRIALS):
        after = full if trial == 0 and full is not None else value(scale * step)
        if after <= before + SUFFICIENT * scale * slope:
            return scale
        scale *= SHRINK
    return 0.0
