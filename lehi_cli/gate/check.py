"""When an assertion holds: true, false, or undecided by these seeds.

Each section (task and budget) and seed gives a left value l and a right value r, from runs with the same initial
weights and the same batches; a side that is a plain number is the same at every seed. The difference is d = l - r. For
`left < right` and `left <= right`:

- *true* when a one-sided test at level alpha shows that the mean of d lies below 0;
- *false* when the one-sided test the other way shows that it lies above;
- *inconclusive* otherwise.

So both `lehi < adam` and `lehi <= adam` must show that lehi is lower; `lehi <= 1.02*adam` says that it is worse by no
more than 2 %. `>` and `>=` are the same with the sides exchanged. The test is Student's paired t; where that is
undefined (a run that diverged counts as worst and makes a difference infinite, two of them at one seed are a tie; or
all differences are the same) it is the signed-rank test, and the difference shown is the median.

A run that diverges or fails matters. While the side that is said to be better loses more runs than the other, over the
same seeds, nothing about its results is *true*: the check is *inconclusive*, and says how likely such a difference is
if both sides fail equally often (`lehi_cli.stats.failures`). A plain number loses none. `allow_diverged` skips this.

Where seeds were added after a look at the results, by `--seeds auto` or by hand, such tests would be rash. There the
evidence is of a kind that stays valid however often one looks, see `lehi_cli.gate.evidence`.

What is counted, not measured (bytes of state, passes per step, steps, passes), and the same in every run is compared
exactly, with any number of seeds. Only there do `<` and `<=` differ. Equal means equal up to rounding.

There may be several checks, of several assertions or of one on several tasks:

- The gate passes when all of them are true, so it wrongly passes only if one that does not hold is wrongly found true.
  That has probability at most alpha: in an intersection-union test, p-values of *true* need no adjustment.
- A single false check fails the gate, and each could be found false by chance. p-values of *false* are adjusted by
  Holm's method over all checks that rest on a test: on two or more seeds, and not exact. The probability of any wrong
  *false* is then at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lehi_cli.analysis.arrivals import Target, task_target
from lehi_cli.analysis.equal_price import price_of
from lehi_cli.analysis.looks import Looks
from lehi_cli.analysis.results import Section
from lehi_cli.errors import Exit, UsageError
from lehi_cli.stats.paired import Interval, holm, median, t_is_defined
from lehi_cli.stats.sequential import seeds_to_settle
from lehi_cli.stats.verdict import LATER_SHARE, OTHER_SEEDS

from .binding import Bound, bind, the_series
from .evidence import Evidence, gather, pair_in
from .expression import Assertion
from .quantity import is_quality

Truth = Literal["true", "false", "inconclusive"]
ALPHA = 0.05


@dataclass(frozen=True)
class Check:
    """An assertion on one section.

    Attributes:
        assertion: what was asserted.
        task: the section's title.
        outcome: whether it holds.
        n: seeds at which both sides have a value.
        center: what `difference` and `interval` refer to: `mean`, or `median` where there is no mean.
        difference: left minus right; NaN without seeds.
        interval: two-sided, with confidence 1 - 2 alpha (90 % by default), so that for `<` the t test finds *true* when
            all of it is below 0. Where seeds were added after a look, the confidence is 1 - alpha, valid at every look.
            In logarithms for a ratio.
        p: one-sided p-value in the direction in which the differences lean; adjusted by Holm's method when that is
            against the assertion. NaN where nothing was tested: compared exactly, or fewer than two seeds.
        reason: a sentence for people.
        is_ratio: whether `difference` and `interval` are in logarithms.
        price: price of the left side against the right, in words; empty unless the assertion is about results of two.
        pair: the key under which looks at it are remembered, see `lehi_cli.analysis.looks`.
        seeds: the seeds at which both sides have a value.
    """

    assertion: Assertion
    task: str
    outcome: Truth
    n: int
    center: Literal["mean", "median"]
    difference: float
    interval: Interval
    p: float
    reason: str
    is_ratio: bool = False
    price: str = ""
    pair: str = ""
    seeds: Sequence[int] = ()


def check_all(
    assertions: Sequence[Assertion],
    sections: Sequence[Section],
    alpha: float = ALPHA,
    target: Target | None = None,
    looks: Looks | None = None,
    allow_diverged: bool = False,
    split: str = "val",
) -> list[Check]:
    """Check each assertion on each section that has its optimizers and columns.

    Args:
        assertions: as returned by `parse`.
        sections: all sections shown; their checks are one family.
        alpha: level of each one-sided test.
        target: the target of `passes_to_target` and the like; None for each task's own.
        looks: the seeds at which pairs were looked at before.
        allow_diverged: let an assertion be true although its better side loses more runs.
        split: the split whose loss an assertion without a column is about.

    Raises:
        UsageError: a name that means several optimizers of a section, an assertion that fits no section, a column that
            needs a target where none is known, or alpha not between 0 and 0.5.
        UnknownNameError: an optimizer or a column that no section has.
    """
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}", "a level between 0 and 0.5, such as 0.05")
    found = [
        (bound, sections[i], gather(bound, sections[i], target or task_target(sections[i]), alpha, looks))
        for bound in (bind(assertion, sections, f"{split}_loss") for assertion in assertions)
        for i in bound.fitting
    ]
    adjusted = iter(holm([evidence.p_false for *_, evidence in found if evidence.is_test]))
    family = sum(evidence.is_test for *_, evidence in found)
    checks = []
    for bound, section, evidence in found:
        p_false = next(adjusted) if evidence.is_test else math.nan
        check = _check(bound.assertion, section.title, evidence, p_false, family, alpha)
        pair = pair_in(section, [the_series(section, operand.optimizer) for operand in bound.operands])
        check = check if allow_diverged else _with_failures(check, evidence)
        checks.append(replace(check, pair=pair, seeds=evidence.seeds, price=_price(bound, section)))
    return checks


def _price(bound: Bound, section: Section) -> str:
    """The price at which asserted results were obtained: `lehi at 1.67 times adam's price`."""
    if len(bound.operands) < 2 or not all(is_quality(operand.column) for operand in bound.operands):
        return ""
    left, right = (the_series(section, operand.optimizer) for operand in bound.operands)
    price = price_of(section, left, right)
    return price.words if price.is_equal else f"{price.label} {price.words}"


def _with_failures(check: Check, evidence: Evidence) -> Check:
    """The check, which is not true while the side that is said to be better loses more runs."""
    failures = evidence.failures
    if check.outcome != "true" or failures.excess <= 0:
        return check
    p = failures.p / 2  # one-sided, in the observed direction
    lost = f"the better side lost {failures.own} of {failures.n} runs, the other {failures.other} (p = {p:.2g})"
    return replace(check, outcome="inconclusive", reason=f"{lost}; --allow-diverged disregards that; {check.reason}")


def undecided(assertion: Assertion, why: str) -> Check:
    """A check on runs that decide nothing: an unchecked assertion must not pass."""
    return Check(
        assertion, "no task", "inconclusive", 0, "mean", math.nan, Interval(-math.inf, math.inf), math.nan, why
    )


def exit_code(checks: Sequence[Check]) -> Exit:
    """The exit code of the worst outcome: false, then inconclusive, then true."""
    outcomes = {check.outcome for check in checks}
    if "false" in outcomes:
        return Exit.ASSERT_FALSE
    return Exit.ASSERT_INCONCLUSIVE if "inconclusive" in outcomes else Exit.OK


def _check(assertion: Assertion, title: str, evidence: Evidence, p_false: float, family: int, alpha: float) -> Check:
    outcome = _exactly(assertion, evidence) if evidence.method == "exact" else _tested(evidence, p_false, alpha)
    p = evidence.p_true if evidence.p_true <= evidence.p_false else p_false
    d = evidence.difference
    by_mean = evidence.method == "exact" or t_is_defined(d) or (len(d) == 1 and math.isfinite(d[0]))
    return Check(
        assertion,
        title,
        outcome,
        evidence.n,
        "mean" if by_mean else "median",
        float(d.mean()) if by_mean else median(d),
        evidence.interval,
        p,
        "; ".join(_reasons(evidence, outcome, p, family, alpha)),
        evidence.is_ratio,
    )


def _exactly(assertion: Assertion, evidence: Evidence) -> Truth:
    gain = float(evidence.gain.max())
    return "true" if gain < 0 or (not gain and assertion.allows_equal) else "false"


def _tested(evidence: Evidence, p_false: float, alpha: float) -> Truth:
    """The outcome of a test; without one both p-values are NaN, which is below nothing."""
    if evidence.p_true <= alpha:
        return "true"
    return "false" if p_false <= alpha else "inconclusive"


def _reasons(evidence: Evidence, outcome: Truth, p: float, family: int, alpha: float) -> Iterator[str]:
    """The sentence, piece by piece."""
    if outcome == "inconclusive":
        yield _undecided(evidence, p, family, alpha)
    else:
        yield _decided(evidence, outcome, p, family, alpha)
    yield from evidence.notes


def _decided(evidence: Evidence, outcome: Truth, p: float, family: int, alpha: float) -> str:
    if evidence.method == "exact":
        equal = "" if evidence.gain.any() else ", both sides are equal"
        return f"counted, and the same in every run{equal}"
    by = f"{_HOW[evidence.method]}, {_equals(p)}"
    if outcome == "true":
        skewed = f"; {evidence.p_skewed:.2g} if differences were strongly skewed" if evidence.p_skewed > alpha else ""
        return f"shown over {evidence.n} seeds ({by}, one-sided{skewed})"
    return f"the opposite is shown over {evidence.n} seeds ({by}{_adjusted(family)})"


_HOW = {"t": "t test", "ranks": "by ranks", "anytime": "valid however often one looks"}


def _equals(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _adjusted(family: int) -> str:
    return f", adjusted for {family} checks" if family > 1 else ""


def _undecided(evidence: Evidence, p: float, family: int, alpha: float) -> str:
    n = evidence.n
    if evidence.method == "refused":
        return OTHER_SEEDS
    if not n:
        return "no seed has anything to compare"
    if not evidence.has_values:
        return "no run ended with a value to compare"
    if n == 1:
        return f"one seed cannot tell a difference from chance; {math.ceil(-math.log2(alpha))} are a start"
    if not evidence.gain.any():
        return f"both sides are equal at each of {n} seeds; a margin can be shown, such as 1.02 times the right side"
    if evidence.p_false <= alpha:
        return f"{n} seeds speak against it, but not enough ({_equals(p)}{_adjusted(family)})"
    return f"{n} seeds show neither this nor the opposite; {_seeds_needed(evidence, alpha)}"


def _seeds_needed(evidence: Evidence, alpha: float) -> str:
    """How many seeds would settle it if they went on like these, by the rule that allows for having looked."""
    gain = evidence.gain
    needed = None
    if t_is_defined(gain):
        needed = seeds_to_settle(float(gain.mean() / gain.std(ddof=1)), 0.0, evidence.n, LATER_SHARE * alpha)
    return f"about {needed} in all may" if needed else "these do not tell how many would"
