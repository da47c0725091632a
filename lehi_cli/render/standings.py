"""The optimizers against the reference over all tasks: probability of improvement and interquartile mean."""

from __future__ import annotations

import math
from typing import Any

from lehi_cli.analysis.standings import Standing, Standings
from lehi_cli.stats.aggregate import Aggregate
from lehi_cli.stats.paired import Interval

from .document import Column, Table
from .numbers import finite_or_none, with_interval

LARGEST = 700.0  # logarithm from about which a number is too large for a float


def standings_table(standings: Standings, name: str) -> Table:
    """One row per optimizer.

    Args:
        standings: the standings.
        name: name of the values, such as `final validation loss`.
    """
    columns = [Column("optimizer", right=False), Column(f"beats {standings.reference} [95 %]")]
    if standings.ratio_tasks:
        columns.append(Column("change [95 %], %"))
    return Table(columns, [_row(row) for row in standings.rows], _caption(standings, name))


def _row(row: Standing) -> list[str]:
    change = [] if row.change is None else [_with_interval(in_percent(row.change))]
    return [row.label, _with_interval(row.improvement), *change]


def _with_interval(found: Aggregate) -> str:
    if any(map(math.isnan, found.interval)):
        return f"{found.value:.3g}"
    value, low, high = with_interval(found.value, *found.interval)
    return f"{value} [{low}, {high}]"


def in_percent(change: Aggregate) -> Aggregate:
    """A change of logarithms as a change of values, in percent."""
    low, high = map(_percent, change.interval)
    return Aggregate(_percent(change.value), Interval(low, high))


def _percent(logarithm: float) -> float:
    return math.inf if logarithm > LARGEST else 100 * math.expm1(logarithm)


def _caption(standings: Standings, name: str) -> str:
    reference, every = standings.reference, len(standings.tasks)
    parts = [f"how often a run beats one of {reference}, mean over {every} tasks, 0.5 is as often as not"]
    if standings.ratio_tasks:
        over = "them" if len(standings.ratio_tasks) == every else f"{len(standings.ratio_tasks)} of them"
        parts.append(
            f"change of the {name} against the mean of {reference}, interquartile mean of all runs over {over}"
        )
    parts.append("runs that diverged or failed are worst, bootstrap intervals for other seeds on these tasks")
    return "; ".join(parts) + " (Agarwal et al., 2021)"


def standings_content(standings: Standings) -> dict[str, Any]:
    """All numbers, for the JSON document; see `across_content`."""
    return {
        "reference": standings.reference,
        "tasks": list(standings.tasks),
        "change_tasks": list(standings.ratio_tasks),
        "rows": [
            {
                "label": row.label,
                "probability": _numbers(row.improvement),
                "change_percent": None if row.change is None else _numbers(in_percent(row.change)),
            }
            for row in standings.rows
        ],
    }


def _numbers(found: Aggregate) -> dict[str, Any]:
    return {"value": finite_or_none(found.value), "interval": [finite_or_none(end) for end in found.interval]}
