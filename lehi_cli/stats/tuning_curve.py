"""How good an optimizer gets as it is given more trials: the best of k random trials, as a function of k.

One number after tuning hides how much tuning it took: one method may be ahead after 3 trials and another after 30. The
curve shows both, from the n trials of one random search. Two curves are drawn:

- the expected best of k, by the U-statistic, which averages over all subsets of size k and is unbiased;
- the quantile (by default the median) of the best of k, with a band that holds for all k at once. If F is the
  distribution of one trial, the best (lowest) of k has the distribution 1 - (1 - F)ᵏ and the quantile
  F⁻¹(1 - (1 - q)^(1/k)): a simultaneous band for F turns into one for the curve.

A trial that diverged counts as a trial, with the worst possible value. One of them makes the expectation infinite for
small k; the median tolerates up to half of them.

Sources: Lourie, Cho, He, "Show Your Work with Confidence: Confidence Bands for Tuning Curves", NAACL 2024 (bands,
curves of quantiles); Tang et al., "Showing Your Work Doesn't Always Work", ACL 2020 (U-statistic); Learned-Miller,
DeStefano, "A probabilistic upper bound on differential entropy", IEEE Trans. Inf. Theory 2008 (bands of order
statistics).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lehi_cli.errors import UnknownNameError, UsageError

from .paired import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

METHODS = ("dkw", "ks", "ld_equal_tailed", "ld_highest_density")
HALVINGS = 60
ANYTHING = Interval(-math.inf, math.inf)


@dataclass(frozen=True)
class TuningCurve:
    """The best of k trials.

    Attributes:
        trials: k, ascending.
        expected: mean of the best of k; infinite where all k may be diverged trials.
        median: the requested quantile of the best of k.
        low: lower end of the band of `median`, simultaneous over k; infinite where n trials give no bound.
        high: upper end.
        n: number of trials from which the curve is estimated.
        confidence: confidence of the band.
        method: method of the band.
    """

    trials: tuple[int, ...]
    expected: tuple[float, ...]
    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int
    confidence: float
    method: str


def tuning_curve(
    values: Sequence[float],
    trials: Sequence[int] | None = None,
    *,
    minimize: bool = True,
    confidence: float = 0.95,
    method: str = "ld_equal_tailed",
    quantile: float = 0.5,
    support: Interval = ANYTHING,
) -> TuningCurve:
    """Expected best, and quantile with its band, for k random trials.

    Args:
        values: one per trial of a random search; NaN or infinite for a trial that diverged.
        trials: the values of k; 1 to n by default.
        minimize: whether lower is better.
        confidence: confidence of the band.
        method: `dkw`, `ks`, `ld_equal_tailed` or `ld_highest_density`, see `cdf_band`.
        quantile: which quantile of the best of k.
        support: the range in which the values are known to lie, such as (0, 1) for an accuracy; it bounds the band
            where the trials do not.

    Raises:
        UsageError: no trials, k outside 1 to n, a confidence or quantile not between 0 and 1, an unknown method.
    """
    ordered = _ordered(values, minimize)
    n = len(ordered)
    trials = tuple(range(1, n + 1)) if trials is None else tuple(trials)
    expected = expected_best(values, trials, minimize=minimize)
    if not 0 < quantile < 1:
        raise UsageError(f"quantile is {quantile}", "between 0 and 1; the median is 0.5")
    lower, upper = cdf_band(n, confidence, method)
    levels = [-math.expm1(math.log1p(-quantile) / k) for k in trials]
    best, worst = (support.low, support.high) if minimize else (-support.high, -support.low)
    point = [_quantile(ordered, [i / n for i in range(n + 1)], level, best, worst) for level in levels]
    low = [max(best, _quantile(ordered, upper, level, best, worst)) for level in levels]
    high = [min(worst, _quantile(ordered, lower, level, best, worst)) for level in levels]
    if not minimize:
        point, low, high = [-v for v in point], [-v for v in high], [-v for v in low]
    return TuningCurve(trials, tuple(expected), tuple(point), tuple(low), tuple(high), n, confidence, method)


def expected_best(
    values: Sequence[float], trials: Sequence[int] | None = None, *, minimize: bool = True
) -> list[float]:
    """Unbiased estimate of the mean of the best of k trials, for each k.

        Uₖ = Σᵢ C(n - i, k - 1) / C(n, k) y₍ᵢ₎        y₍₁₎ the best, y₍ₙ₎ the worst

    the mean of the best over all subsets of k of the n values. Values without weight do not count, so that Uₖ is finite
    as soon as every subset holds a trial that did not diverge.

    Args:
        values: one per trial; a value that is not finite counts as worst.
        trials: the values of k, each from 1 to n; all of them by default.
        minimize: whether lower is better.

    Raises:
        UsageError: no values, or k outside 1 to n: nothing is known about more trials than were made.
    """
    ordered = _ordered(values, minimize)
    n = len(ordered)
    trials = range(1, n + 1) if trials is None else trials
    for k in trials:
        if not 1 <= k <= n:
            raise UsageError(f"the best of {k} cannot be estimated from {n} trials", f"k from 1 to {n}")
    sign = 1.0 if minimize else -1.0
    return [sign * _expected_least(ordered, k) for k in trials]


def _expected_least(ordered: Numbers, k: int) -> float:
    """U-statistic of the minimum of k, by the ratios of successive weights, so that no binomial overflows."""
    import numpy as np

    n = len(ordered)
    left = np.arange(n - 1, 0, -1)
    weights = k / n * np.cumprod(np.concatenate([[1.0], np.maximum(left - k + 1, 0) / left]))
    counted = weights > 0
    return float(weights[counted] @ ordered[counted])


def _ordered(values: Sequence[float], minimize: bool) -> Numbers:
    """The values from best to worst; negated where higher is better, so that the best is the smallest."""
    import numpy as np

    if not len(values):
        raise UsageError("a tuning curve needs at least one trial")
    sign = 1.0 if minimize else -1.0
    return np.sort([sign * value if math.isfinite(value) else math.inf for value in values])


def _quantile(ordered: Numbers, cdf: Sequence[float], level: float, best: float, worst: float) -> float:
    """The smallest y with level <= cdf(y); cdf[i] holds from the i-th value to the next, cdf[0] from `best` on."""
    for i, reached in enumerate(cdf):
        if level <= reached + 1e-12:
            return best if i == 0 else float(ordered[i - 1])
    return worst


@cache
def cdf_band(n: int, confidence: float, method: str = "ld_equal_tailed") -> tuple[list[float], list[float]]:
    """Lower and upper end of a simultaneous band for the distribution function from which n values come.

    Element i, from 0 to n, holds between the i-th value in ascending order and the next.

    - `dkw`: i/n ± √(log(2 / α) / (2n)), the Dvoretzky-Kiefer-Wolfowitz inequality; conservative.
    - `ks`: i/n ± the `confidence` quantile of the Kolmogorov-Smirnov statistic; exact for a continuous distribution.
    - `ld_equal_tailed`, `ld_highest_density`: F(y₍ᵢ₎) has the distribution Beta(i, n + 1 - i). Each gets its
      equal-tailed (highest-density) interval, all with the same probability, chosen so that they hold jointly with
      probability `confidence`. The joint probability is computed, not simulated (`joint_coverage`). Exact for a
      continuous distribution, conservative with ties; tighter than `ks` at the ends, where tuning curves are read.

    Raises:
        UsageError: a confidence not between 0 and 1, or an unknown method.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}", "a share between 0 and 1, such as 0.95")
    if method == "dkw":
        return _parallel(n, math.sqrt(math.log(2 / (1 - confidence)) / (2 * n)))
    if method == "ks":
        from scipy import stats

        return _parallel(n, float(stats.kstwo(n).ppf(confidence)))
    intervals = {"ld_equal_tailed": equal_tailed, "ld_highest_density": highest_density}
    if method not in intervals:
        raise UnknownNameError("band", method, METHODS)
    low, high = _simultaneous(n, confidence, intervals[method])
    return [0.0, *low.tolist()], [*high.tolist(), 1.0]


def _parallel(n: int, distance: float) -> tuple[list[float], list[float]]:
    return [max(0.0, i / n - distance) for i in range(n + 1)], [min(1.0, i / n + distance) for i in range(n + 1)]


def equal_tailed(n: int, coverage: float) -> tuple[Numbers, Numbers]:
    """Ends `[n]` of the equal-tailed interval of Beta(i, n + 1 - i), i = 1 ... n."""
    import numpy as np
    from scipy import special

    i = np.arange(1, n + 1)
    return special.betaincinv(i, n + 1 - i, (1 - coverage) / 2), special.betaincinv(i, n + 1 - i, (1 + coverage) / 2)


def highest_density(n: int, coverage: float) -> tuple[Numbers, Numbers]:
    """Ends `[n]` of the shortest interval of Beta(i, n + 1 - i), i = 1 ... n: both ends have the same density.

    Found by bisection on the probability left below it. For n = 1 all intervals are equally short, and the equal-tailed
    one is taken.
    """
    import numpy as np
    from scipy import special

    if n == 1:
        return equal_tailed(n, coverage)
    i = np.arange(1, n + 1)
    least, most = np.zeros(n), np.full(n, 1 - coverage)
    for _ in range(HALVINGS):
        below = (least + most) / 2
        low = special.betaincinv(i, n + 1 - i, below)
        high = special.betaincinv(i, n + 1 - i, np.minimum(below + coverage, 1))
        too_low = _log_density(i, n, low) < _log_density(i, n, high)
        least, most = np.where(too_low, below, least), np.where(too_low, most, below)
    return low, high


def _log_density(i: NDArray[np.int64], n: int, x: Numbers) -> Numbers:
    """Log density of Beta(i, n + 1 - i), up to a constant."""
    from scipy import special

    density: Numbers = special.xlogy(i - 1, x) + special.xlog1py(n - i, -x)
    return density


def _simultaneous(
    n: int, confidence: float, intervals: Callable[[int, float], tuple[Numbers, Numbers]]
) -> tuple[Numbers, Numbers]:
    """The intervals whose common probability makes them hold jointly with probability `confidence`."""
    least, most = confidence, 1.0  # one alone holds at least as often as all
    while most - least > 1e-13:
        middle = (least + most) / 2
        enough = joint_coverage(*intervals(n, middle)) >= confidence
        least, most = (least, middle) if enough else (middle, most)
    return intervals(n, most)


def joint_coverage(low: Numbers, high: Numbers) -> float:
    """P(low[i] <= U₍ᵢ₎ <= high[i] for all i), U₍ᵢ₎ the order statistics of n uniform values; both ends ascending.

    U₍ᵢ₎ <= h means that at least i values lie below h. So the number of values below t is followed from one end of an
    interval to the next, as a Poisson process of rate n conditioned on n points in all, dropping the counts that an end
    rules out: O(n²) per end (Moscovich, Nadler, "Fast calculation of boundary crossing probabilities for Poisson
    processes", 2017).
    """
    import numpy as np
    from scipy import special

    n = len(low)
    counts = np.arange(n + 1)
    log_factorials = special.gammaln(counts + 1)

    def poisson(mean: float) -> Numbers:
        weights: Numbers = np.exp(special.xlogy(counts, mean) - mean - log_factorials)
        return weights

    ends = sorted([(float(t), True, i) for i, t in enumerate(low)] + [(float(t), False, i) for i, t in enumerate(high)])
    chances, reached = poisson(0.0), 0.0
    for t, is_low, i in ends:
        chances = np.convolve(chances, poisson(n * (t - reached)))[: n + 1]
        if is_low:
            chances[i + 1 :] = 0  # value i (from 0) must not lie below its interval
        else:
            chances[: i + 1] = 0  # it must not lie above it
        reached = t
    chances = np.convolve(chances, poisson(n * (1 - reached)))[: n + 1]
    return float(chances[n] / poisson(float(n))[n])


@dataclass(frozen=True)
class Lead:
    """A range of prices over which one of two tuning curves is ahead.

    Attributes:
        ahead: 0 for the first curve, 1 for the second.
        low: price at which it begins.
        high: last price of the grid at which it holds.
        trials: for the first and for the second curve, the trials that `low` and `high` pay for.
    """

    ahead: int
    low: float
    high: float
    trials: tuple[tuple[int, int], tuple[int, int]]


def leads(
    first: TuningCurve, second: TuningCurve, prices: tuple[float, float] = (1.0, 1.0), *, minimize: bool = True
) -> list[Lead] | None:
    """Where the bands of two curves are apart, at equal price.

    At price x a curve has had ⌊x / its price per trial⌋ trials. One is ahead at x if its whole band is better than the
    whole band of the other. The bands hold for all k at once: with confidence 1 - α each, the chance that this puts any
    curve ahead of one that is not worse is at most 2 α, and at most m α for all pairs of m curves.

    Args:
        first: a curve at 1, 2, 3, ... trials.
        second: another.
        prices: of one trial of each, in the same unit, above zero.
        minimize: whether lower is better.

    Returns:
        Ranges in ascending order; an empty list where the bands overlap throughout. None if there is no price at which
        both have had a trial, and neither more than it made.
    """
    had = [(price, at) for price in _grid(first, second, prices) if (at := _had(price, first, second, prices))]
    found: list[Lead] = []
    joined = False
    for price, (a, b) in had:
        ahead = _apart(first, second, a - 1, b - 1, minimize)
        if ahead is not None and joined and found[-1].ahead == ahead:
            (a_low, _), (b_low, _) = found[-1].trials
            found[-1] = Lead(ahead, found[-1].low, price, ((a_low, a), (b_low, b)))
        elif ahead is not None:
            found.append(Lead(ahead, price, price, ((a, a), (b, b))))
        joined = ahead is not None
    return found if had else None


def _grid(first: TuningCurve, second: TuningCurve, prices: tuple[float, float]) -> list[float]:
    """Every price at which one of them has had one more trial."""
    return sorted({k * price for curve, price in zip((first, second), prices, strict=True) for k in curve.trials})


def _had(price: float, first: TuningCurve, second: TuningCurve, prices: tuple[float, float]) -> tuple[int, int] | None:
    """The trials that each has had at a price; None where one has had none, or would have had more than it made."""
    a, b = (math.floor(price / each * (1 + 1e-12)) for each in prices)  # k prices pay for k trials despite rounding
    return (a, b) if 1 <= a <= first.n and 1 <= b <= second.n else None


def _apart(first: TuningCurve, second: TuningCurve, i: int, j: int, minimize: bool) -> int | None:
    """Which curve's band is wholly on the better side of the other's; None if they overlap."""
    sign = 1.0 if minimize else -1.0
    a, b = (sorted((sign * curve.low[at], sign * curve.high[at])) for curve, at in ((first, i), (second, j)))
    return 0 if a[1] < b[0] else 1 if b[1] < a[0] else None
