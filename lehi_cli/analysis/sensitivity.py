"""How much a result depends on the learning rate: final value against rate, for every optimizer of a section.

The final value of a run is the mean of its last three evaluations. A point stands for the runs at one rate, one per
seed. Its spread is taken over the seeds, or with a single seed over those evaluations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lehi_cli.runs.metrics import metric_named
from lehi_cli.runs.specs import canonical_json
from lehi_cli.stats import estimate

from .results import Section, Series

LAST = 3
WITHIN = 0.05
MIN_RATES = 3


@dataclass(frozen=True)
class Point:
    """The runs at one learning rate.

    Attributes:
        lr: the rate.
        value: mean final value of the runs that reached the end; NaN if none did.
        spread: standard deviation over the seeds, or over the last evaluations of the only one.
        lost: number of runs without a final value.
        runs: number of runs.
    """

    lr: float
    value: float
    spread: float
    lost: int
    runs: int

    @property
    def is_whole(self) -> bool:
        """Whether every run reached the end."""
        return self.lost == 0 and math.isfinite(self.value)


@dataclass(frozen=True)
class Line:
    """The points of one optimizer, by rate.

    Attributes:
        label: the optimizer's label.
        points: the points, by rate.
        joined: whether the points differ only in the rate, so that a line may join them.
        column: the quality measured, such as `val_loss`.
    """

    label: str
    points: Sequence[Point]
    joined: bool
    column: str

    @property
    def best(self) -> Point | None:
        """The best point without a lost run."""
        best: Point | None = None
        metric = metric_named(self.column.partition("_")[2])
        for point in self.points:
            if point.is_whole and (best is None or metric.is_better(point.value, best.value)):
                best = point
        return best

    @property
    def decades(self) -> float:
        """Width, in decades, of the rates around the best whose values lie within 5 % of it: 0 for the best alone."""
        if self.best is None:
            return math.nan
        middle, reach = self.points.index(self.best), WITHIN * abs(self.best.value)
        low = high = middle
        while low > 0 and self._is_near(self.points[low - 1], reach):
            low -= 1
        while high + 1 < len(self.points) and self._is_near(self.points[high + 1], reach):
            high += 1
        return math.log10(self.points[high].lr / self.points[low].lr)

    def _is_near(self, point: Point, reach: float) -> bool:
        return self.best is not None and point.is_whole and abs(point.value - self.best.value) <= reach

    @property
    def edge(self) -> str:
        """`lowest` or `highest` if the best rate is at that end of the range, else empty."""
        if self.best is None or len(self.points) < 2:
            return ""
        return {0: "lowest", len(self.points) - 1: "highest"}.get(self.points.index(self.best), "")


def sensitivity(section: Section, split: str = "val", column: str = "loss") -> list[Line]:
    """A line for each optimizer with three or more learning rates, in the section's order."""
    groups: dict[str, list[Series]] = {}
    for series in section.series:
        groups.setdefault(_without_rate(series), []).append(series)
    if max((len(group) for group in groups.values()), default=0) < MIN_RATES:  # rates drawn from a space share nothing
        groups = {}
        for series in section.series:
            groups.setdefault(series.runs[0].optimizer, []).append(series)
    kept = [group for group in groups.values() if len({_rate(series) for series in group}) >= MIN_RATES]
    return [_line(group, split, column) for group in kept]


def _without_rate(series: Series) -> str:
    run = series.runs[0]
    return canonical_json([run.optimizer, {key: value for key, value in run.options.items() if key != "lr"}])


def _rate(series: Series) -> float:
    return float(series.runs[0].options["lr"])


def _line(group: Sequence[Series], split: str, column: str) -> Line:
    joined = len({_without_rate(series) for series in group}) == 1
    names = {_base_label(series) for series in group}
    label = names.pop() if joined and len(names) == 1 else group[0].runs[0].optimizer
    points = sorted((_point(series, split, column) for series in group), key=lambda point: point.lr)
    return Line(label, points, joined, f"{split}_{column}")


def _base_label(series: Series) -> str:
    return re.sub(r":lr=[^:]*", "", series.label)


def _point(series: Series, split: str, column: str) -> Point:
    ends = [values for values in (metrics.last(split, column, LAST) for metrics in series.ok) if values]
    finals = [sum(values) / len(values) for values in ends]
    spread = estimate(finals).sd if len(finals) > 1 else estimate(ends[0]).sd if ends else math.nan
    return Point(_rate(series), estimate(finals).mean, spread, len(series.runs) - len(ends), len(series.runs))
