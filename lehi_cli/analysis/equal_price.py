"""The price at which a comparison was made: what the runs of an optimizer spent, relative to those of the reference.

Everything is charged in passes (gradients). A budget in passes gives all optimizers the same; one in epochs, steps or
seconds does not, and then nothing is said about an optimizer without its price as a multiple of the reference's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lehi_cli.runs.status import Status

from .results import Section, Series

SAME = 0.01  # runs end with a whole step, so equal prices differ by a fraction of one
MUCH = 0.05  # a larger difference is named, even if it is only the last step of an expensive optimizer
FEW_STEPS = 20
DEAR = 2.0  # passes a step


@dataclass(frozen=True)
class PriceOf:
    """What an optimizer spent.

    Attributes:
        label: label of the optimizer.
        passes: mean over its runs that used up their budget.
        steps: likewise.
        ratio: ratio of its passes to the reference's; NaN where either is unknown.
        reference: label of the reference.
        kind: kind of the budget: `passes`, `epochs`, `steps`, `seconds`.
        reference_steps: steps of the reference.
    """

    label: str
    passes: float
    steps: float
    ratio: float
    reference: str
    kind: str
    reference_steps: float

    @property
    def is_equal(self) -> bool:
        """Whether both spent the same: within 1 %, or, for a budget in passes, within one step up to 5 %."""
        if not math.isfinite(self.ratio):
            return False
        slack = SAME
        if self.kind == "passes" and self.steps and self.reference_steps:
            slack = max(SAME, min(MUCH, max(self.ratio / self.steps, 1 / self.reference_steps)))
        return abs(self.ratio - 1) <= slack

    @property
    def words(self) -> str:
        """`at equal price`, `at 1.67 times adam's price`, `in equal time, ...`, `at an unknown price`."""
        if not math.isfinite(self.ratio):
            return "at an unknown price"
        if self.is_equal:
            return "at equal price"
        if self.kind == "seconds":
            return f"in equal time, for {self.ratio:.3g} times {self.reference}'s passes"
        return f"at {self.ratio:.3g} times {self.reference}'s price"


def price_of(section: Section, series: Series, reference: Series) -> PriceOf:
    """What one optimizer spent in a section, relative to the reference."""
    own, other = _passes(series), _passes(reference)
    steps = _mean(series, "steps")
    ratio = own / other if other > 0 and math.isfinite(own) else math.nan
    kind = section.spec.budget.kind
    return PriceOf(series.label, own, steps, ratio, reference.label, _unit(kind), _mean(reference, "steps"))


def unequal(section: Section, reference: Series | None = None) -> list[str]:
    """The optimizers whose price is not the reference's, in words: `lehi at 1.67 times adam's price`."""
    base = reference or section.series[0]
    prices = [price_of(section, series, base) for series in section.ranked()]
    return [f"{price.label} {price.words}" for price in prices if math.isfinite(price.ratio) and not price.is_equal]


def few_steps(section: Section) -> list[str]:
    """The optimizers so expensive that they got hardly any steps for the common price, in words."""
    kind = section.spec.budget.kind
    if _unit(kind) != "passes":
        return []
    return [
        f"{series.label} got {steps:.0f} step{'s' if steps >= 1.5 else ''} for this price"
        for series in section.series
        if 0 < (steps := _mean(series, "steps")) < FEW_STEPS and _passes(series) > DEAR * steps
    ]


def _unit(kind: str) -> str:
    return "passes" if kind == "epoch_passes" else kind


def _passes(series: Series) -> float:
    return _mean(series, "passes")


def _mean(series: Series, what: str) -> float:
    """Mean over the runs that used up their budget: one that diverged spent less, which is not a saving."""
    values = [float(run.outcome[what]) for run in series.runs if run.status == Status.OK and what in run.outcome]
    return math.fsum(values) / len(values) if values else math.nan
