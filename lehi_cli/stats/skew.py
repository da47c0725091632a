"""What Student's t would say if the differences were as skewed as an exponential distribution.

The t test assumes normal differences. With a handful of runs nobody can see whether they are: a sample of a skewed
distribution that misses its long tail looks tight and symmetric, and is exactly what t takes for a finding. So the
question is turned around: would the finding stand if the differences *were* strongly skewed? An exponential
distribution (skewness 2) serves as the yardstick.

For n values of an exponential distribution with mean 1, their mean x̄ and their coefficient of variation c = s / x̄ are
independent (Basu's theorem), and n x̄ has the distribution Gamma(n). So, with G its distribution function,

    P(T <= -t) = E_c G(n / (1 + t c / √n))                         T = √n (x̄ - 1) / s
    P(T >= t)  = E_c [1 - G(n / (1 - t c / √n))],  0 where the bracket is not positive

where only c has to be simulated, so that far tails come out smooth. The draws are the same at every call.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DRAWS = 2**16  # numbers drawn, whatever n: 13,000 samples of 5, 3,300 of 20
MOST_PAIRS = 2000  # beyond that t is right whatever the shape


def skewed_tails(t: float, n: int) -> tuple[float, float]:
    """Probabilities of a t statistic of n exponential values below -|t|, the long tail, and above |t|, the short one.

    Args:
        t: the statistic.
        n: number of values, 2 or more.
    """
    from scipy import special

    if n > MOST_PAIRS:
        tail = float(special.stdtr(n - 1, -abs(t)))
        return tail, tail
    shift = abs(t) * _variations(n) / math.sqrt(n)
    below = special.gammainc(n, n / (1 + shift)).mean()
    reachable = shift[shift < 1]
    above = special.gammaincc(n, n / (1 - reachable)).sum() / len(shift)
    return float(below), float(above)


@lru_cache(maxsize=256)
def _variations(n: int) -> Numbers:
    """Coefficients of variation of samples of n exponential values."""
    import numpy as np

    samples = np.random.default_rng(n).exponential(size=(max(DRAWS // n, 1000), n))
    return np.asarray(samples.std(axis=1, ddof=1) / samples.mean(axis=1))


def skewed_p(t: float, n: int) -> float:
    """Two-sided p-value of a t statistic if the values were exponential, skewed to either side."""
    return min(1.0, sum(skewed_tails(t, n)))


def skewed_one_sided(t: float, n: int) -> float:
    """p-value of a mean below 0 for a negative t statistic, if values were skewed to where t is rash; else 1."""
    return skewed_tails(t, n)[0] if t < 0 else 1.0
