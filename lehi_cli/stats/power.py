"""How many seeds a paired t test needs, and what it can detect with the seeds there are.

With n differences of mean δ and standard deviation σ, Student's t has n - 1 degrees of freedom and noncentrality
δ √n / σ: the power of the test is a tail of that noncentral t distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

from lehi_cli.errors import UsageError

from .paired import t_quantile

POWER = 0.8
MOST_SEEDS = 10_000


def t_power(effect: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t test at level `alpha`.

        P(|T| > t*),  T ~ noncentral t(n - 1, d √n),  t* the 1 - alpha/2 quantile of t(n - 1)

    Args:
        effect: d = mean over standard deviation of the differences.
        n: number of pairs; below 2 there is no test, and no power.
        alpha: level.
    """
    if n < 2:
        return 0.0
    critical = t_quantile(n - 1, 1 - alpha / 2)
    return _tail(abs(effect), n, critical) + _tail(-abs(effect), n, critical)


@lru_cache(maxsize=1024)  # every comparison of a report asks for the same few
def detectable_effect(n: int, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest d = mean / standard deviation that the paired t test finds with probability `power`; inf for n < 2.

    Multiplied by the standard deviation of the differences, this is the minimal detectable difference.
    """
    _check_level(alpha)
    if n < 2:
        return math.inf
    low, high = 0.0, 1.0
    while t_power(high, n, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_power(middle, n, alpha) < power else (low, middle)
    return high


def seeds_for_difference(effect: float, alpha: float = 0.05, power: float = POWER) -> int | None:
    """The fewest pairs with which the t test finds `effect` with probability `power`; None above `MOST_SEEDS`."""
    _check_level(alpha)
    if not effect:
        return None
    z = -_z(alpha / 2)
    root = (z + _z(power)) / effect
    return _fewest(lambda n: t_power(effect, n, alpha), power, guess=root * root + z * z / 2)


@lru_cache(maxsize=1024)
def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _tail(effect: float, n: int, critical: float) -> float:
    """P(T > critical) for a noncentral t with n - 1 degrees of freedom and noncentrality effect √n."""
    from scipy import special

    shift = effect * math.sqrt(n)
    below = float(special.nctdtr(n - 1, shift, critical))
    if math.isnan(below):  # from scipy, in places where one of the tails is below 1e-8
        return float(shift > critical)
    return 1.0 - below


def _fewest(power_at: Callable[[int], float], power: float, guess: float) -> int | None:
    """The smallest n with enough power, searched in growing strides from a guess; power grows with n, from 0 at 1."""
    high, stride = round(min(max(guess, 2), MOST_SEEDS)), 1
    low = high - 1
    while power_at(low) >= power:
        low, high, stride = max(low - stride, 1), low, 2 * stride
    while power_at(high) < power:
        if high == MOST_SEEDS:
            return None
        low, high, stride = high, min(high + stride, MOST_SEEDS), 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power_at(middle) < power else (low, middle)
    return high


def _check_level(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}", "a level between 0 and 1, such as 0.05")
