"""Training and validation curves in the terminal, drawn with plotext.

In colour the curves are fine lines; without it each optimizer has a character of its own, so they can still be told
apart on paper, in a log file, or by someone who does not see the colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from lehi_cli.results import Section

HEIGHT = 16
MIN_WIDTH, MAX_WIDTH = 40, 110
LOG_RATIO = 10.0
COLORS = (33, 208, 40, 196, 171, 44, 178)  # of the 256 every terminal has; apart on light and on dark ground
CHARACTERS = "●+xo*#@%"
FLOOR = ("-", 244)

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
        if drawing:
            console.print(Text.from_ansi(drawing), no_wrap=True, crop=False, soft_wrap=True)
            console.print(_legend([label for label, xs, _ in curves if xs], floor is not None, colored))
            console.print()


def draw(curves: Sequence[Curve], title: str, x: str, width: int, colored: bool, floor: float | None = None) -> str:
    """The plot as text, with ANSI colours or without any; empty when there is nothing to draw."""
    import plotext  # here, because it takes longer to import than all else that `lehi --help` needs

    curves = [finite for finite in map(_finite, curves) if finite[1]]
    if not curves:
        return ""
    furthest = max(xs[-1] for _, xs, _ in curves)
    values = [value for _, _, ys in curves for value in ys]
    lines = [(curve, *_look(i)) for i, curve in enumerate(curves)]
    if floor is not None:
        values.append(floor)
        lines.insert(0, (("floor", [0.0, furthest], [floor, floor]), *FLOOR))
    scale, y_ticks = _y_axis(values)
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    x_ticks = nice_ticks(0.0, furthest, max(width // 16, 2))

    plotext.terminal.limit(False, False)  # the width is the caller's, and a low terminal can scroll
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")  # the curves bring their own colours; axes and text take the terminal's
    figure.plot_size(width, HEIGHT)
    figure.title(title)
    figure.label(x, "x", "lower")
    figure.legend(False)  # plotext's own covers the curves, and vanishes when it is too tall
    figure.ruler("x", "lower").ticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
    figure.ruler("y", "left").ticks([scale(tick) for tick in y_ticks], [f"{tick:g}" for tick in y_ticks])
    for (_, xs, ys), character, paint in lines:
        marker = plotext.marker("hd", paint) if colored else character
        signal = figure.signal(xs, [scale(y) for y in ys], marker=marker)
        signal.lines(True)
        figure.draw(signal)
    return str(figure.build().string(not colored)).rstrip("\n")


def _look(i: int) -> tuple[str, int]:
    """Character and colour of the i-th curve."""
    return CHARACTERS[i % len(CHARACTERS)], COLORS[i % len(COLORS)]


def _legend(labels: Sequence[str], floor: bool, colored: bool) -> Text:
    """Which curve is whose, on a line of its own."""
    looks = [(label, *_look(i)) for i, label in enumerate(labels)] + ([("floor", *FLOOR)] if floor else [])
    text = Text("   ")
    for label, character, paint in looks:
        text.append("━━ " if colored else f"{character} ", style=f"color({paint})")
        text.append(f"{label}   ")
    return text


def _y_axis(values: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """How y is drawn, and its ticks: logarithmic when positive values span more than a decade or so.

    The logarithm is taken here: plotext's own log scale leaves ticks that are set by hand where they were.
    """
    low, high = min(values), max(values)
    if low <= 0 or high <= LOG_RATIO * low:
        return float, nice_ticks(low, high, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    return math.log10, [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _finite(curve: Curve) -> Curve:
    label, xs, ys = curve
    points = [(at, value) for at, value in zip(xs, ys, strict=True) if math.isfinite(value)]
    return label, [at for at, _ in points], [value for _, value in points]
