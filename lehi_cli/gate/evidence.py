"""What the runs of a section say about an assertion: differences of the two sides, seed by seed, and p-values.

Values of a metric are compared on the scale of the verdicts (`lehi_cli.stats.scale`): where that is a ratio, the
difference is one of logarithms. One-sided p-values for both directions come from the first of these methods that fits:

- *exact*: what is counted, not measured, and is the same in every run needs no test;
- *anytime*: seeds were added after a look at the results. p = min(1, 1 / (s E)) with E the evidence after all seeds and
  s the share of alpha that its kind gets (`lehi_cli.stats.sequential`): valid however often one looks;
- *refused*: the pair was looked at before with seeds that are not among these, and no rule covers that;
- *none*: fewer than two seeds say nothing about chance;
- *t*: Student's paired t;
- *ranks*: the signed-rank test, where a difference is infinite or all are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lehi_cli.analysis.arrivals import Target
from lehi_cli.analysis.finals import scale_in
from lehi_cli.analysis.looks import Looks, pair_id
from lehi_cli.analysis.results import Section, Series
from lehi_cli.runs.metrics import metric_named
from lehi_cli.stats.anytime import median_sequence, p_at_look
from lehi_cli.stats.failures import Failures, count_failures
from lehi_cli.stats.paired import NO_SPREAD, Interval, median_interval, t_interval, t_is_defined, t_test, wilcoxon
from lehi_cli.stats.sequential import SIGN_SHARE, T_SHARE, confidence_sequence, has_spread
from lehi_cli.stats.shape import skewed_paired_p
from lehi_cli.stats.verdict import FIRST_SHARE, UNBOUNDED, Method

from .binding import Bound, Operand, the_series
from .quantity import Readings, is_counted, is_quality, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

EvidenceMethod = Literal["exact", "anytime", "refused", "none", "t", "ranks"]


@dataclass(frozen=True)
class Evidence:
    """An assertion's two sides in one section.

    Attributes:
        difference: left minus right `[n]`, in logarithms where `is_ratio`; worst minus worst is 0.
        gain: `difference` or its negative, whichever is negative where it supports the assertion.
        method: how it is judged.
        p_true: one-sided, small where the assertion holds; NaN without a test.
        p_false: one-sided, small where the opposite holds; NaN without a test.
        interval: of the mean, or of the median where there is no mean; two-sided.
        has_values: whether any run ended with a value.
        notes: which runs were left out, and which count as worst.
        is_ratio: whether `difference` and `interval` are in logarithms.
        failures: failed runs of the side that is asserted to be better, against those of the other.
        seeds: the seeds at which both sides have a value, in the order in which they were looked at.
        p_skewed: two-sided, if the differences were as skewed as an exponential distribution; NaN where t does not
            decide.
    """

    difference: Numbers
    gain: Numbers
    method: EvidenceMethod
    p_true: float
    p_false: float
    interval: Interval
    has_values: bool
    notes: Sequence[str]
    is_ratio: bool = False
    failures: Failures = field(default_factory=lambda: Failures(0, 0, 0, 0, 0))
    seeds: Sequence[int] = ()
    p_skewed: float = math.nan

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.gain)

    @property
    def is_test(self) -> bool:
        """Whether chance plays a part, so that it counts among the tests."""
        return self.method not in ("exact", "none", "refused")


def gather(bound: Bound, section: Section, target: Target | None, alpha: float, looks: Looks | None = None) -> Evidence:
    """The evidence of a section.

    Args:
        bound: an assertion that fits the section.
        section: the runs.
        target: the target, for columns that need one.
        alpha: level of the one-sided tests; the interval has confidence 1 - 2 alpha, *anytime* 1 - alpha, where alpha
            is reduced by the share that is kept for other looks.
        looks: the seeds at which the pair was looked at before.

    Raises:
        UsageError: when a name means several optimizers of the section, or a column needs a target and there is none.
    """
    series = {operand: the_series(section, operand.optimizer) for operand in bound.operands}
    readings = {operand: read(own, operand.column, target) for operand, own in series.items()}
    shared = sorted(set.intersection(*(set(own.values) for own in readings.values())))
    seeds = [seed for seed in shared if not _is_unknown(bound, readings, seed)]
    pair, looks = pair_in(section, list(series.values())), looks or Looks()
    seeds = [*(seed for seed in looks.order(pair) if seed in seeds), *(s for s in seeds if s not in looks.order(pair))]
    left, right = ([_value(side, readings, seed) for seed in seeds] for side in (bound.left, bound.right))
    is_exact = all(is_counted(operand.column, section) for operand in bound.operands)
    is_exact = is_exact and _is_constant(left) and _is_constant(right)
    is_ratio = not is_exact and _is_ratio(bound, section, [*left, *right])
    difference = _differences(*((_logs(left), _logs(right)) if is_ratio else (left, right)), is_exact)
    gain = difference if bound.assertion.is_below else -difference
    method = _method(gain, is_exact, any(run.adaptive for run in section.runs), looks.rule(pair, seeds).method)
    return Evidence(
        difference,
        gain,
        method,
        *_p_values(gain, method, looks.rule(pair, seeds).share),
        _interval(difference, method, alpha, looks.rule(pair, seeds).share),
        any(math.isfinite(own.values[seed]) for own in readings.values() for seed in seeds),
        list(dict.fromkeys([*_chosen(series.values()), *_notes(readings, shared, seeds)])),
        is_ratio,
        _failures(bound, left, right),
        seeds,
        skewed_paired_p(gain) if method == "t" else math.nan,
    )


def pair_in(section: Section, series: Sequence[Series]) -> str:
    """The key under which looks at an assertion are remembered; one optimizer's own for it against a number."""
    return pair_id(section, series[0], series[-1])


def _is_ratio(bound: Bound, section: Section, values: Sequence[float]) -> bool:
    """Whether the verdicts on this metric are on a ratio scale, and both sides can be too."""
    columns = {operand.column for operand in bound.operands}
    if len(columns) > 1 or not all(is_quality(column) for column in columns):
        return False
    split, _, metric = columns.pop().partition("_")
    scale = scale_in(section, (split, metric))
    return scale.kind == "ratio" and scale.floor is None and min(values, default=0.0) > 0


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) if math.isfinite(value) else value for value in values]


def _failures(bound: Bound, left: Sequence[float], right: Sequence[float]) -> Failures:
    """Failed runs, those of the side that is said to be better first; for results only, not for costs and times."""
    column = bound.operands[0].column
    if not is_quality(column):
        return Failures(0, 0, len(left), 0, 0)
    lower_is_better = not metric_named(column.partition("_")[2]).higher_is_better
    sides = (left, right) if bound.assertion.is_below == lower_is_better else (right, left)
    return count_failures(*sides)


def _value(operand: Operand, readings: Mapping[Operand, Readings], seed: int) -> float:
    """A side's value at a seed; a plain number is the same at every seed."""
    return operand.side.of(readings[operand].values[seed]) if operand in readings else operand.side.offset


def _is_unknown(bound: Bound, readings: Mapping[Operand, Readings], seed: int) -> bool:
    """Whether a run that ended before it arrived was watched too briefly to say which side is greater."""
    for operand, other in ((bound.left, bound.right), (bound.right, bound.left)):
        if operand in readings and seed in readings[operand].until:
            end, value = operand.side.of(readings[operand].until[seed]), _value(other, readings, seed)
            is_beyond = value > end if operand.side.factor > 0 else value < end
            if is_beyond and math.isfinite(value):
                return True
    return False


def _chosen(series: Iterable[Series]) -> Iterator[str]:
    """Notes on optimizers that are the best of several settings, chosen on these very runs."""
    for own in series:
        if own.chosen_from > 1:
            yield f"{own.label} is the best of {own.chosen_from} settings by {own.chosen_by}, which flatters it"


def _notes(readings: Mapping[Operand, Readings], shared: Sequence[int], seeds: Sequence[int]) -> Iterator[str]:
    for own in readings.values():
        yield from own.notes
    unpaired = sorted({seed for own in readings.values() for seed in own.values} - set(shared))
    if unpaired:
        yield f"{_seeds(unpaired)} not on both sides, left out"
    unknown = sorted(set(shared) - set(seeds))
    if unknown:
        yield f"{_seeds(unknown)} left out: a run ended too early to tell when it would have arrived"
    for operand, own in readings.items():
        worst = sum(not math.isfinite(own.values[seed]) for seed in seeds)
        if worst:
            yield f"{operand.optimizer}: {worst} of {len(seeds)} runs have no {operand.column} and count as worst"


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]} is" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))} are"


def _is_constant(values: Sequence[float]) -> bool:
    """Whether there are values and all are the same up to rounding."""
    return bool(values) and max(values) - min(values) <= NO_SPREAD * max(map(abs, values))


def _differences(left: Sequence[float], right: Sequence[float], is_exact: bool) -> Numbers:
    """Left minus right; worst minus worst is 0, and so are differences by mere rounding when compared exactly."""
    import numpy as np

    own, other = np.array(left, dtype=float), np.array(right, dtype=float)
    d = np.zeros(len(own))
    np.subtract(own, other, out=d, where=own != other)
    if is_exact:
        d[abs(d) <= NO_SPREAD * np.maximum(abs(own), abs(other))] = 0.0
    return d


def _method(gain: Numbers, is_exact: bool, was_adaptive: bool, looked: Method) -> EvidenceMethod:
    if is_exact:
        return "exact"
    if looked == "refused":
        return "refused"
    if was_adaptive or looked == "anytime":
        return "anytime"
    if len(gain) < 2:
        return "none"
    return "t" if t_is_defined(gain) else "ranks"


def _p_values(gain: Numbers, method: EvidenceMethod, share: float) -> tuple[float, float]:
    """p-values for the assertion and for its opposite, divided by the share of alpha that this kind of look gets."""
    if method == "t":
        return _of_first_look(t_test(gain, "less")), _of_first_look(t_test(gain, "greater"))
    if method == "ranks":
        return _of_first_look(wilcoxon(gain, "less")), _of_first_look(wilcoxon(gain, "greater"))
    return _anytime(gain.tolist(), share) if method == "anytime" else (math.nan, math.nan)


def _of_first_look(p: float) -> float:
    return min(1.0, p / FIRST_SHARE)


def _anytime(gain: Sequence[float], share: float) -> tuple[float, float]:
    """The two-sided p-value for the direction in which the differences lean, and 1 for the other."""
    lean = math.fsum(gain) if has_spread(gain) else sum(x > 0 for x in gain) - sum(x < 0 for x in gain)
    p = min(1.0, p_at_look(gain) / share)
    return (p if lean < 0 else 1.0), (p if lean > 0 else 1.0)


def _interval(d: Numbers, method: EvidenceMethod, alpha: float, share: float) -> Interval:
    """The interval, at the level of the tests."""
    if method == "exact":
        return Interval(float(d.min()), float(d.max()))
    if method == "refused":
        return UNBOUNDED
    if method == "anytime":
        values = d.tolist()
        if has_spread(values):
            return confidence_sequence(values, T_SHARE * share * alpha)
        return median_sequence(values, SIGN_SHARE * share * alpha)
    confidence = 1 - 2 * FIRST_SHARE * alpha
    return t_interval(d, confidence) if method == "t" else median_interval(d, confidence)
