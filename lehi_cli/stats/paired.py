"""Two samples over the same seeds, compared pair by pair.

At one seed both optimizers start from the same weights and see the same batches, so what is compared is the difference
within a seed: much of the noise is common to both and cancels.

A run that diverged has no final value, yet dropping it would favour the optimizer that diverges. It counts as worst:
the difference is infinite, and two failures at one seed are a tie. Means are then undefined, and with them Student's t;
order is not, so the signed-rank test and the interval for the median remain. The same applies where the differences are
all the same and t has no spread to go by.

Both tests hold their level where the differences are symmetric, as they are where two optimizers do equally well in
distribution. Heavy tails make t cautious. Strongly skewed differences of mean 0 make it rash: `lehi_cli.stats.skew`
computes what it would say then.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from lehi_cli.errors import UsageError

from .skew import skewed_one_sided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

BY_RANKS = "by ranks, as runs without a value count as worst"
NO_SPREAD = 1e-9  # standard deviation relative to the largest difference: anything below this is rounding
MOST_EXACT = 200  # up to this many pairs the signed-rank distribution is enumerated

Alternative = Literal["two-sided", "less", "greater"]


class Interval(NamedTuple):
    """From `low` to `high`; infinite where nothing can be excluded."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """What n pairs say about candidate minus reference.

    Attributes:
        n: number of pairs.
        center: what `difference` and `interval` refer to: the mean, or the median where there is no mean.
        difference: mean (median) of the differences.
        interval: by Student's t for a mean, by order statistics for a median.
        sd: standard deviation of the differences (denominator n - 1); NaN for one pair or infinite differences.
        effect_size: Cohen's d_z = mean / sd; NaN where there is no spread.
        p_t: paired t test, two-sided; NaN where it is undefined.
        p_wilcoxon: signed-rank test, two-sided, always defined.
        smallest_p: the smallest p-value that the signed-rank test can reach with n pairs.
        note: what else a reader must know; may be empty.
    """

    n: int
    center: Literal["mean", "median"]
    difference: float
    interval: Interval
    sd: float
    effect_size: float
    p_t: float
    p_wilcoxon: float
    smallest_p: float
    note: str = ""

    @property
    def p(self) -> float:
        """The p-value that counts: that of the t test where it is defined, else that of the signed-rank test."""
        return self.p_wilcoxon if math.isnan(self.p_t) else self.p_t


def differences(candidate: Sequence[float], reference: Sequence[float], *, minimize: bool = True) -> Numbers:
    """Candidate minus reference, pair by pair `[n]`; a value that is not finite counts as worst, two such give 0.

    Raises:
        UsageError: when the samples differ in length.
    """
    import numpy as np

    if len(candidate) != len(reference):
        raise UsageError(
            f"{len(candidate)} values cannot be paired with {len(reference)}", "give one value per seed in both"
        )
    worst = math.inf if minimize else -math.inf
    own, other = (np.array([v if math.isfinite(v) else worst for v in values]) for values in (candidate, reference))
    result = np.zeros(len(own))
    np.subtract(own, other, out=result, where=np.isfinite(own) | np.isfinite(other))
    return result


def compare_paired(
    candidate: Sequence[float], reference: Sequence[float], *, minimize: bool = True, confidence: float = 0.95
) -> Paired:
    """Compare two samples over the same seeds.

    Args:
        candidate: final value per seed; NaN or infinite for a run without one.
        reference: the same for the reference, in the same order of seeds.
        minimize: whether lower values are better; decides what counts as worst.
        confidence: confidence of the interval.

    Raises:
        UsageError: when the samples differ in length, or `confidence` is not between 0 and 1.
    """
    d = differences(candidate, reference, minimize=minimize)
    n = len(d)
    failed = any(not math.isfinite(value) for value in (*candidate, *reference))
    p_wilcoxon, smallest = wilcoxon(d), smallest_wilcoxon_p(n)
    if t_is_defined(d):
        mean, sd = float(d.mean()), deviation(d.tolist())
        interval = t_interval(d, confidence)
        return Paired(n, "mean", mean, interval, sd, mean / sd, t_test(d), p_wilcoxon, smallest)
    is_finite = bool(_isfinite(d)) and not failed
    center: Literal["mean", "median"] = "mean" if n == 1 and is_finite else "median"
    sd = deviation(d.tolist()) if n > 1 and is_finite else math.nan
    note = BY_RANKS if failed else _why_not_t(d, is_finite and not math.isinf(sd))
    interval = median_interval(d, confidence)
    return Paired(n, center, median(d), interval, sd, math.nan, math.nan, p_wilcoxon, smallest, note)


def _why_not_t(d: Numbers, is_finite: bool) -> str:
    if not len(d):
        return "no pair of runs"
    if not is_finite:
        return "by ranks, not means"
    if len(d) == 1:
        return "one pair has no spread"
    return "identical at every seed" if not d.any() else "the same difference at every seed"


def _isfinite(d: Numbers) -> bool:
    import numpy as np

    return bool(np.isfinite(d).all())


def mean_of(values: Sequence[float]) -> float:
    """Arithmetic mean of one or more finite values, exact to the last digit where their sum is finite too."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (denominator n - 1) of two or more values; infinite where their squares are (1e300)."""
    mean = mean_of(values)
    try:
        squares = math.fsum((value - mean) * (value - mean) for value in values)
    except OverflowError:
        return math.inf
    return math.sqrt(squares / (len(values) - 1))


def t_is_defined(d: Numbers) -> bool:
    """Whether there are two or more finite differences that differ by more than rounding and can be squared."""
    if len(d) < 2 or not _isfinite(d):
        return False
    return bool(NO_SPREAD * abs(d).max() < deviation(d.tolist()) < math.inf)


def t_interval(d: Numbers, confidence: float = 0.95) -> Interval:
    """Interval of the mean: d̄ ± t* s / √n, with t* the (1 + confidence) / 2 quantile of t(n - 1)."""
    _check_confidence(confidence)
    n = len(d)
    half = t_quantile(n - 1, (1 + confidence) / 2) * deviation(d.tolist()) / math.sqrt(n)
    mean = float(d.mean())
    return Interval(mean - half, mean + half)


@lru_cache(maxsize=1024)  # every comparison of a report asks for the same few
def t_quantile(degrees: int, probability: float) -> float:
    """Quantile of Student's t distribution with this many degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(degrees, probability))


def t_test(d: Numbers, alternative: Alternative = "two-sided", shift: float = 0.0) -> float:
    """p-value of Student's paired t test that the mean is `shift`: t = (d̄ - shift) √n / s, n - 1 degrees of freedom."""
    from scipy import special

    n = len(d)
    t = (float(d.mean()) - shift) * math.sqrt(n) / float(d.std(ddof=1))
    if alternative == "two-sided":
        return float(2 * special.stdtr(n - 1, -abs(t)))
    return float(special.stdtr(n - 1, t if alternative == "less" else -t))


def wilcoxon(d: Numbers, alternative: Alternative = "two-sided") -> float:
    """p-value of Wilcoxon's signed-rank test that the differences are symmetric about 0.

    W is the sum of the ranks of |d| over positive d. Zeros are dropped, ties share their mean rank (scipy's
    `zero_method="wilcox"`). Up to 200 pairs the distribution of W over all 2ⁿ signs of these very ranks is enumerated,
    so the p-value is exact with ties too; beyond that it is the normal approximation with tie correction. Two-sided:
    twice the smaller tail, at most 1. Infinite differences share the highest rank. 1 when nothing is left.
    """
    values = [value for value in d.tolist() if value]
    if not values:
        return 1.0
    doubled = doubled_ranks([abs(value) for value in values])
    if len(values) > MOST_EXACT:
        from scipy import stats

        signed = [math.copysign(rank, value) for rank, value in zip(doubled, values, strict=True)]
        return float(stats.wilcoxon(signed, alternative=alternative, method="approx").pvalue)
    lower, upper = _rank_sum_tails(tuple(sorted(doubled)))
    statistic = sum(rank for rank, value in zip(doubled, values, strict=True) if value > 0)
    less, greater = lower[statistic], upper[statistic]
    return min(1.0, {"less": less, "greater": greater, "two-sided": 2 * min(less, greater)}[alternative])


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, from 1 up, with ties sharing their mean rank: integers, so that sums are exact."""
    ordered = sorted(values)
    return [bisect_left(ordered, value) + bisect_right(ordered, value) + 1 for value in values]


@lru_cache(maxsize=64)  # without ties the ranks of n differences are always the same
def _rank_sum_tails(ranks: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """For each possible sum of the ranks with a positive sign, the probability of at most and of at least that sum.

    All signs are equally likely.
    """
    import numpy as np

    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    return np.cumsum(chances).tolist(), np.cumsum(chances[::-1])[::-1].tolist()


def smallest_wilcoxon_p(n: int) -> float:
    """The two-sided p-value when all n differences have the same sign: 2 / 2ⁿ; 5 % takes 6 pairs, 1 % takes 8."""
    return min(1.0, 2.0 ** (1 - n))


def median(d: Numbers) -> float:
    """Median of differences that may be infinite; NaN for none, and halfway between minus and plus infinity."""
    ordered = sorted(float(value) for value in d)
    if not ordered:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else (low + high) / 2


def median_interval(d: Numbers, confidence: float = 0.95) -> Interval:
    """Distribution-free interval of the median: [d₍ₖ₎, d₍ₙ₊₁₋ₖ₎] with the largest k that keeps the confidence.

    The coverage is 1 - 2 P(Bin(n, ½) < k); with fewer than 6 pairs no such interval covers 95 %, and it is infinite.
    """
    _check_confidence(confidence)
    n, k, tail = len(d), 0, 0.0
    while k < n and 2 * (tail + math.comb(n, k) / 2**n) <= 1 - confidence:
        tail += math.comb(n, k) / 2**n
        k += 1
    if not k:
        return Interval(-math.inf, math.inf)
    ordered = sorted(float(value) for value in d)
    return Interval(ordered[k - 1], ordered[n - k])


def tost(d: Numbers, margin: float) -> float:
    """p-value of equivalence within ± margin by two one-sided tests (Schuirmann 1987): the larger of the two.

    The tests are Student's where t is defined, with the p-value for a normal or for an exponential distribution, skewed
    to the side that makes t rash, whichever is larger (`lehi_cli.stats.skew`): a few runs that agree prove nothing
    about rare ones that would not. Elsewhere they are signed-rank tests of d - margin and d + margin. Differences that
    are all exactly 0 lie within any margin, however small. 1 where there is no margin.
    """
    if len(d) and not d.any():
        return 2.0 ** -len(d)
    if not margin > 0:
        return 1.0
    if t_is_defined(d):
        return max(_below_if_skewed(d, margin), _below_if_skewed(-d, margin))
    return max(wilcoxon(d - margin, "less"), wilcoxon(d + margin, "greater"))


def _below_if_skewed(d: Numbers, bound: float) -> float:
    """p-value of a mean below a bound: the larger of those for a normal and for a skewed distribution."""
    t = (float(d.mean()) - bound) * math.sqrt(len(d)) / deviation(d.tolist())
    return max(t_test(d, "less", bound), skewed_one_sided(t, len(d)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): p₍ᵢ₎ becomes max over j <= i of min(1, (m - j + 1) p₍ⱼ₎).

    A NaN stays NaN, and counts as one of the m.
    """
    adjusted = list(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    largest = 0.0
    for position, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}", "a share between 0 and 1, such as 0.95")
