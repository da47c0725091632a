"""How the final loss depends on the learning rate: a figure and a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.analysis.results import Section
from lehi_cli.analysis.sensitivity import LAST, WITHIN, Line, Point, sensitivity

from .document import Block, Column, Figure, Lines, Table, Trace
from .numbers import compact

BAND = 2.0


def sensitivity_blocks(section: Section) -> list[Block]:
    """Plot, table and notes of a section; nothing if no optimizer was run at three or more rates."""
    lines = sensitivity(section)
    if not lines:
        return []
    over = _over(len(section.seeds))
    title = f"{section.title}: final validation loss against learning rate"
    figure = Figure(title, "learning rate", _traces(lines), f"bars: {BAND:g} standard deviations {over}", log_x=True)
    blocks: list[Block] = [figure, sensitivity_table(lines, over)]
    notes = edge_notes(lines)
    return [*blocks, Lines(notes)] if notes else blocks


def _over(seeds: int) -> str:
    return f"over {seeds} seeds" if seeds > 1 else f"over the last {LAST} evaluations of one seed"


def _traces(lines: Sequence[Line]) -> list[Trace]:
    """A line with bars per optimizer; points where a run was lost are drawn at the upper edge."""
    values = [point.value for line in lines for point in line.points if math.isfinite(point.value)]
    if not values:
        return []
    rates = [point.lr for line in lines for point in line.points]
    traces = []
    if lines[0].best:
        best = lines[0].best.value
        traces.append(Trace(f"best of {lines[0].label}", [min(rates), max(rates)], [best] * 2, "auxiliary"))
    for i, line in enumerate(lines):
        traces += _of_line(line, i)
    lost = [point.lr for line in lines for point in line.points if point.lost]
    return [*traces, Trace("diverged or failed", lost, [max(values)] * len(lost), "lost", "points")]


def _of_line(line: Line, i: int) -> list[Trace]:
    """Bars of two standard deviations at each point, and a line if the points differ only in the rate."""
    whole = [point for point in line.points if point.is_whole]
    rates, values = [point.lr for point in whole], [point.value for point in whole]
    low, high = [_lower(point) for point in whole], [_upper(point) for point in whole]
    bars = Trace("" if line.joined else line.label, rates, values, i, "points", low, high)
    return [bars, Trace(line.label, rates, values, i)] if line.joined else [bars]


def _upper(point: Point) -> float:
    return point.value + BAND * point.spread if math.isfinite(point.spread) else point.value


def _lower(point: Point) -> float:
    """The lower end of a bar; for positive values not so low that it would stretch a logarithmic axis."""
    low = 2 * point.value - _upper(point)
    return max(low, 0.1 * point.value) if point.value > 0 else low


def sensitivity_table(lines: Sequence[Line], over: str) -> Table:
    """Best rate, value there, and how wide the range of good rates is."""
    columns = [Column("optimizer", right=False), Column("best lr"), Column("val loss there")]
    columns += [Column(f"decades within {WITHIN:.0%}"), Column("rates"), Column("runs lost")]
    rows = []
    for line in lines:
        best = line.best
        lost, runs = sum(point.lost for point in line.points), sum(point.runs for point in line.points)
        shown = [compact(best.lr), compact(best.value), f"{line.decades:.2g}"] if best else ["-", "-", "-"]
        rows.append([line.label, *shown, str(len(line.points)), f"{lost}/{runs}"])
    return Table(columns, rows, f"value: mean of the last {LAST} evaluations, {over}")


def edge_notes(lines: Sequence[Line]) -> list[str]:
    """Notes on winners at an end of their range, with the option that widens it."""
    return [
        f"{line.label}: the best rate is the {line.edge} tried; widen the range with lr={_wider(line)}"
        for line in lines
        if line.edge and line.joined
    ]


def _wider(line: Line) -> str:
    low, high = line.points[0].lr, line.points[-1].lr
    low, high = (low / 100, high) if line.edge == "lowest" else (low, high * 100)
    return f"{low:.3g}..{high:.3g}/log{len(line.points) + 4}"
