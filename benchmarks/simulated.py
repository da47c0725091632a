"""Simulated final losses of known distribution, as contests that the verdict engine judges, and that engine in a hurry.

Everything is drawn on the scale on which losses are compared: their logarithms. A family is k candidates that share one
reference; what a seed does to all of them alike is common to both sides. Candidates have mean 0 there, or the effect
that is added, so "nothing differs" is meant as the engine means it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.laguerre import laggauss
from scipy import special

from lehi_cli.stats import anytime, skew, verdict
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import scale_of
from lehi_cli.stats.sequential import PRIOR_VARIANCE, T_SHARE
from lehi_cli.stats.verdict import FIRST_SHARE, Verdict

ALPHA = 0.05
SPREAD = 0.05  # standard deviation of a run, of the logarithm of its loss
SEED_SPREAD = 0.1  # of what all runs at a seed have in common
SMALL = 0.01  # noise beside a loss of 1
UNEVEN = 0.7  # of the logarithm of the spread at a seed, where it differs over seeds
FAILING = 0.1  # share of the runs that diverge, where some do
FINDINGS = ("better", "worse")
WARNINGS = ("rests on near-symmetric", "lies far from the others", "by ranks", "by signs")

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """The noise of a family.

    Attributes:
        own: draws the candidates' noise, of mean 0.
        sd: standard deviation of the candidates' noise.
        reference: standard deviation of the reference's noise, which is normal.
        uneven: whether the spread of all runs differs over the seeds.
        failing: share of all runs that diverge.
    """

    own: Draw
    sd: float
    reference: float
    uneven: bool = False
    failing: float = 0.0

    @property
    def sd_difference(self) -> float:
        """Standard deviation of candidate minus reference."""
        return math.hypot(self.sd, self.reference) * (math.exp(UNEVEN**2) if self.uneven else 1.0)

    def families(self, rng: np.random.Generator, repeats: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of the losses of references [repeats, n] and candidates [repeats, k, n]; infinite if diverged."""
        common = SEED_SPREAD * rng.normal(size=(repeats, n))
        spread = np.exp(UNEVEN * rng.normal(size=(repeats, n))) if self.uneven else np.ones((repeats, n))
        reference = common + self.reference * spread * rng.normal(size=(repeats, n))
        own = common[:, None] + spread[:, None] * self.own(rng, (repeats, k, n))
        if self.failing:
            reference[rng.random(reference.shape) < self.failing] = math.inf
            own[rng.random(own.shape) < self.failing] = math.inf
        return reference, own


def _normal(sd: float) -> Draw:
    return lambda rng, shape: sd * rng.normal(size=shape)


def _noises() -> dict[str, Noise]:
    """Where the candidates are skewed the reference hardly varies, so that the differences are as skewed as they."""
    found = {
        "normal": Noise(_normal(SPREAD), SPREAD, SPREAD),
        "t, 3 degrees of freedom": Noise(
            lambda rng, shape: SPREAD / math.sqrt(3) * rng.standard_t(3, shape), SPREAD, SPREAD
        ),
        "lognormal loss, σ = 0.5": Noise(_normal(0.5), 0.5, SPREAD),
        "3 × the reference's spread": Noise(_normal(3 * SPREAD), 3 * SPREAD, SPREAD),
        "spread differs over seeds": Noise(_normal(SPREAD), SPREAD, SPREAD, uneven=True),
        "10 % diverge": Noise(_normal(SPREAD), SPREAD, SPREAD, failing=FAILING),
        "exponential loss": Noise(
            lambda rng, shape: np.log(rng.exponential(size=shape)) + np.euler_gamma,
            math.pi / math.sqrt(6),
            0.1 * math.pi / math.sqrt(6),
        ),
    }
    nodes, weights = laggauss(40)
    found["1 + 0.01 exponential"] = _one_plus(lambda rng, shape: rng.exponential(size=shape), nodes, weights)
    nodes, weights = hermegauss(40)
    found["1 + 0.01 lognormal"] = _one_plus(
        lambda rng, shape: rng.lognormal(0, 0.5, size=shape), np.exp(0.5 * nodes), weights / weights.sum()
    )
    return found


def _one_plus(draw: Draw, values: np.ndarray, weights: np.ndarray) -> Noise:
    """Losses 1 + 0.01 X; `values` and `weights` integrate over X."""
    logs = np.log1p(SMALL * values)
    mean = float(weights @ logs)
    sd = math.sqrt(float(weights @ (logs - mean) ** 2))
    return Noise(lambda rng, shape: np.log1p(SMALL * draw(rng, shape)) - mean, sd, 0.1 * sd)


NOISES = _noises()
SKEWED = ("exponential loss", "1 + 0.01 exponential", "1 + 0.05 lognormal")


def family(reference: np.ndarray, own: np.ndarray, margin: float = 0.0) -> dict[int, Contest]:
    """Contests of candidates [k, n] against a reference [n], from the logarithms of their losses."""
    losses, others = np.exp(own).tolist(), np.exp(reference).tolist()
    scale = scale_of([*others, *(loss for row in losses for loss in row)])
    shared = dict(enumerate(others))
    return {i: Contest(dict(enumerate(row)), shared, scale, margin, runs=i) for i, row in enumerate(losses)}


def is_warned(verdicts: Collection[Verdict]) -> bool:
    """Whether any verdict of a page says that it may mislead, or that ranks decide."""
    return any(warning in each.note for each in verdicts for warning in WARNINGS)


def found_any(verdicts: Collection[Verdict], words: Collection[str] = FINDINGS) -> bool:
    """Whether any verdict has one of the words."""
    return any(each.word in words for each in verdicts)


def in_a_hurry() -> None:
    """Make the engine judge some five times as fast, with the same words, intervals and notes.

    The tails of a skewed distribution are read off a table, within 0.1 %, instead of averaged over 65,536 draws, and
    the number of seeds needed is not computed.
    """
    skew.skewed_tails = _tails_from_table
    verdict.seeds_to_settle = anytime.seeds_to_settle = lambda *arguments, **options: None


SLOW_TAILS = skew.skewed_tails
GRID = np.concatenate([[0.0], np.geomspace(0.01, 1e4, 600)])


@cache
def _table(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of both tails at the statistics of the grid."""
    tails = np.array([SLOW_TAILS(float(t), n) for t in GRID])
    below, above = np.log(np.maximum(tails, 1e-300)).T
    return below, above


def _tails_from_table(t: float, n: int) -> tuple[float, float]:
    below, above = _table(n)
    at = min(abs(t), GRID[-1])
    return math.exp(np.interp(at, GRID, below)), math.exp(np.interp(at, GRID, above))


def t_of(d: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """Student's t along the last axis."""
    return (d.mean(axis=-1) - shift) * math.sqrt(d.shape[-1]) / d.std(axis=-1, ddof=1)


def plain_t(d: np.ndarray) -> np.ndarray:
    """Two-sided p-values of paired t tests along the last axis."""
    return 2 * special.stdtr(d.shape[-1] - 1, -abs(t_of(d)))


def plain_tost(d: np.ndarray, margin: float) -> np.ndarray:
    """p-values of equivalence within ± margin by two one-sided t tests."""
    degrees = d.shape[-1] - 1
    return np.maximum(special.stdtr(degrees, t_of(d, margin)), special.stdtr(degrees, -t_of(d, -margin)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values [families, members] adjusted by Holm's method."""
    count = p_values.shape[1]
    order = p_values.argsort(axis=1)
    rising = np.maximum.accumulate(np.take_along_axis(p_values, order, 1) * np.arange(count, 0, -1), axis=1)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(rising, 1.0), 1)
    return adjusted


def may_find(p_values: np.ndarray) -> np.ndarray:
    """Families [families, members] in which the engine may find something; where p-values are NaN it always may.

    Its own p-values are those of the plain tests, or larger, so it need not judge the other families.
    """
    return ~(p_values.min(axis=1) * p_values.shape[1] > FIRST_SHARE * ALPHA * (1 + 1e-6))


def may_settle(d: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Families [families, members, seeds] in which evidence reaches its bound at some look, or a run diverged."""
    n = np.arange(2, d.shape[-1] + 1)
    with np.errstate(invalid="ignore"):
        sums, squares = d.cumsum(axis=-1)[..., 1:], (d * d).cumsum(axis=-1)[..., 1:]
        y = sums**2 / n / (squares - sums**2 / n)
        r = 1 + PRIOR_VARIANCE * n
        evidence = n / 2 * (np.log1p(y) - np.log1p(y / r)) - np.log(r) / 2
        return ~(evidence.max(axis=(1, 2)) < math.log(d.shape[1] / (T_SHARE * share * ALPHA)) - 1e-6)


def at_look(reference: np.ndarray, own: np.ndarray, k: int, share: float = 1.0) -> Verdict:
    """The verdict on one candidate of k after these seeds, where seeds were added after looking."""
    return anytime.judge_anytime(family(reference, own[None]), family=k, shares={0: share})[0]


def first_settled(
    reference: np.ndarray, own: np.ndarray, looks: Sequence[int], k: int, share: float = 1.0
) -> tuple[int, Verdict]:
    """The first look that settles a candidate of k, else the last, and its verdict.

    A settled verdict stays settled while no run diverges, and again after that. So only the last look before the first
    run that diverges alone and the last look of all are judged, and the others if these show that one of them settled
    it.
    """
    alone = np.flatnonzero(np.isinf(own) != np.isinf(reference))
    first = int(alone[0]) if len(alone) else len(own)
    last = looks[-1]
    for part in ([n for n in looks if n <= first], [n for n in looks if n > first]):
        if part and at_look(reference[: part[-1]], own[: part[-1]], k, share).word != "inconclusive":
            for n in part:
                found = at_look(reference[:n], own[:n], k, share)
                if found.word != "inconclusive":
                    return n, found
    return last, at_look(reference[:last], own[:last], k, share)
