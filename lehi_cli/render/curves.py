"""Figures of a section: training and validation curves with bands, and where the runs ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.analysis.arrivals import UNIT_COLUMNS
from lehi_cli.analysis.results import Section, Series
from lehi_cli.stats.summary import Band

from .document import Figure, Trace

MOST_ROWS = 30
MOST_CURVES = 12  # more would hide each other


def curve_figures(section: Section, x: str, remark: str = "") -> list[Figure]:
    """The leading metric of every optimizer in training and validation, against `x`: steps, passes or seconds.

    Args:
        section: the runs.
        x: unit of the horizontal axis.
        remark: a remark for every title; empty for none.
    """
    aside = f" ({remark})" if remark else ""
    figures = [
        _curves(section, split, f"{title} {section.leading[1]}{aside}", x)
        for split, title in (("train", "training"), ("val", "validation"))
    ]
    return [figure for figure in figures if any(len(trace.xs) for trace in figure.traces)]


def _curves(section: Section, split: str, title: str, x: str) -> Figure:
    metric, column = section.leading[1], UNIT_COLUMNS.get(x, x)
    ranked = section.ranked()[:MOST_CURVES]
    bands = [series.band_curve(split, metric, column) for series in ranked]
    traces = [_trace(series.label, band, i) for i, (series, band) in enumerate(zip(ranked, bands, strict=True))]
    ends = [trace.xs[-1] for trace in traces if trace.xs]
    if (split, metric) == ("val", "loss") and section.floor is not None and ends:
        traces.insert(0, Trace("floor", [0.0, max(ends)], [section.floor] * 2, "auxiliary"))
    said = _about([band.n for band in bands if band.n], section)
    return Figure(f"{section.title}: {title}", x, traces, said)


def _trace(label: str, band: Band, i: int) -> Trace:
    low, high = (band.low, band.high) if band.n > 1 else ((), ())
    return Trace(label, band.xs, band.mean, i, low=low, high=high)


def _about(runs: Sequence[int], section: Section) -> str:
    """The meaning of lines and bands, over how many runs, and how many optimizers are left out."""
    said = []
    if max(runs, default=1) > 1:
        several = f"{max(runs)} seeds" if min(runs) == max(runs) else f"{min(runs)} to {max(runs)} seeds"
        said.append(f"line: mean of {several}; band: from the lowest to the highest run")
    if len(section.series) > MOST_CURVES:
        said.append(f"the {'best' if section.is_ranked else 'first'} {MOST_CURVES} of {len(section.series)}")
    return "; ".join(said)


def finals_figures(section: Section, remark: str = "") -> list[Figure]:
    """Final values as dots with intervals, best first; none for a single seed, a single optimizer, or too many.

    `remark` is added to the title.
    """
    ranked, (split, metric) = section.ranked(), section.leading
    if len(section.seeds) < 2 or not 2 <= len(ranked) <= MOST_ROWS:
        return []
    traces = [_final(series, i, split, metric) for i, series in enumerate(ranked)]
    if sum(math.isfinite(trace.xs[0]) for trace in traces) < 2:
        return []
    caption = "dot: mean; bar: 95 % t interval of the mean; small dots: the single runs"
    rows = [_row_name(series, split, metric) for series in ranked]
    title = f"{section.title}: final {split} {metric}{f' ({remark})' if remark else ''}"
    return [Figure(title, f"{split} {metric}", traces, caption, log_x=None, rows=rows)]


def _row_name(series: Series, split: str, metric: str) -> str:
    """The label, and how many runs have a value if not all do."""
    found, runs = series.final(split, metric).n, len(series.runs)
    return series.label if found == runs else f"{series.label} {found}/{runs}"


def _final(series: Series, i: int, split: str, metric: str) -> Trace:
    low, high = series.interval(split, metric)
    values = list(series.finals(split, metric).values())
    mean = series.final(split, metric).mean
    return Trace(series.label, [mean], [i], i, "points", [low], [high], [values])
