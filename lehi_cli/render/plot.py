"""A figure as text: traces on linear or logarithmic axes, drawn with plotext.

In colour, traces are fine lines; without it each has its own character, so they can still be told apart on paper, in a
log file, or by someone who does not see the colours.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Console
from rich.text import Text

from .axes import caption, x_range, y_range
from .document import Figure, Style, Trace

HEIGHT = 16
AROUND = 5  # lines of a figure besides its rows: title, frame, frame, ticks, label
MIN_WIDTH, MAX_WIDTH = 40, 110
MOST_BANDS = 5  # more would hide each other
COLORS = (33, 208, 40, 196, 171, 44, 178)  # of the 256 that every terminal has; distinct on light and dark
CHARACTERS = "●+xo*#@%"
BAND, INTERVAL, MARK = "░", "─", "·"
SYMBOLS = {"auxiliary": ("-", 244), "lost": ("▲", 196)}


@dataclass(frozen=True)
class Layer:
    """Points drawn alike, in the axes' own units, a character each; may be joined by lines, fine ones in colour."""

    xs: Sequence[float]
    ys: Sequence[float]
    character: str
    color: int
    joined: bool = False
    fine: bool = True


@dataclass(frozen=True)
class Axis:
    """How values become positions, as they are or by their logarithm, and the ticks with their names."""

    low: float
    high: float
    ticks: Sequence[float]
    names: Sequence[str]
    log: bool = False

    @property
    def place(self) -> Callable[[float], float]:
        """Value -> position; the logarithm is taken here, because plotext's own does not move ticks set by hand."""
        return math.log10 if self.log else float

    def inside(self, value: float) -> float:
        """The position of a value, kept within the axis: the end of a band may be infinite."""
        return self.place(min(max(value, self.low), self.high))


def symbol(style: Style) -> tuple[str, int]:
    """Character and colour of a style."""
    if isinstance(style, str):
        return SYMBOLS[style]
    return CHARACTERS[style % len(CHARACTERS)], COLORS[style % len(COLORS)]


def draw(figure: Figure, width: int, colored: bool) -> str:
    """The figure as text, with or without ANSI colours; empty if there is nothing to draw."""
    traces = [trace for trace in map(_finite, figure.traces) if trace.xs]
    if not traces:
        return ""
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    x, y = _x_axis(figure, max(width // 16, 2)), _y_axis(figure)
    layers = _row_layers(traces, len(figure.rows), x) if figure.rows else _layers(traces, x, y, width, colored)
    height = len(figure.rows) + AROUND if figure.rows else HEIGHT
    above = textwrap.wrap(figure.title, width) if len(figure.title) > width else []  # plotext would drop it
    drawing = _build("" if above else figure.title, figure.x_label, layers, x, y, (width, height), colored)
    return "\n".join([*above, drawing])


def _build(
    title: str, x_label: str, layers: Iterable[Layer], x: Axis, y: Axis, size: tuple[int, int], colored: bool
) -> str:
    import plotext  # here, because importing it takes longer than everything else in `lehi --help`

    plotext.terminal.limit(False, False)  # the caller sets the width, and a low terminal can scroll
    drawing = plotext.figure
    drawing.clear()
    drawing.theme("colorless")  # the traces bring their own colours; axes and text take the terminal's
    drawing.plot_size(*size)
    if title:
        drawing.title(title)
    drawing.label(x_label, "x", "lower")
    drawing.legend(False)  # plotext's own covers the traces, and vanishes when it is too tall
    for axis, ruler in ((x, drawing.ruler("x", "lower")), (y, drawing.ruler("y", "left"))):
        ruler.ticks([axis.place(tick) for tick in axis.ticks], list(axis.names))
        if axis.low < axis.high:
            ruler.lim(axis.place(axis.low), axis.place(axis.high))
    for layer in (layer for layer in layers if len(layer.xs)):
        character = "hd" if colored and layer.joined and layer.fine else layer.character
        marker = plotext.marker(character, layer.color) if colored else character
        signal = drawing.signal(list(layer.xs), list(layer.ys), marker=marker)
        signal.lines(layer.joined)
        drawing.draw(signal)
    return str(drawing.build().string(not colored)).rstrip("\n")


def print_figure(console: Console, figure: Figure) -> None:
    """Write a figure, its legend and its caption; nothing if it is empty."""
    colored = is_colored(console)
    drawing = draw(figure, console.width, colored)
    if not drawing:
        return
    console.print(Text.from_ansi(drawing), no_wrap=True, crop=False, soft_wrap=True)
    named = legend(figure, colored)
    if named:
        console.print(named)
    if said := caption(figure):
        console.print(said, style="dim", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def is_colored(console: Console) -> bool:
    """Whether colours can tell traces apart: not where `NO_COLOR` takes them away."""
    return console.color_system is not None and not console.no_color


def legend(figure: Figure, colored: bool) -> Text:
    """The legend; empty if the rows name the traces or no trace has a label."""
    text = Text()
    for trace in figure.traces:
        if trace.label and len(trace.xs) and not figure.rows:
            character, color = symbol(trace.style)
            drawn = "━━" if colored and trace.kind != "points" else character
            text.append("   ").append(f"{drawn} ", style=f"color({color})").append(trace.label)
    return text


def _finite(trace: Trace) -> Trace:
    """The trace without points that are not finite."""
    kept = [i for i, (x, y) in enumerate(zip(trace.xs, trace.ys, strict=True)) if math.isfinite(x) and math.isfinite(y)]
    if len(kept) == len(trace.xs):
        return trace

    def only(values: Sequence[float]) -> list[float]:
        return [values[i] for i in kept] if values else []

    marks = [trace.marks[i] for i in kept] if trace.marks else []
    return Trace(
        trace.label, only(trace.xs), only(trace.ys), trace.style, trace.kind, only(trace.low), only(trace.high), marks
    )


def _layers(traces: Sequence[Trace], x: Axis, y: Axis, width: int, colored: bool) -> Iterator[Layer]:
    """Bands first, so that lines lie over them."""
    banded = [trace for trace in traces if trace.low and trace.kind != "points"]
    for trace in banded if len(banded) <= MOST_BANDS else []:
        yield _band(trace, x, y, width)
    for trace in traces:
        character, color = symbol(trace.style)
        xs, ys = [x.place(value) for value in trace.xs], [y.place(value) for value in trace.ys]
        if trace.kind == "points" and trace.low:
            for place, low, high in zip(xs, trace.low, trace.high, strict=True):
                yield Layer([place, place], [y.inside(low), y.inside(high)], character, color, joined=True)
        if trace.kind == "steps":
            xs, ys = _staircase(xs, ys, x.place(x.high))
        joined = trace.kind != "points"
        yield Layer(*(_cut if joined else _inside)(xs, ys, y.place(y.low), y.place(y.high)), character, color, joined)


def _inside(xs: Sequence[float], ys: Sequence[float], low: float, high: float) -> tuple[list[float], list[float]]:
    """The points from `low` to `high`."""
    kept = [(place, value) for place, value in zip(xs, ys, strict=True) if low <= value <= high]
    return [place for place, _ in kept], [value for _, value in kept]


def _cut(xs: Sequence[float], ys: Sequence[float], low: float, high: float) -> tuple[list[float], list[float]]:
    """The line, cut shortly beyond the frame: plotext takes memory for all of it, and fails on 1e14 frames."""
    edge = high - low or 1.0
    bottom, top = low - edge, high + edge
    if all(bottom <= value <= top for value in ys):
        return list(xs), list(ys)
    found: list[tuple[float, float]] = []
    for one, other in pairwise(zip(xs, ys, strict=True)):
        found += [_reached(one, other, bottom, top), _reached(other, one, bottom, top)]
    return [place for place, _ in found], [value for _, value in found]


def _reached(one: tuple[float, float], other: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """`one`, or where the line from `other` to it crosses the edge that it lies beyond."""
    value = min(max(one[1], low), high)
    if value == one[1] or value == min(max(other[1], low), high):
        return one[0], value
    return one[0] + (other[0] - one[0]) * (value - one[1]) / (other[1] - one[1]), value


def _band(trace: Trace, x: Axis, y: Axis, width: int) -> Layer:
    """The cells between the band's ends, one terminal column after another."""
    import numpy as np

    xs = np.array([x.place(value) for value in trace.xs])
    columns = np.linspace(
        xs[0], xs[-1], max(round(width * (xs[-1] - xs[0]) / ((x.place(x.high) - x.place(x.low)) or 1)), 1)
    )
    low, high = (np.interp(columns, xs, [y.inside(v) for v in ends]) for ends in (trace.low, trace.high))
    rows = np.linspace(y.place(y.low), y.place(y.high), HEIGHT - AROUND)
    step = rows[1] - rows[0]
    inside = (rows[:, None] >= low - step / 2) & (rows[:, None] <= high + step / 2) & (high - low > step)
    row, column = inside.nonzero()
    return Layer(columns[column].tolist(), rows[row].tolist(), BAND, symbol(trace.style)[1])


def _staircase(xs: Sequence[float], ys: Sequence[float], end: float) -> tuple[list[float], list[float]]:
    """Points that hold each value up to the next point, and the last to the end."""
    corners = [(xs[0], ys[0])]
    for (_, before), (place, value) in pairwise(zip(xs, ys, strict=True)):
        corners += [(place, before), (place, value)]
    corners.append((end, ys[-1]))
    return [place for place, _ in corners], [value for _, value in corners]


def _row_layers(traces: Sequence[Trace], rows: int, x: Axis) -> Iterator[Layer]:
    """Intervals along x, then single runs, then means, the first row on top."""
    for trace in traces:
        character, color = symbol(trace.style)
        for i, (value, row) in enumerate(zip(trace.xs, trace.ys, strict=True)):
            height = rows - 1 - row
            if trace.low and math.isfinite(trace.low[i]) and math.isfinite(trace.high[i]):
                ends = [x.inside(trace.low[i]), x.inside(trace.high[i])]
                yield Layer(ends, [height] * 2, INTERVAL, color, joined=True, fine=False)
            marks = [x.place(mark) for mark in (trace.marks[i] if trace.marks else ()) if math.isfinite(mark)]
            if marks:
                yield Layer(marks, [height] * len(marks), MARK, color)
            yield Layer([x.place(value)], [height], character if isinstance(trace.style, str) else "●", color)


def _x_axis(figure: Figure, count: int) -> Axis:
    covered = x_range(figure)
    ticks = (log_ticks if covered.log else nice_ticks)(covered.low, covered.high, count)
    return Axis(covered.low, covered.high, ticks, _names(ticks), covered.log)


def _y_axis(figure: Figure) -> Axis:
    covered = y_range(figure)
    if figure.rows:
        return Axis(covered.low, covered.high, range(len(figure.rows)), list(reversed(figure.rows)))
    low, high = covered.low, covered.high
    ticks = log_ticks(low, high, HEIGHT) if covered.log else nice_ticks(low, high, 5)
    return Axis(covered.low, covered.high, ticks, _names(ticks), covered.log)


def _names(ticks: Sequence[float]) -> list[str]:
    return [f"{tick:g}" for tick in ticks]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Ones, twos and fives of the decades from `low` to `high`; if too many, evenly spaced powers of ten."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    inside = [
        (m, tick)
        for d in decades
        for m in steps
        if low * (1 - 1e-9) <= (tick := float(f"{m}e{d}")) <= high * (1 + 1e-9)
    ]
    if len(inside) <= count:
        return [tick for _, tick in inside] or [low]
    powers = [tick for m, tick in inside if m == 1] or [inside[0][1]]
    return powers[:: math.ceil(len(powers) / count)]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 0.0
    if not power:
        return [low]
    steps = [m * power for m in (10, 5, 2, 1)]
    fitting = [step for step in steps if step >= rough * (1 - 1e-9)]
    smaller = [step for step in steps if step < rough * (1 - 1e-9)]
    tried = (_multiples(low, high, step) for step in (fitting[-1], *smaller, power / 2))
    return next((ticks for ticks in tried if len(ticks) > 1), [low])


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
