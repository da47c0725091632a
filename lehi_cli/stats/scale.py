"""The scale on which final values are compared, one where a share of the reference means something.

A loss of 2.0 against 2.2 and one of 0.02 against 0.022 matter equally to whoever trains: losses are compared by their
ratio, on a logarithmic scale, on which runs that vary by factors are also symmetric. Two cases are different:

- A loss with a known floor, such as noise that nobody can predict, is compared by its distance to that floor: 0.0105
  and 0.0127 are far apart where 0.01 is the minimum.
- For an accuracy, the error rate is what matters: 0.955 against 0.951 is 8 % fewer errors. Runs without any error are
  common, and a ratio to 0 says nothing, so error rates are compared by their difference.

Where a value is not above the floor (above 0 without one) there is no ratio, and the difference takes its place. On
every scale less is better, so a negative difference is in favour of the candidate. `benchmarks/bench_scale.py` looks at
which scale suits real runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .paired import mean_of


@dataclass(frozen=True)
class Scale:
    """How values are compared; see the module.

    Attributes:
        kind: `ratio` compares logarithms, `difference` the values themselves.
        floor: the lowest possible value, subtracted first; None if none is known.
        best: the highest possible value of a metric where more is better: values are compared by the distance to it.
    """

    kind: Literal["ratio", "difference"] = "difference"
    floor: float | None = None
    best: float | None = None

    def of(self, value: float) -> float:
        """A value on the scale, where less is better; infinite for one that is not finite, which counts as worst."""
        if not math.isfinite(value):
            return math.inf
        distance = self._distance(value)
        return math.log(distance) if self.kind == "ratio" else distance

    def margin(self, share: float, reference: Sequence[float]) -> float:
        """A share of the reference, in units of the scale: `log(1 + share)`, or `share` times its mean distance.

        0, which is no margin, for a difference of values without a natural zero.

        Args:
            share: the share, such as 0.01.
            reference: values of the reference, not on the scale; those that are not finite are skipped.
        """
        if self.kind == "ratio":
            return math.log1p(share)
        finite = [self._distance(value) for value in reference if math.isfinite(value)]
        if not finite or (self.floor is None and self.best is None):
            return 0.0
        return share * max(mean_of(finite), 0.0)

    @property
    def has_margin(self) -> bool:
        """Whether a share of the reference means something on this scale."""
        return self.kind == "ratio" or self.floor is not None or self.best is not None

    def _distance(self, value: float) -> float:
        if self.best is not None:
            return self.best - value
        return value if self.floor is None else value - self.floor


def scale_of(values: Iterable[float], floor: float | None = None, best: float | None = None) -> Scale:
    """The scale for a metric.

    Args:
        values: all values that will be compared on it; those that are not finite are ignored.
        floor: the lowest value that the metric can have, where it is known.
        best: the highest value that the metric can have, if more is better; None if less is.
    """
    if best is not None:
        return Scale(best=best)
    least = min((value for value in values if math.isfinite(value)), default=math.nan)
    return Scale("ratio" if least > (floor or 0.0) else "difference", floor)
