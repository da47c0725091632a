"""The ranges of a figure's axes: the same whether it is drawn in characters or in vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from .document import Figure

LOG_RATIO = 10.0
FAR = 100.0  # times the typical highest value


@dataclass(frozen=True)
class Range:
    """The range from `low` to `high` of an axis, logarithmic if `log`."""

    low: float
    high: float
    log: bool


def x_range(figure: Figure) -> Range:
    """The range of the horizontal axis; in a figure of rows with the intervals, as far as it stays readable."""
    values = [x for trace in figure.traces for x in trace.xs]
    values += [mark for trace in figure.traces for marks in trace.marks for mark in marks] if figure.rows else []
    log = is_log(figure.log_x, values)
    if not log and not figure.rows and min(finite(values)) >= 0:
        values.append(0.0)
    ends = [end for trace in figure.traces for end in (*trace.low, *trace.high)] if figure.rows else []
    return Range(*_limits(values, ends, log), log)


def y_range(figure: Figure) -> Range:
    """The range of the vertical axis, with bands as far as it stays readable; in a figure of rows, the rows."""
    if figure.rows:
        return Range(-0.5, len(figure.rows) - 0.5, False)
    values = _readable(figure)
    log = is_log(figure.log_y, values)
    ends = [end for trace in figure.traces for end in (*trace.low, *trace.high)]
    return Range(*_limits(values, ends, log), log)


def is_drawable(figure: Figure) -> bool:
    """Whether there is any point to draw."""
    return any(
        math.isfinite(x) and math.isfinite(y)
        for trace in figure.traces
        for x, y in zip(trace.xs, trace.ys, strict=True)
    )


def caption(figure: Figure) -> str:
    """The figure's caption, with a remark if a line leaves the frame."""
    values = [value for trace in figure.traces for value in finite(trace.ys)]
    is_cut = not figure.rows and len(_readable(figure)) < len(values)
    cut = "a line that leaves the frame goes far beyond the others" if is_cut else ""
    return "; ".join(filter(None, (figure.caption, cut)))


def is_log(wanted: bool | None, values: Iterable[float]) -> bool:
    """Whether an axis is logarithmic: only if all is positive, then as wanted, or if it spans more than a decade."""
    found = finite(values)
    spans = max(found) > LOG_RATIO * min(found)
    return min(found) > 0 and (spans if wanted is None else wanted)


def finite(values: Iterable[float]) -> list[float]:
    """The finite ones."""
    return [value for value in values if math.isfinite(value)]


def _readable(figure: Figure) -> list[float]:
    """The values that the y axis covers: a line that shoots up far beyond the others leaves the frame."""
    traces = [found for found in (finite(trace.ys) for trace in figure.traces) if found]
    typical = median(max(values) for values in traces)
    most = FAR * typical if typical > 0 else math.inf
    return [value for values in traces for value in values if value <= most]


def _limits(values: Iterable[float], ends: Iterable[float], log: bool) -> tuple[float, float]:
    """The lowest and highest of the values, extended by the ends of intervals by at most one such span.

    On a logarithmic axis everything is computed in logarithms. With a single value, half of it is the span.
    """
    places = [math.log10(value) if log else value for value in finite(values)]
    low, high = min(places), max(places)
    span = (high - low) or (0.5 if log else abs(high) / 2 or 1.0)
    inside = [math.log10(end) if log else end for end in finite(ends) if end > 0 or not log]
    low = min([low, *(max(end, low - span) for end in inside)])
    high = max([high, *(min(end, high + span) for end in inside)])
    return (10.0**low, 10.0**high) if log else (low, high)
