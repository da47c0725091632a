"""A plot as text: traces on linear or logarithmic axes, drawn with plotext.

In colour traces are fine lines; without it each has a character of its own, so they can still be told apart on paper,
in a log file, or by someone who does not see the colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

HEIGHT = 16
MIN_WIDTH, MAX_WIDTH = 40, 110
LOG_RATIO = 10.0
COLORS = (33, 208, 40, 196, 171, 44, 178)  # of the 256 every terminal has; apart on light and on dark ground
CHARACTERS = "●+xo*#@%"
Look = tuple[str, int]
AUXILIARY: Look = ("-", 244)
DIVERGED: Look = ("▲", 196)


@dataclass(frozen=True)
class Trace:
    """Points drawn alike: joined by lines, or on their own."""

    xs: Sequence[float]
    ys: Sequence[float]
    look: Look
    joined: bool = True

    @property
    def finite(self) -> Trace:
        """Without the points that are no numbers."""
        points = [(x, y) for x, y in zip(self.xs, self.ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
        return Trace([x for x, _ in points], [y for _, y in points], self.look, self.joined)


def look(i: int) -> Look:
    """Character and colour of the i-th trace."""
    return CHARACTERS[i % len(CHARACTERS)], COLORS[i % len(COLORS)]


def plot(traces: Sequence[Trace], title: str, x_label: str, width: int, colored: bool, log_x: bool = False) -> str:
    """The plot as text, with ANSI colours or without any; empty when there is nothing to draw.

    The y axis is logarithmic when positive values span more than a decade; x is when `log_x` says so.
    """
    import plotext  # here, because it takes longer to import than all else that `lehi --help` needs

    traces = [finite for finite in (trace.finite for trace in traces) if finite.xs]
    if not traces:
        return ""
    across = [x for trace in traces for x in trace.xs]
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    y_scale, y_ticks = _y_axis([y for trace in traces for y in trace.ys])
    x_scale, x_ticks = _x_axis(across, max(width // 16, 2), log_x)

    plotext.terminal.limit(False, False)  # the width is the caller's, and a low terminal can scroll
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")  # the traces bring their own colours; axes and text take the terminal's
    figure.plot_size(width, HEIGHT)
    figure.title(title)
    figure.label(x_label, "x", "lower")
    figure.legend(False)  # plotext's own covers the traces, and vanishes when it is too tall
    figure.ruler("x", "lower").ticks([x_scale(tick) for tick in x_ticks], [f"{tick:g}" for tick in x_ticks])
    figure.ruler("y", "left").ticks([y_scale(tick) for tick in y_ticks], [f"{tick:g}" for tick in y_ticks])
    for trace in traces:
        character, paint = trace.look
        fine = colored and trace.joined
        marker = plotext.marker("hd" if fine else character, paint) if colored else character
        signal = figure.signal([x_scale(x) for x in trace.xs], [y_scale(y) for y in trace.ys], marker=marker)
        signal.lines(trace.joined)
        figure.draw(signal)
    return str(figure.build().string(not colored)).rstrip("\n")


def print_plot(console: Console, drawing: str, looks: Sequence[tuple[str, Look]]) -> None:
    """Write a plot and, on a line of its own, which trace is whose."""
    if not drawing:
        return
    console.print(Text.from_ansi(drawing), no_wrap=True, crop=False, soft_wrap=True)
    console.print(legend(looks, console.color_system is not None))
    console.print()


def legend(looks: Sequence[tuple[str, Look]], colored: bool) -> Text:
    """Which trace is whose."""
    text = Text("   ")
    for label, (character, paint) in looks:
        text.append("━━ " if colored and character != DIVERGED[0] else f"{character} ", style=f"color({paint})")
        text.append(f"{label}   ")
    return text


def _x_axis(values: Sequence[float], count: int, log: bool) -> tuple[Callable[[float], float], list[float]]:
    low, high = min(values), max(values)
    if log and low > 0:
        ticks = log_ticks(low, high)
        decades = [tick for tick in ticks if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)]
        return math.log10, ticks if len(ticks) <= count else decades or ticks[:1]
    return float, nice_ticks(min(low, 0.0), high, count)


def _y_axis(values: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """How y is drawn, and its ticks: logarithmic when positive values span more than a decade or so.

    The logarithm is taken here: plotext's own log scale leaves ticks that are set by hand where they were.
    """
    low, high = min(values), max(values)
    if low <= 0 or high <= LOG_RATIO * low:
        return float, nice_ticks(low, high, 5)
    return math.log10, log_ticks(low, high)


def log_ticks(low: float, high: float) -> list[float]:
    """Ones, twos and fives of every decade from `low` to `high`; powers of ten alone where there are many decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    inside = [m * 10.0**d for d in decades for m in steps if low * (1 - 1e-9) <= m * 10.0**d <= high * (1 + 1e-9)]
    return inside or [low]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
