"""Whether paired differences are what a t test assumes, and what pairing by seed gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .paired import deviation, mean_of, t_is_defined
from .skew import skewed_p

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

OUTLIER_LEVEL = 0.01
LEAST_FOR_OUTLIERS = 5  # with fewer, one that is far from the others may just as well be half of the truth


class Gain(NamedTuple):
    """What comparing within seeds did to the noise.

    Attributes:
        correlation: between the two sides.
        variance_ratio: Var(a - b) / (Var a + Var b); 0.5 means that half as many runs are enough as without pairing.
    """

    correlation: float
    variance_ratio: float


def pairing_gain(own: Sequence[float], other: Sequence[float]) -> Gain:
    """Correlation and variance ratio over pairs with two values; NaN below three pairs or where a side has no spread.

    Args:
        own: values of one side, seed by seed.
        other: values of the other side, at the same seeds.
    """
    pairs = [(a, b) for a, b in zip(own, other, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(pairs) < 3:
        return Gain(math.nan, math.nan)
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    sd_a, sd_b, sd_d = deviation(a), deviation(b), deviation([x - y for x, y in pairs])
    if not 0 < sd_a * sd_b < math.inf:
        return Gain(math.nan, math.nan)
    mean_a, mean_b = mean_of(a), mean_of(b)
    shared = math.fsum((x - mean_a) / sd_a * ((y - mean_b) / sd_b) for x, y in pairs) / (len(pairs) - 1)
    return Gain(shared, sd_d * sd_d / (sd_a * sd_a + sd_b * sd_b))


def skewed_paired_p(d: Numbers) -> float:
    """Two-sided p-value of mean 0 if the differences were exponential; NaN where t is undefined and ranks decide."""
    return skewed_p(_t(d), len(d)) if t_is_defined(d) else math.nan


def outlier(d: Numbers) -> int | None:
    """Which difference lies too far from the others for a normal distribution, by Grubbs's test; None if none does.

        G = max |d - d̄| / s;  p = n P(|T| > t),  t² = n (n - 2) G² / ((n - 1)² - n G²),  T of n - 2 degrees of freedom

    at a level of 1 %, from 5 differences on. None where a difference is infinite.
    """
    n = len(d)
    if n < LEAST_FOR_OUTLIERS or not t_is_defined(d):
        return None
    from scipy import special

    far = abs(d - d.mean())
    i = int(far.argmax())
    g = float(far[i]) / deviation(d.tolist())
    rest = (n - 1) ** 2 - n * g * g
    t = math.sqrt(n * (n - 2) * g * g / rest) if rest > 0 else math.inf
    return i if 2 * n * float(special.stdtr(n - 2, -t)) < OUTLIER_LEVEL else None


def _t(d: Numbers) -> float:
    return float(d.mean()) * math.sqrt(len(d)) / deviation(d.tolist())
