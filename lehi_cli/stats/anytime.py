"""The verdict where seeds were added after looking at the results: it stays valid however often one looks.

Pairs are taken in the order of their seeds, and at every number of them it is asked what they settle
(`lehi_cli.stats.sequential`). What was once settled stays so: it is an error with probability alpha at most over all
looks together, so looking on does not take it back. That makes the verdict the same whether seeds came one by one or
several at a time. Two things change it: a difference that more seeds place within the margin becomes *equivalent*,
which it is too; and after a run that diverges signs alone count, for t would have to count an infinite difference.

m comparisons shown together have alpha / m each (Bonferroni), m being known before the first look:

- the interval of the mean is what the confidence sequences of all looks have in common, those of all comparisons hold
  together with probability 1 - alpha; that of the median, where t has nothing to say, goes by signs at the last look;
- the p-value is min(1, m min over looks of 1 / (s E)), with E the evidence at a look and s the share of alpha that its
  kind, t or signs, has. By Ville's inequality it is below alpha with probability alpha at most where nothing differs,
  and p <= alpha is the same as *better* or *worse*, or *equivalent* with a difference that is real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .paired import Interval, Paired, compare_paired, differences
from .sequential import T_SHARE, confidence_sequence, has_spread, settled, sign_evidence, t_evidence
from .verdict import (
    NO_VALUES,
    REAL_BUT_WITHIN,
    BySeed,
    Key,
    Verdict,
    Word,
    at_common_seeds,
    check_levels,
    in_units,
    is_without_values,
)


def judge_anytime(
    pairs: Mapping[Key, tuple[BySeed, BySeed]],
    *,
    minimize: bool = True,
    margin: float = 0.01,
    alpha: float = 0.05,
    family: int = 0,
) -> dict[Key, Verdict]:
    """The verdict on each (candidate, reference), valid at every number of seeds.

    Seeds that only one of the two has are not compared: the other was settled before.

    Args:
        pairs: final value by seed of both; NaN or infinite for a run that ended without one, which counts as worst.
        minimize: whether lower is better.
        margin: a difference within this share of the reference's mean does not matter; 0 for no margin.
        alpha: chance of any false verdict in the family, over all looks.
        family: how many comparisons there are in all, if more than these; the same at every look.

    Returns:
        Verdicts with `method` *anytime*: without `p_t`, `p_wilcoxon`, `p_equivalent` and `detectable` (NaN), which hold
        for one look; `seeds_needed` is None until it is settled.

    Raises:
        UsageError: a negative margin, or alpha not between 0 and 1.
    """
    check_levels(margin, alpha)
    count = max(1, len(pairs), family)
    return {
        key: _verdict(*at_common_seeds(candidate, reference), minimize, margin, alpha, count)
        for key, (candidate, reference) in pairs.items()
    }


def median_sequence(d: Sequence[float], alpha: float) -> Interval:
    """Interval of the median of differences that may be infinite, valid at every n at once.

    [d₍ₖ₎, d₍ₙ₊₁₋ₖ₎] with the largest k such that the sign evidence of n - k + 1 above against k - 1 below reaches
    1 / alpha; infinite while there are too few.
    """
    n = len(d)
    reached = [k for k in range(1, n // 2 + 2) if k <= n and sign_evidence(n - k + 1, k - 1) >= 1 / alpha]
    # Evidence falls with k up to the middle, where it is at its lowest.
    if not reached:
        return Interval(-math.inf, math.inf)
    ordered = sorted(d)
    return Interval(ordered[reached[-1] - 1], ordered[n - reached[-1]])


def _verdict(
    own: Sequence[float], other: Sequence[float], minimize: bool, margin: float, alpha: float, family: int
) -> Verdict:
    paired = compare_paired(own, other, minimize=minimize)
    d = differences(own, other, minimize=minimize).tolist()
    word, p = _settled(own, other, d, minimize, margin, alpha / family)
    p = min(1.0, family * p)
    interval = _interval(d, alpha / family)
    notes = _notes(paired, interval, is_without_values(own, other), word == "equivalent" and p <= alpha)
    return Verdict(
        word,
        paired.n,
        paired.center,
        paired.difference,
        interval,
        in_units(margin, other),
        p_t=math.nan,
        p_wilcoxon=math.nan,
        p_adjusted=p,
        p_equivalent=math.nan,
        effect_size=paired.effect_size,
        detectable=math.nan,
        seeds_needed=None if word == "inconclusive" else paired.n,
        note="; ".join(notes),
        method="anytime",
    )


def _settled(
    own: Sequence[float], other: Sequence[float], d: Sequence[float], minimize: bool, margin: float, level: float
) -> tuple[Word, float]:
    """What the looks have settled, and the p-value of a difference before it is adjusted."""
    looks = [n for n in _looks(d) if not is_without_values(own[:n], other[:n])]
    decisions = [settled(d[:n], in_units(margin, other[:n]), level, minimize=minimize) for n in looks]
    p = min((p_at_look(d[:n]) for n in looks), default=1.0)
    if "equivalent" in decisions:
        return "equivalent", p
    return next((decision for decision in decisions if decision), "inconclusive"), p


def _looks(d: Sequence[float]) -> list[int]:
    """The numbers of pairs at which the same is gone by, t or signs, as at the last."""
    by_t = has_spread(d)
    return [n for n in range(1, len(d) + 1) if has_spread(d[:n]) == by_t]


def p_at_look(d: Sequence[float]) -> float:
    """1 / (s E) after these differences, two-sided: E the evidence of t, or of signs where t has nothing to say."""
    try:
        if has_spread(d):
            return 1 / (T_SHARE * t_evidence(d))
        return 1 / ((1 - T_SHARE) * sign_evidence(sum(x > 0 for x in d), sum(x < 0 for x in d)))
    except OverflowError:  # of the evidence
        return 0.0


def _interval(d: Sequence[float], level: float) -> Interval:
    if not has_spread(d):
        return median_sequence(d, (1 - T_SHARE) * level)
    looks = [confidence_sequence(d[:n], T_SHARE * level) for n in _looks(d)]
    common = Interval(max(look.low for look in looks), min(look.high for look in looks))
    return common if common.low <= common.high else looks[-1]  # which have nothing in common with probability alpha


def _notes(paired: Paired, interval: Interval, is_empty: bool, is_real_but_within: bool) -> list[str]:
    notes = [NO_VALUES] if is_empty and paired.n else []
    notes += [note for note in (paired.censoring, paired.note.replace("by ranks", "by signs")) if note]
    if not (is_empty or interval.low <= paired.difference <= interval.high):
        notes.append("the later seeds do not bear out what the first ones settled")
    return [*notes, REAL_BUT_WITHIN] if is_real_but_within else notes
