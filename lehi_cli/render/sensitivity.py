"""The learning-rate sensitivity plot, and the table beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

from lehi_cli.results import Section
from lehi_cli.sensitivity import LAST, WITHIN, Line, sensitivity

from .content import Column, Table
from .numbers import compact
from .plot import AUXILIARY, DIVERGED, Trace, look, plot, print_plot
from .table import print_table

BAND = 2.0


def print_sensitivity(console: Console, section: Section) -> None:
    """Plot and table of a section; nothing when no optimizer was run at three or more rates."""
    lines = sensitivity(section)
    if not lines:
        return
    colored = console.color_system is not None
    console.print(f"{section.title}: final validation loss against learning rate", markup=False, highlight=False)
    drawing = plot(_traces(lines), "", "learning rate", console.width, colored, log_x=True)
    looks = [(line.label, look(i)) for i, line in enumerate(lines)]
    if lines[0].best:
        looks.append((f"best of {lines[0].label}", AUXILIARY))
    if any(point.lost for line in lines for point in line.points):
        looks.append(("diverged or failed", DIVERGED))
    print_plot(console, drawing, looks)
    print_table(console, sensitivity_table(lines, len(section.seeds)))
    for note in edge_notes(lines):
        console.print(note, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    console.print()


def _traces(lines: Sequence[Line]) -> list[Trace]:
    """Bands first, so that lines lie over them; points at which a run was lost stand at the upper edge."""
    values = [point.value for line in lines for point in line.points if math.isfinite(point.value)]
    if not values:
        return []
    rates = [point.lr for line in lines for point in line.points]
    traces = [band for i, line in enumerate(lines) for band in _bands(line, i)]
    if lines[0].best:
        traces.append(Trace([min(rates), max(rates)], [lines[0].best.value] * 2, AUXILIARY))
    for i, line in enumerate(lines):
        whole = [point for point in line.points if point.is_whole]
        traces.append(Trace([point.lr for point in whole], [point.value for point in whole], look(i), line.joined))
    lost = [point.lr for line in lines for point in line.points if point.lost]
    return [*traces, Trace(lost, [max(values)] * len(lost), DIVERGED, joined=False)]


def _bands(line: Line, i: int) -> list[Trace]:
    """A bar of two standard deviations up and down at each point."""
    bars = []
    for point in line.points:
        if point.is_whole and math.isfinite(point.spread):
            low = max(point.value - BAND * point.spread, 0.1 * point.value if point.value > 0 else -math.inf)
            bars.append(Trace([point.lr] * 2, [low, point.value + BAND * point.spread], look(i)))
    return bars


def sensitivity_table(lines: Sequence[Line], seeds: int) -> Table:
    """Best rate, value there, and how wide the range of good rates is."""
    columns = [Column("optimizer", right=False), Column("best lr"), Column("val loss there")]
    columns += [Column(f"decades within {WITHIN:.0%}"), Column("rates"), Column("runs lost")]
    rows = []
    for line in lines:
        best = line.best
        lost, runs = sum(point.lost for point in line.points), sum(point.runs for point in line.points)
        shown = [compact(best.lr), compact(best.value), f"{line.decades:.2g}"] if best else ["-", "-", "-"]
        rows.append([line.label, *shown, str(len(line.points)), f"{lost}/{runs}"])
    over = f"over {seeds} seeds" if seeds > 1 else f"over the last {LAST} evaluations of one seed"
    return Table(
        columns, rows, f"value: mean of the last {LAST} evaluations; bars: {BAND:g} standard deviations {over}"
    )


def edge_notes(lines: Sequence[Line]) -> list[str]:
    """Which winners lie at the end of their range, and what to type to widen it."""
    return [
        f"{line.label}: the best rate is the {line.edge} tried; widen the range with lr={_wider(line)}"
        for line in lines
        if line.edge and line.joined
    ]


def _wider(line: Line) -> str:
    low, high = line.points[0].lr, line.points[-1].lr
    low, high = (low / 100, high) if line.edge == "lowest" else (low, high * 100)
    return f"{low:.3g}..{high:.3g}/log{len(line.points) + 4}"
