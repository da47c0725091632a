"""The metrics that runs are judged by: which way is better, and which are computed from the loss.

Runs log other numbers as well: what an optimizer reports about itself, or a metric of another version. The direction of
those is unknown. They are shown, but nothing is ranked, chosen, judged or asserted by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lehi_cli.errors import UnknownNameError

LOSS = "loss"


@dataclass(frozen=True)
class Metric:
    """A number that runs are judged by.

    Attributes:
        name: such as `accuracy`.
        summary: what it is.
        higher_is_better: whether more is better.
        best: the best possible value, if results are compared by their distance to it; None if they are compared by
            their ratio.
        in_target_units: whether it is in units of the target, as the task scales it.
        derived_from: names of the losses it is computed from; empty if it is measured.
    """

    name: str
    summary: str
    higher_is_better: bool = False
    best: float | None = None
    in_target_units: bool = False
    derived_from: tuple[str, ...] = ()

    @property
    def sign(self) -> float:
        """1 or -1: a value times this is better when it is lower."""
        return -1.0 if self.higher_is_better else 1.0

    @property
    def worst(self) -> float:
        """The value of a run that has none."""
        return self.sign * math.inf

    def is_better(self, value: float, than: float) -> bool:
        """Whether `value` beats `than`."""
        return self.sign * value < self.sign * than


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(LOSS, "mean loss over predictions, which training minimises"),
        Metric("accuracy", "share of right predictions", higher_is_better=True, best=1.0),
        Metric("mae", "mean absolute error", in_target_units=True),
        Metric("perplexity", "exponential of the loss", derived_from=("cross_entropy", "nll")),
        Metric("rmse", "root mean squared error", in_target_units=True, derived_from=("mse",)),
    )
}
"""Every metric by its name, the loss first."""


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownNameError: when there is none, so that its direction is unknown.
    """
    if name not in METRICS:
        hint = f"the direction is known for {', '.join(METRICS)}"
        raise UnknownNameError("direction of metric", name, METRICS, hint)
    return METRICS[name]


def known_metrics(names: Iterable[str]) -> list[str]:
    """The names whose direction is known."""
    return [name for name in names if name in METRICS]
