"""Where the runs of an optimizer ended, seed by seed, and the scale on which that is compared.

A run that diverged or failed has no final value, and dropping it would favour the optimizer that diverges: it counts as
worst. A run that was pruned, was interrupted or is still running says nothing about where it would have ended, so its
seed is left out. If a seed has several runs, the last counts.
"""

from __future__ import annotations

import math

from lehi_cli.runs.metrics import LOSS, metric_named
from lehi_cli.runs.status import UNFINISHED, Status
from lehi_cli.stats.scale import Scale, scale_of

from .results import Section, Series

Column = tuple[str, str]  # split, metric


def finals_by_seed(series: Series, column: Column) -> dict[int, float]:
    """Final value of each run as measured; infinite for one that ended without a value, whichever way is better."""
    values: dict[int, float] = {}
    for run, metrics in zip(series.runs, series.metrics, strict=True):
        if run.status == Status.OK:
            value = metrics.final(*column)
            if value is not None:
                values[run.seed] = value if math.isfinite(value) else math.inf
        elif run.status not in UNFINISHED:
            values[run.seed] = math.inf
    return values


def scale_in(section: Section, column: Column) -> Scale:
    """The one scale for a column of a section, from all its runs; verdicts, gate and ranks all use it.

    Raises:
        UnknownNameError: when the metric's direction is unknown.
    """
    split, name = column
    metric = metric_named(name)
    values = [value for series in section.series for value in series.finals(split, name).values()]
    return scale_of(values, section.floor_of(split) if name == LOSS else None, metric.best)
