"""The verdict where seeds were added after looking at the results: it stays valid however often one looks.

Pairs are taken in the order of their seeds, and after each one the rule asks what they settle
(`lehi_cli.stats.sequential`). What was once settled stays settled: it is an error with probability at most alpha over
all looks together, so further looks do not take it back. That makes the verdict the same whether seeds come one by one
or several at a time. Two things change it: a difference that more seeds place within the margin becomes *equivalent*,
which is also true; and after a run diverges only signs count, because t would have to count an infinite difference.
How often runs fail is judged separately, by the signs of the seeds at which only one side fails.

m comparisons shown together get alpha / m each (Bonferroni), with m known before the first look:

- the interval of the mean is what the confidence sequences of all looks have in common, and those of all comparisons
  hold together with probability 1 - alpha; where t has nothing to say, the interval of the median goes by signs at the
  last look;
- the p-value is min(1, m min over looks of 1 / (s E)), with E the evidence at a look and s the share of alpha that its
  kind (t, signs, failures) gets. By Ville's inequality it falls below alpha with probability at most alpha where
  nothing differs, and p <= alpha means *better* or *worse*, or *equivalent* with a difference that is real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .contest import Contest
from .failures import Failures
from .paired import Interval, Paired, compare_paired, differences
from .sequential import (
    FAILURE_SHARE,
    SIGN_SHARE,
    T_SHARE,
    confidence_sequence,
    has_spread,
    seeds_to_settle,
    settled,
    sign_evidence,
    t_evidence,
)
from .shape import pairing_gain, skewed_paired_p
from .verdict import CONTRADICTION, NO_VALUES, REAL_BUT_WITHIN, Key, Verdict, Word, check_levels, consistent

NOT_BORNE_OUT = "the later seeds do not bear out what the first ones settled"
CONTRADICTED = "the later seeds find the opposite of what the first ones settled"
SKEW_SHARE = 0.2
"""Share of alpha for the p-value under skewness: its looks are correlated, but not so much that they count as one."""


def judge_anytime(
    contests: Mapping[Key, Contest],
    *,
    alpha: float = 0.05,
    family: int = 0,
    shares: Mapping[Key, float] | None = None,
) -> dict[Key, Verdict]:
    """The verdict on each contest, valid at every number of seeds.

    Seeds that only one of the two has are not compared: the other was settled before.

    Args:
        contests: what to compare, in the order of its seeds.
        alpha: chance of any false verdict in the family, over all looks.
        family: how many comparisons there are in all, if more than these; the same at every look.
        shares: share of the level for each contest that does not get all of it: `LATER_SHARE` after a fixed look.

    Returns:
        Verdicts with `method` *anytime*. `p_t`, `p_wilcoxon`, `p_equivalent` and `detectable`, which hold for a single
        look, are NaN; `p_skewed` is that of the last look.

    Raises:
        UsageError: a negative margin, or alpha not between 0 and 1.
    """
    for contest in contests.values():
        check_levels(contest.margin, alpha)
    count = max(1, len(contests), family)
    shares = shares or {}
    return {key: _verdict(contest, alpha, count / shares.get(key, 1.0)) for key, contest in contests.items()}


def after_first_look(first: Verdict, later: Verdict) -> Verdict:
    """What a fixed first look and all looks after it have settled together.

    Each gets its share of the level, so both intervals hold together, and what either found stands: more seeds do not
    take back a finding. Only a difference that they place within the margin becomes *equivalent*, and where they find
    the opposite the word is *inconclusive*.

    Args:
        first: the verdict on the seeds of the first look, from `judge_pairs`.
        later: the verdict on all seeds, from `judge_anytime` with `LATER_SHARE`.
    """
    both = Interval(max(first.interval.low, later.interval.low), min(first.interval.high, later.interval.high))
    agree = both.low <= both.high
    interval = both if agree else later.interval
    if first.word == "inconclusive" or later.word == "equivalent":
        return replace(later, interval=interval)
    if first.word == "equivalent" and later.word != "inconclusive" and agree:
        note = "; ".join(filter(None, (REAL_BUT_WITHIN, later.note)))
        return replace(later, word="equivalent", interval=interval, note=note)
    if later.word not in ("inconclusive", first.word):
        note = "; ".join(filter(None, (CONTRADICTED, later.note)))
        return replace(later, word="inconclusive", interval=consistent(later.interval, 0), seeds_needed=None, note=note)
    side = (first.interval.low >= 0) - (first.interval.high <= 0) if first.word != "equivalent" else 0
    interval = consistent(interval, side) if side else interval
    is_outside = not interval.low <= later.difference <= interval.high
    return replace(
        later,
        word=first.word,
        interval=interval,
        p_adjusted=min((p for p in (first.p_adjusted, later.p_adjusted) if not math.isnan(p)), default=math.nan),
        p_skewed=first.p_skewed,
        seeds_needed=later.n,
        note="; ".join(filter(None, (NOT_BORNE_OUT if is_outside else "", later.note))),
    )


def median_sequence(d: Sequence[float], alpha: float) -> Interval:
    """Interval of the median of differences that may be infinite, valid at every n at once.

    [d₍ₖ₎, d₍ₙ₊₁₋ₖ₎] with the largest k such that the sign evidence of n - k + 1 above against k - 1 below reaches
    1 / alpha; infinite while there are too few.
    """
    n = len(d)
    reached = [k for k in range(1, n // 2 + 2) if k <= n and sign_evidence(n - k + 1, k - 1) >= 1 / alpha]
    # Evidence falls with k up to the middle, where it is lowest.
    if not reached:
        return Interval(-math.inf, math.inf)
    ordered = sorted(d)
    return Interval(ordered[reached[-1] - 1], ordered[n - reached[-1]])


def _verdict(contest: Contest, alpha: float, family: float) -> Verdict:
    """The verdict on a contest at the level alpha / `family`: the size of its family over its share of the level."""
    paired = compare_paired(contest.own, contest.other)
    array = differences(contest.own, contest.other)
    d = array.tolist()
    level = alpha / family
    values, p, side = _settled(contest, d, level)
    p_failures, failing = _failing(contest, level)
    p, p_failures = min(1.0, family * p), min(1.0, family * p_failures)
    word = _with_failures(values, contest.failures, failing)
    interval = consistent(_interval(d, level), side)
    p_skewed = skewed_paired_p(array) * family / SKEW_SHARE  # NaN where ranks decide
    p_skewed = 1.0 if p_skewed > 1 else p_skewed
    notes = _notes(contest, paired, interval, side)
    if word == "equivalent" and side:
        notes.append(REAL_BUT_WITHIN)
    if word == "inconclusive" and side and failing:
        notes.append(CONTRADICTION[side > 0])
    if word in ("better", "worse") and p_skewed > alpha:
        notes.append("rests on near-symmetric differences: would not stand if they were strongly skewed")
    needed = None
    if word != "inconclusive":
        needed = paired.n
    elif has_spread(d):
        needed = seeds_to_settle(paired.effect_size, contest.within() / paired.sd, paired.n, level)
    gain = pairing_gain(contest.own, contest.other)
    return Verdict(
        word,
        paired.n,
        paired.center,
        paired.difference,
        interval,
        contest.within(),
        p_t=math.nan,
        p_wilcoxon=math.nan,
        p_adjusted=p if contest.is_comparable else math.nan,
        p_equivalent=math.nan,
        effect_size=paired.effect_size,
        detectable=math.nan,
        seeds_needed=needed,
        note="; ".join(notes),
        method="anytime",
        scale=contest.scale,
        p_skewed=p_skewed,
        failures=contest.failures,
        p_failures=p_failures if contest.failures.differ else math.nan,
        correlation=gain.correlation,
        variance_ratio=gain.variance_ratio,
    )


def _settled(contest: Contest, d: Sequence[float], level: float) -> tuple[Word, float, int]:
    """What the looks have settled about values, the unadjusted p-value of a difference, and its side.

    The side is that of the first look that found one: -1 in favour of the candidate, 0 for none.
    """
    looks = [n for n in _looks(d) if any(map(math.isfinite, (*contest.own[:n], *contest.other[:n])))]
    decisions = [settled(d[:n], contest.within(n), level) for n in looks]
    p_values = [p_at_look(d[:n]) for n in looks]
    side = next((_lean(d[:n]) for n, p in zip(looks, p_values, strict=True) if p <= level), 0)
    p = min(p_values, default=1.0)
    if "equivalent" in decisions:
        return "equivalent", p, side
    return next((decision for decision in decisions if decision), "inconclusive"), p, side


def _lean(d: Sequence[float]) -> int:
    """The side on which these differences lie, by their mean, or by their signs where t has nothing to say."""
    found = math.fsum(d) if has_spread(d) else sum(x > 0 for x in d) - sum(x < 0 for x in d)
    return (found > 0) - (found < 0)


def _failing(contest: Contest, level: float) -> tuple[float, int]:
    """1 / (s E) at the look with the most evidence E that one side fails alone more often, and which side that is.

    The side is 1 for the candidate and -1 for the reference, from the first look that found it; 0 if none did.
    """
    own = other = side = 0
    least = 1 / FAILURE_SHARE
    for one, two in zip(contest.own, contest.other, strict=True):
        own += math.isinf(one) and not math.isinf(two)
        other += math.isinf(two) and not math.isinf(one)
        p = 1 / (FAILURE_SHARE * sign_evidence(own, other))
        least = min(least, p)
        if p <= level and not side:
            side = 1 if own > other else -1
    return least, side


def _with_failures(values: Word, failures: Failures, failing: int) -> Word:
    """The word on values and on how often runs fail, together."""
    if failing:
        word: Word = "worse" if failing > 0 else "better"
        return "inconclusive" if values in ("better", "worse") and values != word else word
    if values == "equivalent" and failures.differ:
        return "inconclusive"
    return values


def _looks(d: Sequence[float]) -> list[int]:
    """The numbers of pairs that are judged in the same way as the last, by t or by signs."""
    by_t = has_spread(d)
    return [n for n in range(1, len(d) + 1) if has_spread(d[:n]) == by_t]


def p_at_look(d: Sequence[float]) -> float:
    """1 / (s E) after these differences, two-sided: E the evidence of t, or of signs where t has nothing to say."""
    if not has_spread(d):
        return 1 / (SIGN_SHARE * sign_evidence(sum(x > 0 for x in d), sum(x < 0 for x in d)))
    try:
        return 1 / (T_SHARE * t_evidence(d))
    except OverflowError:  # the evidence is too large
        return 0.0


def _interval(d: Sequence[float], level: float) -> Interval:
    if not has_spread(d):
        return median_sequence(d, SIGN_SHARE * level)
    looks = [confidence_sequence(d[:n], T_SHARE * level) for n in _looks(d)]
    common = Interval(max(look.low for look in looks), min(look.high for look in looks))
    return common if common.low <= common.high else looks[-1]  # with probability alpha they have nothing in common


def _notes(contest: Contest, paired: Paired, interval: Interval, side: int) -> list[str]:
    notes = [NO_VALUES] if not contest.has_values and paired.n else []
    notes += [paired.note.replace("by ranks", "by signs")] if paired.note else []
    is_borne_out = interval.low <= paired.difference <= interval.high and not side * paired.difference < 0
    if contest.has_values and not is_borne_out:
        notes.append(NOT_BORNE_OUT)
    return notes
