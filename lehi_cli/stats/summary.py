"""Summaries of repeated runs: a mean, its spread, and how many runs it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .paired import Interval, deviation, mean_of, t_quantile


@dataclass(frozen=True)
class Estimate:
    """Mean and sample standard deviation over `n` runs; `sd` is NaN for one run, and both are for none."""

    mean: float
    sd: float
    n: int


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and sample standard deviation (denominator n - 1) of finite `values`."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return Estimate(float(finite[0]) if finite else math.nan, math.nan, len(finite))
    return Estimate(mean_of(finite), deviation(finite), len(finite))


def mean_interval(value: Estimate, level: float = 0.95) -> Interval:
    """Student's interval of a mean: `mean ± t(n - 1) sd/√n`, `t` the quantile at `(1 + level)/2`.

    Both ends are NaN for fewer than two values, whose spread is unknown.
    """
    if value.n < 2:
        return Interval(math.nan, math.nan)
    half = t_quantile(value.n - 1, (1 + level) / 2) * value.sd / math.sqrt(value.n)
    return Interval(value.mean - half, value.mean + half)


@dataclass(frozen=True)
class Band:
    """Curves over seeds in one: at each point of `xs` the mean, the lowest and the highest of `n` curves."""

    xs: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    n: int


def band_curve(curves: Iterable[tuple[Sequence[float], Sequence[float]]]) -> Band:
    """Mean and range of curves over seeds, point by point, as far as the shortest goes; x is averaged too.

    The range rather than a standard deviation: it stays positive where the curves are, so a logarithmic axis can show
    it. A curve without points is not counted.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return Band([], [], [], [], 0)
    if len(curves) == 1:
        x, y = (list(map(float, values)) for values in curves[0])
        return Band(x, y, y, y, 1)
    import numpy as np

    length = min(len(x) for x, _ in curves)
    xs = np.array([x[:length] for x, _ in curves], dtype=float)  # [n, points]
    ys = np.array([y[:length] for _, y in curves], dtype=float)
    x, mean, low, high = xs.mean(axis=0), ys.mean(axis=0), ys.min(axis=0), ys.max(axis=0)
    return Band(x.tolist(), mean.tolist(), low.tolist(), high.tolist(), len(curves))
