"""One word on a candidate against a reference, and what it rests on.

Values are compared on a scale on which less is better (`lehi_cli.stats.scale`). Two things are asked of every contest:
where its runs end, by the paired differences of the final values, and how many of them end at all, by an exact test of
the failures (`lehi_cli.stats.failures`). The words:

- *equivalent*: two one-sided tests place the difference within the margin, the interval shown lies within it, and both
  sides fail at the same seeds, if at any. It comes first: a difference that is real but smaller than what matters is
  equivalent, and the note says that it is real. The tests allow for differences as skewed as an exponential
  distribution (`lehi_cli.stats.skew`), because a few runs that agree prove nothing about rare ones that would not.
- *better*, *worse*: the paired test finds a difference, or one side fails more often, and neither contradicts the
  other. A finding that would not stand if the differences were that skewed says so.
- *inconclusive*: none of these.

Several comparisons form one family: p-values are adjusted by Holm's method, so that the chance of any false *better* or
*worse* among them is at most alpha. Intervals have level alpha / m each (Bonferroni), so that all m hold together;
where Holm's method finds what such an interval alone would not, the interval ends at 0. (Where that happens beside
large effects, some interval misses in up to 5.6 % of simulated families.) Equivalence is adjusted as a family of its
own. A contest in which nothing can be found, because no run of one side has a value, is not part of the family.

All of this assumes that the number of seeds was chosen beforehand; where it was not, `lehi_cli.stats.anytime` judges.
Part of alpha is kept for that: p-values here are those of the tests divided by `FIRST_SHARE`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from lehi_cli.errors import UsageError

from .contest import Contest
from .failures import Failures
from .paired import (
    Interval,
    Paired,
    compare_paired,
    differences,
    holm,
    median_interval,
    t_interval,
    tost,
    wilcoxon,
)
from .power import detectable_effect
from .scale import Scale
from .sequential import seeds_to_settle
from .shape import outlier, pairing_gain, skewed_paired_p

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Word = Literal["better", "worse", "equivalent", "inconclusive"]
Method = Literal["fixed", "anytime", "refused"]
Key = TypeVar("Key", bound=Hashable)

FIRST_SHARE, LATER_SHARE = 0.92, 0.2
"""Shares of alpha for a look at a fixed number of seeds, and for all looks that follow it.

A first look that spends all of alpha leaves nothing for seeds that are added because it settled nothing. With these
shares both together are wrong in at most 5 % of all cases (`benchmarks/bench_verdicts.py`): the rule for later looks
rarely uses up its share, and hardly ever where the first look found nothing.
"""
UNBOUNDED = Interval(-math.inf, math.inf)
NO_VALUES = "no run of either ended with a value"
REAL_BUT_WITHIN = "the difference is significant, but within the margin"
CONTRADICTION = "better where runs end, but it fails more often", "worse where runs end, but it fails less often"
SKEWED = "rests on near-symmetric differences"
OTHER_SEEDS = "this comparison was looked at before with other seeds, so these alone decide nothing"


@dataclass(frozen=True)
class Verdict:
    """A candidate against a reference.

    Attributes:
        word: *better*, *worse*, *equivalent* or *inconclusive*.
        n: seeds that both have.
        center: what `difference` and `interval` refer to: `mean`, or `median` where a run has no value.
        difference: candidate minus reference on the scale, negative in favour of the candidate.
        interval: interval of the difference; all of a family hold together with probability 1 - alpha. It excludes 0
            exactly where the values decide *better* or *worse*.
        margin: the size up to which a difference does not matter, in units of the scale; 0 where there is none.
        p_t: paired t test; NaN where it is undefined.
        p_wilcoxon: signed-rank test.
        p_adjusted: the p-value that counts (t where it is defined), adjusted by Holm's method; NaN where no values
            compare.
        p_equivalent: two one-sided tests, adjusted by Holm's method.
        effect_size: Cohen's d_z; NaN without spread.
        detectable: the smallest difference that n seeds find with probability 80 %; NaN without spread.
        seeds_needed: total number of seeds that would settle the matter, if they went on like these and were judged by
            the rule that allows for having looked; n once it is settled; None if these seeds cannot tell.
        note: what a reader must know; may be empty.
        method: `fixed` for a number of seeds chosen beforehand; `anytime` where seeds were added after looking, see
            `lehi_cli.stats.anytime` for what the interval and `p_adjusted` then are; `refused` where earlier looks were
            at other seeds, so that no rule covers these.
        scale: the scale on which values were compared.
        p_skewed: `p_adjusted` if the differences were as skewed as an exponential distribution; NaN where ranks decide.
        failures: runs without a value.
        p_failures: p-value of both sides failing equally often, adjusted in the same family; NaN where neither fails
            alone.
        correlation: between the two sides over the seeds; NaN where it is undefined.
        variance_ratio: variance of a difference within a seed over that of unpaired runs: below 1 where pairing gained.
    """

    word: Word
    n: int
    center: Literal["mean", "median"]
    difference: float
    interval: Interval
    margin: float
    p_t: float
    p_wilcoxon: float
    p_adjusted: float
    p_equivalent: float
    effect_size: float
    detectable: float
    seeds_needed: int | None
    note: str
    method: Method = "fixed"
    scale: Scale = field(default_factory=Scale)
    p_skewed: float = math.nan
    failures: Failures = field(default_factory=lambda: Failures(0, 0, 0, 0, 0))
    p_failures: float = math.nan
    correlation: float = math.nan
    variance_ratio: float = math.nan

    def stands_if_skewed(self, alpha: float = 0.05) -> bool:
        """Whether a finding does not rest on the differences being nearly symmetric."""
        return not self.p_skewed > alpha


def judge_pairs(contests: Mapping[Key, Contest], *, alpha: float = 0.05, family: int = 0) -> dict[Key, Verdict]:
    """The verdict on each contest, all of them one family.

    Args:
        contests: what to compare.
        alpha: chance of any false verdict of one kind in the family.
        family: how many tests there are in all, if more than these; the others are assumed to find nothing.

    Raises:
        UsageError: a negative margin, or alpha not between 0 and 1.
    """
    for contest in contests.values():
        check_levels(contest.margin, alpha)
    matches = {key: _match(contest, alpha) for key, contest in contests.items()}
    size = max(family_size(contests.values()), family)
    failing = _failing(contests)
    values = [key for key, match in matches.items() if match.is_test]
    adjusted = _holm([*(matches[key].paired.p for key in values), *failing.values()], size)
    p_values = dict(zip(values, adjusted, strict=False))
    p_failures = dict(zip(failing, adjusted[len(values) :], strict=True))
    p_skewed = dict(zip(values, _holm([matches[key].p_skewed for key in values], size), strict=True))
    p_equivalent = dict(zip(values, _holm([matches[key].p_equivalent for key in values], size), strict=True))
    level = FIRST_SHARE * alpha / max(1, size)
    return {
        key: _verdict(
            match,
            _Adjusted(
                p_values.get(key, math.nan),
                p_skewed.get(key, math.nan),
                p_equivalent.get(key, 1.0),
                p_failures.get(_runs_of(key, contests[key]), math.nan),
            ),
            alpha,
            level,
        )
        for key, match in matches.items()
    }


def family_size(contests: Iterable[Contest]) -> int:
    """How many tests these contests make: of values where both sides have some, of failures where one fails alone."""
    found = list(contests)
    failing = {id(contest) if contest.runs is None else contest.runs for contest in found if contest.failures.differ}
    return sum(_is_test(contest) for contest in found) + len(failing)


def without_word(verdict: Verdict, why: str) -> Verdict:
    """What is left of a verdict that no rule covers: how large the difference is, and why nothing follows from it."""
    of_tests = (REAL_BUT_WITHIN, *CONTRADICTION, SKEWED, "by ranks ")
    said = [note for note in verdict.note.split("; ") if note and not note.startswith(of_tests)]
    return replace(
        verdict,
        word="inconclusive",
        interval=UNBOUNDED,
        p_t=math.nan,
        p_wilcoxon=math.nan,
        p_adjusted=math.nan,
        p_equivalent=math.nan,
        p_skewed=math.nan,
        p_failures=math.nan,
        seeds_needed=None,
        note="; ".join([why, *said]),
        method="refused",
    )


def check_levels(margin: float, alpha: float) -> None:
    """Refuse a margin or a level that is out of range.

    Raises:
        UsageError: a negative or infinite margin, or alpha not between 0 and 1.
    """
    if not 0 <= margin < math.inf:
        raise UsageError(f"margin is {margin}", "a share of the reference, such as 0.01; 0 for none")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}", "a level between 0 and 1, such as 0.05")


def _is_test(contest: Contest) -> bool:
    """Whether a contest counts as a test; with a single seed it cannot find anything, and does not."""
    return len(contest.seeds) > 1 and contest.is_comparable


def _runs_of(key: Hashable, contest: Contest) -> Hashable:
    return key if contest.runs is None else contest.runs


def _failing(contests: Mapping[Key, Contest]) -> dict[Hashable, float]:
    """p-values of the failures where one side fails alone, one for all contests of the same runs."""
    return {_runs_of(key, contest): contest.failures.p for key, contest in contests.items() if contest.failures.differ}


def _holm(p_values: Sequence[float], size: int) -> list[float]:
    """Holm's adjustment in a family of `size`, whose other members find nothing, at the share of a first look."""
    return holm([*(p / FIRST_SHARE for p in p_values), *[1.0] * (size - len(p_values))])[: len(p_values)]


@dataclass(frozen=True)
class _Match:
    """A contest before adjustment; `d` is negative where the candidate is better."""

    contest: Contest
    paired: Paired
    d: Numbers
    margin: float
    p_equivalent: float
    p_skewed: float

    @property
    def is_test(self) -> bool:
        return _is_test(self.contest)

    @property
    def by_t(self) -> bool:
        return not math.isnan(self.paired.p_t)


@dataclass(frozen=True)
class _Adjusted:
    """p-values of a contest, adjusted for the family; NaN where there is no such test."""

    values: float
    skewed: float
    equivalent: float
    failures: float


def _match(contest: Contest, alpha: float) -> _Match:
    d = differences(contest.own, contest.other)
    within = contest.within()
    paired = compare_paired(contest.own, contest.other, confidence=1 - alpha)
    p_equivalent = tost(d, within) if contest.has_values else 1.0
    return _Match(contest, paired, d, within, p_equivalent, skewed_paired_p(d))


def _verdict(match: _Match, p: _Adjusted, alpha: float, level: float) -> Verdict:
    paired, contest = match.paired, match.contest
    side = _side(match, p, alpha)
    interval = _interval(match, level, side)
    word = _word(match, p, side, interval, alpha)
    gain = pairing_gain(contest.own, contest.other)
    return Verdict(
        word,
        paired.n,
        paired.center,
        paired.difference,
        interval,
        match.margin,
        paired.p_t,
        paired.p_wilcoxon,
        p.values,
        p.equivalent,
        paired.effect_size,
        paired.sd * detectable_effect(paired.n, level) if match.by_t else math.nan,
        _seeds_needed(match, level * LATER_SHARE / FIRST_SHARE) if word == "inconclusive" else paired.n,
        "; ".join(_notes(match, word, side, p, level, alpha)),
        scale=contest.scale,
        p_skewed=p.skewed,
        failures=contest.failures,
        p_failures=p.failures,
        correlation=gain.correlation,
        variance_ratio=gain.variance_ratio,
    )


def _side(match: _Match, p: _Adjusted, alpha: float) -> int:
    """Which way the values were found to differ: -1 in favour of the candidate, 1 against it, 0 for not at all.

    Ranks that lean one way while the median lies on the other side tell how many runs fail, not where runs end.
    """
    if not p.values <= alpha:
        return 0
    if match.by_t:
        return -1 if float(match.d.mean()) < 0 else 1
    side = -1 if wilcoxon(match.d, "less") < wilcoxon(match.d, "greater") else 1
    return side if side * match.paired.difference > 0 else 0


def _word(match: _Match, p: _Adjusted, side: int, interval: Interval, alpha: float) -> Word:
    failures = match.contest.failures
    if not match.contest.has_values:
        return "inconclusive"
    failing = math.copysign(1, failures.excess) if p.failures <= alpha else 0
    if failing and side == -failing:
        return "inconclusive"
    is_inside = -match.margin < interval.low and interval.high < match.margin
    if p.equivalent <= alpha and not failures.differ and (is_inside or not match.d.any()):
        return "equivalent"
    decided = side or failing
    return "inconclusive" if not decided else "better" if decided < 0 else "worse"


def _interval(match: _Match, level: float, side: int) -> Interval:
    """The interval at the family's level, consistent with the test: it excludes 0 only where there is a finding."""
    if not match.contest.is_comparable or match.paired.n < 2:
        return UNBOUNDED
    interval = t_interval(match.d, 1 - level) if match.by_t else median_interval(match.d, 1 - level)
    return consistent(interval, side)


def consistent(interval: Interval, side: int) -> Interval:
    """The interval, made to end at 0 where it contradicts the test, which found this side, or none: 0."""
    low, high = interval
    if side and low < 0 < high:
        return Interval(low, -0.0) if side < 0 else Interval(0.0, high)
    if not side:
        return Interval(min(low, 0.0), max(high, 0.0))
    return interval


def _seeds_needed(match: _Match, level: float) -> int | None:
    """Total number of seeds by the rule that allows for having looked, which is how more of them would be judged."""
    paired = match.paired
    if not match.contest.is_comparable or not match.by_t:
        return None
    return seeds_to_settle(paired.effect_size, match.margin / paired.sd, paired.n, level)


def _notes(match: _Match, word: Word, side: int, p: _Adjusted, level: float, alpha: float) -> list[str]:
    paired, contest = match.paired, match.contest
    notes = []
    if contest.left_out:
        seeds = ", ".join(map(str, contest.left_out))
        several = len(contest.left_out) > 1
        notes.append(f"seed{'s' if several else ''} {seeds} {'are' if several else 'is'} not in both and left out")
    if not contest.has_values and paired.n:
        notes.append(NO_VALUES)
    notes += [paired.note] if paired.note else []
    if word == "equivalent" and p.values <= alpha:
        notes.append(REAL_BUT_WITHIN)
    if word == "inconclusive" and side and p.failures <= alpha:
        notes.append(CONTRADICTION[side > 0])
    if word in ("better", "worse") and p.skewed > alpha:
        notes.append(f"{SKEWED}: p = {p.skewed:.2g} if they were strongly skewed")
    far = outlier(match.d)
    if far is not None:
        notes.append(f"seed {contest.seeds[far]} lies far from the others, so the t test may mislead")
    able = math.ceil((1 if match.d.any() else 0) - math.log2(level))  # where all are 0, they may show equivalence
    if word == "inconclusive" and not match.by_t and match.is_test and paired.n < able:
        notes.append(f"by ranks {paired.n} seeds cannot decide this, {able} can")
    return notes
