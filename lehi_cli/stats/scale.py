"""The scale on which final values are compared: where a share of the reference means something.

A loss of 2.0 against 2.2 and one of 0.02 against 0.022 differ by as much to whoever trains: losses are compared by
their ratio, on a logarithmic scale, on which runs that vary by factors also lie symmetrically. Two cases are different:

- A loss with a known floor, such as the noise that nobody can predict, is compared by its distance to that floor:
  0.0105 and 0.0127 are far apart where 0.01 is the minimum.
- Of an accuracy it is the error rate that matters: 0.955 against 0.951 is 8 % fewer errors. Runs without any error
  are common, and a ratio to 0 says nothing, so error rates are compared by their difference.

Where a value does not lie above the floor (above 0 without one) no ratio exists, and the difference takes its place.
On every scale less is better, so a negative difference is in favour of the candidate. Which scale suits real runs was
looked at in `benchmarks/bench_scale.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .paired import mean_of
from .summary import BEST_VALUE


@dataclass(frozen=True)
class Scale:
    """How values are compared; see the module.

    Attributes:
        kind: `ratio` compares logarithms, `difference` the values themselves.
        floor: the least value there can be, subtracted first; None where none is known.
        best: the greatest value there can be, of a metric of which more is better: compared is what is missing to it.
    """

    kind: Literal["ratio", "difference"] = "difference"
    floor: float | None = None
    best: float | None = None

    def of(self, value: float) -> float:
        """A value on the scale, less being better; infinite for one that is not finite, which counts as worst."""
        if not math.isfinite(value):
            return math.inf
        distance = self._distance(value)
        return math.log(distance) if self.kind == "ratio" else distance

    def margin(self, share: float, reference: Sequence[float]) -> float:
        """A share of the reference, in units of the scale: `log(1 + share)`, or `share` times its mean distance.

        0, which is no margin, for a difference of values that have no natural zero.

        Args:
            share: such as 0.01.
            reference: values of the reference, not on the scale; those that are not finite are passed over.
        """
        if self.kind == "ratio":
            return math.log1p(share)
        finite = [self._distance(value) for value in reference if math.isfinite(value)]
        if not finite or (self.floor is None and self.best is None):
            return 0.0
        return share * max(mean_of(finite), 0.0)

    @property
    def has_margin(self) -> bool:
        """Whether a share of the reference means something on it."""
        return self.kind == "ratio" or self.floor is not None or self.best is not None

    def _distance(self, value: float) -> float:
        if self.best is not None:
            return self.best - value
        return value if self.floor is None else value - self.floor


def scale_of(metric: str, values: Iterable[float], floor: float | None = None) -> Scale:
    """The scale for a metric.

    Args:
        metric: `loss`, `accuracy`, ...
        values: all that will be compared on it; those that are not finite have no say.
        floor: the least value that the metric can have, where it is known.
    """
    if metric in BEST_VALUE:
        return Scale(best=BEST_VALUE[metric])
    least = min((value for value in values if math.isfinite(value)), default=math.nan)
    return Scale("ratio" if least > (floor or 0.0) else "difference", floor)
