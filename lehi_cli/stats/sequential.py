"""When enough seeds have been run: an interval that stays valid however often one looks.

Taking a 95 % interval after each seed, and stopping at the first that excludes 0, is wrong far more often than 5 % of
the time. A confidence sequence is wrong at any of infinitely many looks with probability at most alpha.

Differences are assumed normal with mean μ and standard deviation σ, both unknown. Let t² = n (d̄ - m)² / s² for a
supposed mean m. With a normal prior N(0, g) on the effect (μ - m) / σ and the right Haar prior 1/σ,

    Eₙ(m) = (1 + n g)^(-1/2) ((1 + t² / (n - 1)) / (1 + t² / ((n - 1) (1 + n g))))^(n / 2)

is a ratio of densities of what scaling leaves unchanged, hence a martingale of mean 1 if m is the mean, whatever σ.
By Ville's inequality it ever reaches 1/alpha with probability at most alpha, and {m: Eₙ(m) < 1/alpha} is

    d̄ ± √(y SS / n),   y = (R - 1) / (1 - R / r),  R = (√r / alpha)^(2 / n),  r = 1 + n g,  SS = Σ (dᵢ - d̄)²

the whole line while R >= r. g is the expected size of effects, squared; a poor guess costs seeds, not validity.

Where t has nothing to say (a run diverged, so a difference is infinite, or all differences are the same), signs are
counted, and so are those of the seeds at which one side alone fails. If k of n are positive and m negative, the
Krichevsky-Trofimov mixture

    Eₙ = 2ⁿ B(k + ½, m + ½) / B(½, ½)

is such a martingale too when signs are random, for the median. One comparison may use all of these, so they share
alpha.

Normality matters as it does for t. Over 60 looks at alpha = 5 % the rule is wrong on 2 % of normal differences and on
fewer with heavy tails, but on 11 % of strongly skewed ones (centred exponential). Stopping at the first 95 % interval
that excludes 0 is wrong on 36 % and 47 % (benchmarks/bench_statistics.py).

Sources: Lai, "On confidence sequences", Ann. Statist. 1976; Wang, Ramdas, "Anytime-valid t-tests and confidence
sequences for Gaussian means with unknown variance", Sequential Analysis 2025, arXiv 2310.03722 (the Gaussian mixture
of t); Robbins, Ann. Math. Statist. 1970 (mixtures of signs).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Literal

from lehi_cli.errors import UsageError

from .paired import NO_SPREAD, Interval

PRIOR_VARIANCE = 2.0  # of the effect μ / σ
T_SHARE, SIGN_SHARE, FAILURE_SHARE = 0.8, 0.1, 0.1  # of alpha
MOST_TO_SETTLE = 1000
LEAST_SQUARE = 1e-290  # of a spread: smaller squares vanish, and those above its inverse overflow in a sum
LARGEST_LOG = math.log(sys.float_info.max)

Decision = Literal["better", "worse", "equivalent"]


def confidence_sequence(
    differences: Sequence[float], alpha: float = 0.05, prior_variance: float = PRIOR_VARIANCE
) -> Interval:
    """Interval of the mean after these differences, valid at every n at once.

    Args:
        differences: candidate minus reference, in the order of the seeds.
        alpha: probability that any of the intervals, over all n, misses the mean.
        prior_variance: g.

    Returns:
        An interval, infinite while there are too few differences, or when one is infinite.

    Raises:
        UsageError: alpha not between 0 and 1, or a prior variance that is not positive.
    """
    _check(alpha, prior_variance)
    n = len(differences)
    if n < 2 or not all(math.isfinite(d) for d in differences):
        return Interval(-math.inf, math.inf)
    mean = math.fsum(differences) / n
    squares = math.fsum((d - mean) ** 2 for d in differences)
    r = 1 + n * prior_variance
    ratio = (math.sqrt(r) / alpha) ** (2 / n)
    if ratio >= r:
        return Interval(-math.inf, math.inf)
    half = math.sqrt((ratio - 1) / (1 - ratio / r) * squares / n)
    return Interval(mean - half, mean + half)


def t_evidence(differences: Sequence[float], mean: float = 0.0, prior_variance: float = PRIOR_VARIANCE) -> float:
    """Eₙ(m), the evidence against the supposed mean m; 1 as long as the differences have no spread."""
    if not has_spread(differences):
        return 1.0
    n = len(differences)
    average = math.fsum(differences) / n
    squares = math.fsum((d - average) ** 2 for d in differences)
    y = n * (average - mean) ** 2 / squares
    r = 1 + n * prior_variance
    return float(((1 + y) / (1 + y / r)) ** (n / 2) / math.sqrt(r))


def sign_evidence(positive: int, negative: int) -> float:
    """Eₙ, the evidence against both signs being equally likely; infinite where a float cannot hold it."""
    n = positive + negative
    log_beta = math.lgamma(positive + 0.5) + math.lgamma(negative + 0.5) - math.lgamma(n + 1)
    log_evidence = n * math.log(2) + log_beta - math.log(math.pi)
    return math.exp(log_evidence) if log_evidence < LARGEST_LOG else math.inf


def seeds_to_settle(
    effect: float, margin: float, n: int, alpha: float = 0.05, prior_variance: float = PRIOR_VARIANCE
) -> int | None:
    """The smallest number of seeds above n that would settle the matter if the rest went on like the first n.

    Args:
        effect: mean over standard deviation of the differences; NaN where there is none.
        margin: in units of that standard deviation.
        n: number of seeds so far.
        alpha: level of the rule.
        prior_variance: prior variance of the effect.

    Returns:
        The number; None when the effect is NaN, or 0 without a margin around it, and beyond 1000 seeds.
    """
    if math.isnan(effect):
        return None
    for count in range(max(n + 1, 3), MOST_TO_SETTLE + 1):
        r = 1 + count * prior_variance
        ratio = (math.sqrt(r) / (T_SHARE * alpha)) ** (2 / count)
        if ratio >= r:
            continue
        half = math.sqrt((ratio - 1) / (1 - ratio / r) * (count - 1) / count)
        if half < abs(effect) or abs(effect) + half < margin:
            return count
    return None


def settled(
    differences: Sequence[float],
    margin: float,
    alpha: float = 0.05,
    *,
    minimize: bool = True,
    prior_variance: float = PRIOR_VARIANCE,
) -> Decision | None:
    """What the differences so far have settled; may be called after every seed.

    `equivalent` when the confidence sequence lies within ± margin, else `better` or `worse` when it excludes 0, else
    None. Decided by signs where t has nothing to say. Over any number of looks a wrong `better` or `worse` (the mean is
    0) has probability at most alpha, and so has a wrong `equivalent` (the mean is outside the margin).

    Args:
        differences: candidate minus reference, in the order of the seeds; infinite where one of the two diverged.
        margin: the size up to which a difference does not matter, in units of the differences; 0 for none.
        alpha: probability of a wrong decision, over all looks.
        minimize: whether lower is better.
        prior_variance: prior variance of the effect.

    Raises:
        UsageError: alpha not between 0 and 1, a negative margin, or a prior variance that is not positive.
    """
    _check(alpha, prior_variance)
    if margin < 0:
        raise UsageError(f"margin is {margin}", "0 or more")
    if has_spread(differences):
        low, high = confidence_sequence(differences, T_SHARE * alpha, prior_variance)
        if -margin < low and high < margin:
            return "equivalent"
        side = 1 if low > 0 else -1 if high < 0 else 0
    elif _within(differences, margin, SIGN_SHARE * alpha):
        return "equivalent"
    else:
        side = _side(differences, 0.0, SIGN_SHARE * alpha)
    if not side:
        return None
    return "better" if (side < 0) == minimize else "worse"


def has_spread(differences: Sequence[float]) -> bool:
    """Whether t has something to say: two or more, all finite, apart by more than rounding, and fit to be squared."""
    if len(differences) < 2 or not all(math.isfinite(d) for d in differences):
        return False
    largest, spread = max(abs(d) for d in differences), max(differences) - min(differences)
    return spread > NO_SPREAD * largest and LEAST_SQUARE < spread * spread < 1 / LEAST_SQUARE


def _side(differences: Sequence[float], center: float, alpha: float) -> int:
    """1 (-1) if signs show that the median lies above (below) the center, else 0."""
    positive, negative = sum(d > center for d in differences), sum(d < center for d in differences)
    if sign_evidence(positive, negative) < 1 / alpha:
        return 0
    return 1 if positive > negative else -1


def _within(differences: Sequence[float], margin: float, alpha: float) -> bool:
    """Whether signs show that the median lies within ± margin; exact zeros lie within any margin."""
    if not any(differences):
        return sign_evidence(len(differences), 0) >= 1 / alpha
    return margin > 0 and _side(differences, margin, alpha) < 0 < _side(differences, -margin, alpha)


def _check(alpha: float, prior_variance: float) -> None:
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}", "a level between 0 and 1, such as 0.05")
    if not prior_variance > 0:
        raise UsageError(f"prior variance is {prior_variance}", "above 0")
