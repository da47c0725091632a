"""Runs that end without a value, as an outcome of their own: how often, and whether one side fails more often.

At each seed the candidate and the reference either end or fail. What tells them apart are the b seeds at which only
the candidate fails and the c at which only the reference does. Given b + c, b is binomial with probability 1/2 if both
fail equally often (McNemar's exact test), with p-value p(b, c). With few seeds that test alone can never find anything:
3 failures of 3 against none have p = 0.25. Boschloo takes p(b, c) as the statistic and works out its distribution:

    p = max over ψ in [0, 1/2] of P(p(B, C) <= p(b, c)),   B + C ~ Binomial(n, ψ),  B | B + C ~ Binomial(B + C, 1/2)

with ψ the probability that exactly one of the two fails. Where failures at one seed do not exclude each other (with the
same weights and batches they rather go together), ψ <= 2 π (1 - π) <= 1/2, with π the common probability of failing. In
that sense the test is exact, never above the conditional p-value's guarantee, and 3 of 3 against none have p = 0.031.

Sources: Boschloo, Statistica Neerlandica 1970; Suissa, Shuster, "The 2 x 2 matched-pairs trial", Biometrics 1991.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .paired import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

GRID = 400  # values of ψ that are tried
ROUNDING = 1e-9  # two p-values this close are the same


@dataclass(frozen=True)
class Failures:
    """Runs without a final value among the seeds that both have.

    Attributes:
        own: number of the candidate's runs that failed.
        other: number of the reference's runs that failed.
        n: number of seeds.
        only_own: number of seeds at which the candidate alone fails.
        only_other: number of seeds at which the reference alone fails.
    """

    own: int
    other: int
    n: int
    only_own: int
    only_other: int

    @property
    def excess(self) -> int:
        """How many more runs the candidate loses."""
        return self.own - self.other

    @property
    def any(self) -> bool:
        """Whether any run failed."""
        return bool(self.own or self.other)

    @property
    def differ(self) -> bool:
        """Whether one side failed alone at some seed."""
        return bool(self.only_own or self.only_other)

    @property
    def p(self) -> float:
        """Two-sided p-value of both failing equally often."""
        return failure_p(self.only_own, self.only_other, self.n)


def count_failures(own: Sequence[float], other: Sequence[float]) -> Failures:
    """Count the values that are not finite, pair by pair."""
    lost = [(not math.isfinite(one), not math.isfinite(two)) for one, two in zip(own, other, strict=True)]
    return Failures(
        sum(one for one, _ in lost),
        sum(two for _, two in lost),
        len(lost),
        sum(one and not two for one, two in lost),
        sum(two and not one for one, two in lost),
    )


@lru_cache(maxsize=1024)
def failure_p(only_own: int, only_other: int, n: int) -> float:
    """Two-sided p-value of both sides failing equally often; see the module. 1 where neither fails alone.

    Args:
        only_own: number of seeds at which the candidate alone fails.
        only_other: number of seeds at which the reference alone fails.
        n: number of seeds.
    """
    together = only_own + only_other
    if not together:
        return 1.0
    import numpy as np
    from scipy import special

    observed = _conditional_p(together)[only_own]
    counts = np.arange(n + 1)
    as_extreme = np.array([_chance_of_as_extreme(count, observed) for count in counts.tolist()])
    choose = special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)
    psi = np.linspace(0.5 / GRID, 0.5, GRID)[:, None]
    chances = np.exp(choose + special.xlogy(counts, psi) + special.xlog1py(n - counts, -psi))  # [grid, together]
    return min(1.0, float((chances @ as_extreme).max()))


@lru_cache(maxsize=4096)
def _conditional_p(together: int) -> Numbers:
    """McNemar's exact p-values for 0 to `together` failures on one side: twice a binomial tail, at most 1."""
    import numpy as np
    from scipy import special

    fewer = np.minimum(np.arange(together + 1), np.arange(together, -1, -1))
    return np.asarray(np.minimum(1.0, 2 * special.bdtr(fewer, together, 0.5)))


def _chance_of_as_extreme(together: int, p: float) -> float:
    """Probability of a conditional p-value of at most p, given at how many seeds one side alone fails."""
    from scipy import special

    reached = int((_conditional_p(together) <= p * (1 + ROUNDING)).sum())  # half of them on either side
    if reached > together:
        return 1.0
    return float(2 * special.bdtr(reached // 2 - 1, together, 0.5)) if reached else 0.0


def rate_interval(failed: int, n: int, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval for a share: [B(α/2; k, n-k+1), B(1-α/2; k+1, n-k)], B the Beta quantile."""
    from scipy import special

    tail = (1 - confidence) / 2
    low = float(special.betaincinv(failed, n - failed + 1, tail)) if failed else 0.0
    high = float(special.betaincinv(failed + 1, n - failed, 1 - tail)) if failed < n else 1.0
    return Interval(low, high)
