"""Figures of a section: training and validation curves with bands, and where the runs ended."""

from __future__ import annotations

import math

from lehi_cli.results import Section, Series

from .content import Figure, Trace

MOST_ROWS = 30
MOST_CURVES = 12  # more of them hide each other


def curve_figures(section: Section, x: str) -> list[Figure]:
    """Training loss and validation loss of every optimizer against `x`: steps, passes or seconds."""
    figures = [_curves(section, split, title, x) for split, title in (("train", "training"), ("val", "validation"))]
    return [figure for figure in figures if any(len(trace.xs) for trace in figure.traces)]


def _curves(section: Section, split: str, title: str, x: str) -> Figure:
    column = {"steps": "step"}.get(x, x)
    traces = [_trace(series, i, split, column) for i, series in enumerate(section.ranked()[:MOST_CURVES])]
    ends = [trace.xs[-1] for trace in traces if trace.xs]
    if split == "val" and section.floor is not None and ends:
        traces.insert(0, Trace("floor", [0.0, max(ends)], [section.floor] * 2, "auxiliary"))
    return Figure(f"{section.title}: {title} loss", x, traces, _caption(section))


def _trace(series: Series, i: int, split: str, column: str) -> Trace:
    band = series.band_curve(split, "loss", column)
    low, high = (band.low, band.high) if band.n > 1 else ((), ())
    return Trace(series.label, band.xs, band.mean, i, low=low, high=high)


def _caption(section: Section) -> str:
    n, count = len(section.seeds), len(section.series)
    said = [f"line: mean of {n} seeds; band: from the lowest to the highest run"] if n > 1 else []
    said += [f"the best {MOST_CURVES} of {count}"] if count > MOST_CURVES else []
    return "; ".join(said)


def finals_figures(section: Section, split: str = "val", metric: str = "loss") -> list[Figure]:
    """Final values as dots with intervals, best first; none with a single seed, a single optimizer, or too many."""
    ranked = section.ranked()
    if len(section.seeds) < 2 or not 2 <= len(ranked) <= MOST_ROWS:
        return []
    traces = [_final(series, i, split, metric) for i, series in enumerate(ranked)]
    if sum(math.isfinite(trace.xs[0]) for trace in traces) < 2:
        return []
    caption = "dot: mean; bar: 95 % t interval of the mean; small dots: the single runs"
    rows = [_row_name(series) for series in ranked]
    title = f"{section.title}: final {split} {metric}"
    return [Figure(title, f"{split} {metric}", traces, caption, log_x=None, rows=rows)]


def _row_name(series: Series) -> str:
    """The label, and how many runs have a value where not all have."""
    found, runs = len(series.finals("val", "loss")), len(series.runs)
    return series.label if found == runs else f"{series.label} {found}/{runs}"


def _final(series: Series, i: int, split: str, metric: str) -> Trace:
    low, high = series.interval(split, metric)
    values = list(series.finals(split, metric).values())
    mean = series.final(split, metric).mean
    return Trace(series.label, [mean], [i], i, "points", [low], [high], [values])
