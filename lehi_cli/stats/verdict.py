"""One word on a candidate against a reference, and what it stands on.

- *equivalent*: two one-sided tests place the difference within the margin. It comes first: a difference that is real
  but smaller than what matters is equivalent, and the note says that it is real.
- *better*, *worse*: the paired test finds a difference.
- *inconclusive*: neither; more seeds may settle it, and the verdict says how many.

Several comparisons are one family: p-values are adjusted by Holm's method, so that the chance of any false *better* or
*worse* among them is alpha at most. The adjustment of equivalence is a family of its own.

All of this takes the number of seeds as chosen beforehand; where it was not, `lehi_cli.stats.anytime` judges.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from lehi_cli.errors import UsageError

from .paired import Interval, Paired, compare_paired, differences, holm, mean_of, seeds_for_ranks, tost, wilcoxon
from .power import detectable_effect, seeds_for_difference, seeds_for_equivalence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Word = Literal["better", "worse", "equivalent", "inconclusive"]
BySeed = Mapping[int, float]
Key = TypeVar("Key", bound=Hashable)

NO_VALUES = "no run of either ended with a value"
REAL_BUT_WITHIN = "the difference is significant, but within the margin"


@dataclass(frozen=True)
class Verdict:
    """A candidate against a reference.

    Attributes:
        word: *better*, *worse*, *equivalent* or *inconclusive*.
        n: seeds that both have.
        center: what `difference` and `interval` are of: `mean`, or `median` where a run has no value.
        difference: candidate minus reference.
        interval: of the difference, at confidence 1 - alpha, not adjusted for several comparisons.
        margin: within which a difference does not matter, in units of the values.
        p_t: paired t test; NaN where it is undefined.
        p_wilcoxon: signed-rank test.
        p_adjusted: the one gone by (t where it is defined), adjusted by Holm's method.
        p_equivalent: two one-sided tests, adjusted by Holm's method.
        effect_size: Cohen's d_z; NaN without spread.
        detectable: the smallest difference that n seeds find with probability 80 %; NaN without spread.
        seeds_needed: seeds in all (not more than there are) to settle it with probability 80 %, should they go on like
            these; n once it is settled; None when these do not tell, or more than 10,000.
        note: what a reader must know; may be empty.
        method: `fixed` for a number of seeds chosen beforehand; `anytime` where seeds were added after looking, see
            `lehi_cli.stats.anytime` for what the interval and `p_adjusted` then are.
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
    method: Literal["fixed", "anytime"] = "fixed"


def judge_pairs(
    pairs: Mapping[Key, tuple[BySeed, BySeed]],
    *,
    minimize: bool = True,
    margin: float = 0.01,
    alpha: float = 0.05,
    family: int = 0,
) -> dict[Key, Verdict]:
    """The verdict on each (candidate, reference), all of them one family.

    Args:
        pairs: final value by seed of both; NaN or infinite for a run that ended without one, which counts as worst.
        minimize: whether lower is better.
        margin: a difference within this share of the reference's mean does not matter; 0 for no margin.
        alpha: chance of any false verdict of a kind in the family.
        family: how many comparisons there are in all, if more than these; the others are taken to find nothing.

    Raises:
        UsageError: a negative margin, or alpha not between 0 and 1.
    """
    check_levels(margin, alpha)
    others = [1.0] * (family - len(pairs))
    matches = [_match(candidate, reference, minimize, margin, alpha) for candidate, reference in pairs.values()]
    p_values = holm([*(match.paired.p for match in matches), *others])[: len(matches)]
    p_equivalents = holm([*(match.p_equivalent for match in matches), *others])[: len(matches)]
    level = alpha / max(1, len(matches) + len(others))
    return {
        key: _verdict(match, p, p_equivalent, alpha, level)
        for key, match, p, p_equivalent in zip(pairs, matches, p_values, p_equivalents, strict=True)
    }


def check_levels(margin: float, alpha: float) -> None:
    """See that both can be what they are meant for.

    Raises:
        UsageError: a negative or infinite margin, or alpha not between 0 and 1.
    """
    if not 0 <= margin < math.inf:
        raise UsageError(f"margin is {margin}", "a share of the reference's mean, such as 0.01; 0 for none")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}", "a level between 0 and 1, such as 0.05")


def at_common_seeds(candidate: BySeed, reference: BySeed) -> tuple[list[float], list[float]]:
    """Values of both at the seeds that both have, in the order of the seeds."""
    seeds = sorted(candidate.keys() & reference.keys())
    return [candidate[seed] for seed in seeds], [reference[seed] for seed in seeds]


def in_units(margin: float, reference: Sequence[float]) -> float:
    """A share of the mean of the reference's finite values, in units of the values; 0 where there are none."""
    finite = [value for value in reference if math.isfinite(value)]
    return margin * abs(mean_of(finite)) if finite else 0.0


def is_without_values(candidate: Sequence[float], reference: Sequence[float]) -> bool:
    """Whether no run of either ended with a value."""
    return not any(math.isfinite(value) for value in (*candidate, *reference))


@dataclass(frozen=True)
class _Match:
    """A pair before adjustment; `gain` is negative where the candidate is better."""

    paired: Paired
    gain: Numbers
    margin: float
    p_equivalent: float
    is_empty: bool
    left_out: tuple[int, ...]


def _match(candidate: BySeed, reference: BySeed, minimize: bool, margin: float, alpha: float) -> _Match:
    own, other = at_common_seeds(candidate, reference)
    within = in_units(margin, other)
    d = differences(own, other, minimize=minimize)
    is_empty = is_without_values(own, other)
    return _Match(
        compare_paired(own, other, minimize=minimize, confidence=1 - alpha),
        d if minimize else -d,
        within,
        1.0 if is_empty else tost(d, within),
        is_empty,
        tuple(sorted(candidate.keys() ^ reference.keys())),
    )


def _verdict(match: _Match, p: float, p_equivalent: float, alpha: float, level: float) -> Verdict:
    paired = match.paired
    word = _word(match, p, p_equivalent, alpha)
    detectable = math.nan
    if not math.isnan(paired.p_t):
        detectable = paired.sd * detectable_effect(paired.n, level)
    return Verdict(
        word,
        paired.n,
        paired.center,
        paired.difference,
        paired.interval,
        match.margin,
        paired.p_t,
        paired.p_wilcoxon,
        p,
        p_equivalent,
        paired.effect_size,
        detectable,
        _seeds_needed(match, level) if word == "inconclusive" else paired.n,
        "; ".join(_notes(match, word, p <= alpha, level)),
    )


def _word(match: _Match, p: float, p_equivalent: float, alpha: float) -> Word:
    if match.is_empty:
        return "inconclusive"
    if p_equivalent <= alpha:
        return "equivalent"
    if p > alpha:
        return "inconclusive"
    if math.isnan(match.paired.p_t):
        return "better" if wilcoxon(match.gain, "less") < wilcoxon(match.gain, "greater") else "worse"
    return "better" if float(match.gain.mean()) < 0 else "worse"


def _seeds_needed(match: _Match, level: float) -> int | None:
    paired, gain = match.paired, match.gain
    if match.is_empty or (paired.n < 2 and not paired.censoring):
        return None
    if not gain.any():
        needed: list[int | None] = [math.ceil(-math.log2(level))]
    elif math.isnan(paired.p_t):
        needed = [seeds_for_ranks(gain, level)]
    else:
        needed = [seeds_for_difference(paired.effect_size, level)]
        needed.append(seeds_for_equivalence(paired.effect_size, match.margin / paired.sd, level))
    found = [seeds for seeds in needed if seeds is not None]
    return max(paired.n + 1, min(found)) if found else None


def _notes(match: _Match, word: Word, is_significant: bool, level: float) -> list[str]:
    paired = match.paired
    notes = []
    if match.left_out:
        seeds = ", ".join(map(str, match.left_out))
        several = len(match.left_out) > 1
        notes.append(f"seed{'s' if several else ''} {seeds} {'are' if several else 'is'} not in both and left out")
    if match.is_empty and paired.n:
        notes.append(NO_VALUES)
    notes += [note for note in (paired.censoring, paired.note) if note]
    if word == "equivalent" and is_significant:
        notes.append(REAL_BUT_WITHIN)
    if paired.n and paired.smallest_p > level:
        able = math.ceil(1 - math.log2(level))
        seeds = f"{paired.n} seed{'s' if paired.n > 1 else ''}"
        limit = f"by ranks {seeds} cannot go below p = {paired.smallest_p:.2g}, {able} can reach {level:.2g}"
        by_t = word != "inconclusive" and not math.isnan(paired.p_t)
        notes.append(f"rests on the t test, which takes differences as normal; {limit}" if by_t else limit)
    return notes
