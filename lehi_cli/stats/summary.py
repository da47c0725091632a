"""Numbers out of repeated runs: a mean, its spread, and how many runs it stands on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

HIGHER_IS_BETTER = frozenset({"accuracy"})


@dataclass(frozen=True)
class Estimate:
    """Mean and sample standard deviation over `n` runs; `sd` is NaN for one run, both are for none."""

    mean: float
    sd: float
    n: int


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and sample standard deviation (denominator n - 1) of finite `values`."""
    import numpy as np  # here, because `lehi --help` does without it

    finite = np.array([value for value in values if math.isfinite(value)], dtype=float)
    mean = float(finite.mean()) if finite.size else math.nan
    sd = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    return Estimate(mean, sd, int(finite.size))


def mean_curve(curves: Iterable[tuple[list[float], list[float]]]) -> tuple[list[float], list[float]]:
    """Mean of curves over seeds, point by point, as far as the shortest goes; x is averaged too."""
    curves = [curve for curve in curves if curve[0]]
    if not curves:
        return [], []
    import numpy as np

    length = min(len(x) for x, _ in curves)
    x = np.mean([x[:length] for x, _ in curves], axis=0)
    y = np.mean([y[:length] for _, y in curves], axis=0)
    return x.tolist(), y.tolist()


def is_better(column: str, value: float, than: float) -> bool:
    """Whether `value` beats `than` in a column such as `val_loss` or `test_accuracy`."""
    metric = column.partition("_")[2]
    return value > than if metric in HIGHER_IS_BETTER else value < than
