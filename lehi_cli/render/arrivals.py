"""Time to a target: a table of medians, and the share of runs that have arrived."""

from __future__ import annotations

import math
from typing import Any

from lehi_cli.analysis.arrivals import UNITS, Arrivals, Course, SeriesArrival

from .document import Block, Column, Figure, Heading, Lines, Table, Trace
from .numbers import compact

LEAST_RUNS = 3  # the table says it all for one or two runs


def arrival_blocks(arrivals: Arrivals, x: str) -> list[Block]:
    """The table, and with three or more runs the figure over `x`, one of `UNITS`; one line if no run arrived."""
    if not any(series.reached for series in arrivals.series):
        return [Lines([f"time to {arrivals.target}: no run got there"])]
    figure = [_figure(arrivals, x)] if _most(arrivals) >= LEAST_RUNS else []
    return [Heading(f"time to {arrivals.target}, reached and held to the end of the run"), _table(arrivals), *figure]


def _most(arrivals: Arrivals) -> int:
    return max(series.n for series in arrivals.series)


def _table(arrivals: Arrivals) -> Table:
    columns = [Column("optimizer", right=False), Column("reached")]
    columns += [Column(unit, part) for unit, part in zip(UNITS, (0, 0, 1, 1), strict=True)]
    least = {unit: _least(arrivals, unit) for unit in UNITS}
    rows = [
        [series.label, f"{series.reached}/{series.n}", *(_cell(series, unit, least[unit]) for unit in UNITS)]
        for series in arrivals.series
    ]
    return Table(columns, rows, _caption(arrivals))


def _least(arrivals: Arrivals, unit: str) -> float | None:
    """The smallest median, if there is more than one optimizer."""
    medians = [series.summary[unit].median for series in arrivals.series]
    return min((median for median in medians if median is not None), default=None) if len(medians) > 1 else None


def _cell(series: SeriesArrival, unit: str, least: float | None) -> str:
    """`280 [260, 340]*`: the median, and the first and the last of the runs that arrived; `-` without a median."""
    median = series.summary[unit].median
    if median is None:
        return "-"
    times = series.times(unit)
    spread = f" [{_number(unit, times[0])}, {_number(unit, times[-1])}]" if len(times) > 1 else ""
    return f"{_number(unit, median)}{spread}{'*' if median == least else ''}"


def _number(unit: str, value: float) -> str:
    if unit == "seconds":
        return compact(float(f"{value:.3g}"))
    return compact(round(value, 1) if unit == "passes" and value < 1000 else round(value))


def _caption(arrivals: Arrivals) -> str:
    marked = ", * least" if len(arrivals.series) > 1 else ""
    if _most(arrivals) == 1:
        return f"time of the only run{marked}, - not reached"
    return (
        f"Kaplan-Meier median [first, last of those that got there]{marked}, - fewer than half got there; "
        f"{_misses(arrivals)}"
    )


def _misses(arrivals: Arrivals) -> str:
    """How runs that did not arrive are counted, if there are any."""
    missed = [course for series in arrivals.series for course in series.courses if course.times is None]
    said = []
    if any(math.isfinite(course.watched["steps"]) for course in missed):
        said.append("runs that miss it are censored where they end")
    if any(math.isinf(course.watched["steps"]) for course in missed):
        said.append("those that diverged or failed never get there")
    return "; ".join(said) or "every run got there"


def _figure(arrivals: Arrivals, x: str) -> Figure:
    traces = [
        Trace(series.label, *series.share(x), style=series.style, kind="steps")
        for series in sorted(arrivals.series, key=lambda series: series.style)
    ]
    least, most = min(series.n for series in arrivals.series), _most(arrivals)
    runs = f"{most}" if least == most else f"{least} to {most}"
    caption = (
        f"share of runs that have reached {arrivals.target} and hold it to their end, by Kaplan-Meier over {runs} runs "
        f"each; {_misses(arrivals)}"
    )
    return Figure(f"runs at {arrivals.target}", x, traces, caption, log_y=False)


def arrival_content(arrivals: Arrivals) -> dict[str, Any]:
    """All numbers, for the JSON document.

        {"metric", "value", "direction": "min" or "max", "series": [{"label", "n", "reached",
            "median": {"steps", "samples", "passes", "seconds"},
            "runs": [{"seed", "reached": {"steps", ...}, "watched": {"steps", ...}}]}]}

    A run's "reached" is null if it did not get there; "watched" says until when it is known not to have, and is null if
    it did or never will.
    """
    return {
        "metric": arrivals.target.column,
        "value": arrivals.target.value,
        "direction": "min" if arrivals.target.minimize else "max",
        "series": [
            {
                "label": series.label,
                "n": series.n,
                "reached": series.reached,
                "median": {unit: series.summary[unit].median for unit in UNITS},
                "runs": [_run(course) for course in series.courses],
            }
            for series in arrivals.series
        ],
    }


def _run(course: Course) -> dict[str, Any]:
    is_censored = course.times is None and math.isfinite(course.watched["steps"])
    return {
        "seed": course.seed,
        "reached": None if course.times is None else dict(course.times),
        "watched": dict(course.watched) if is_censored else None,
    }
