"""Training and validation curves in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from lehi_cli.results import Section

from .plot import AUXILIARY, Trace, look, plot, print_plot

Curve = tuple[str, list[float], list[float]]


def print_curves(console: Console, section: Section, x: str) -> None:
    """Training loss and validation loss of every optimizer against `x`: steps, passes or seconds."""
    column = {"steps": "step"}.get(x, x)
    for split, title in (("train", "training loss"), ("val", "validation loss")):
        curves = [(series.label, *series.curve(split, "loss", column)) for series in section.ranked()]
        floor = section.floor if split == "val" else None
        how = f", mean of {len(section.seeds)} seeds" if len(section.seeds) > 1 else ""
        colored = console.color_system is not None
        drawing = draw(curves, f"{section.title}: {title}{how}", x, console.width, colored, floor)
        looks = [(label, look(i)) for i, (label, xs, _) in enumerate(curves) if xs]
        print_plot(console, drawing, looks + ([("floor", AUXILIARY)] if floor is not None else []))


def draw(curves: Sequence[Curve], title: str, x: str, width: int, colored: bool, floor: float | None = None) -> str:
    """The plot as text, with ANSI colours or without any; empty when there is nothing to draw."""
    traces = [Trace(xs, ys, look(i)) for i, (_, xs, ys) in enumerate(curves)]
    reached = [at for trace in traces for at in trace.finite.xs]
    if floor is not None and reached:
        traces.insert(0, Trace([0.0, max(reached)], [floor, floor], AUXILIARY))
    return plot(traces, title, x, width, colored)
