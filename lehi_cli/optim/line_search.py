"""How far to go along a step that a quadratic model proposes, judged by the loss itself.

Two searches, one after the other: back along the iterates that led to the step, then back along the step itself.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

SHRINK, SUFFICIENT, MAX_TRIALS = 0.8, 0.01, 60


def backtrack(value: Callable[[Tensor], float], steps: Sequence[Tensor], last: float) -> tuple[Tensor, float]:
    """The best step, going backwards from the last one for as long as the loss falls.

    While the loss is not finite, the search goes on.

    Args:
        value: step -> the loss after it.
        steps: the steps in the order of the iterations, at least one.
        last: `value(steps[-1])`, already known.

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
    """The first scale a = 1, 0.8, 0.64, ... with f(w + a step) <= f(w) + 0.01 a slope; 0 if the first 60 all fail.

    Args:
        value: step -> the loss after it.
        step: the full step.
        before: f(w).
        slope: gradient . step.
        full: `value(step)` if it is already known.
    """
    scale = 1.0
    for trial in range(MAX_TRIALS):
        after = full if trial == 0 and full is not None else value(scale * step)
        if after <= before + SUFFICIENT * scale * slope:
            return scale
        scale *= SHRINK
    return 0.0
