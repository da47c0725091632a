"""A figure as SVG inside a page: it takes the page's text colour and font, and scales to its width."""

from __future__ import annotations

import html
import io
import math
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from .axes import Range, finite, x_range, y_range
from .document import Figure, Style, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.2, 3.4  # inches
ROW_HEIGHT, AROUND_ROWS = 0.34, 0.8
NAME_CHARACTERS = 22
MARGIN = 0.04
FEW_POINTS = 20  # up to so many can be seen as the points of a line
LEAST_ROWS = 2
MOST_DECADES = {"x": 2.0, "y": 4.0}  # with room for ticks between the powers of ten

# Those of Okabe and Ito's colours that stand out from both white and black; distinct with every kind of colour vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
AUXILIARY, LOST = "#888888", "#e02f2f"
INK = "#010203"  # stands for the page's text colour while matplotlib draws

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 11,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Appearance:
    """How a trace is drawn: its colour, and its dashes once colours repeat.

    Attributes:
        color: the colour in CSS.
        dashes: the dashes for matplotlib.
        dasharray: the same in SVG; empty for a solid line.
        marker: matplotlib's name of the marker.
    """

    color: str
    dashes: Any = "solid"
    dasharray: str = ""
    marker: str = "o"


@dataclass(frozen=True)
class Key:
    """An entry of a figure's legend."""

    label: str
    appearance: Appearance
    is_line: bool


def appearance(style: Style) -> Appearance:
    """The appearance of a style; colours repeat after six, with other dashes."""
    if style == "auxiliary":
        return Appearance(AUXILIARY, (0, (4, 3)), "4 3")
    if isinstance(style, str):
        return Appearance(LOST, marker="^")
    dashes = DASHES[style // len(COLORS) % len(DASHES)]
    dasharray = "" if isinstance(dashes, str) else " ".join(f"{length:g}" for length in dashes[1])
    return Appearance(COLORS[style % len(COLORS)], dashes, dasharray)


def legend(figure: Figure) -> list[Key]:
    """The legend, each name and appearance once; empty if the rows name the traces."""
    if figure.rows:
        return []
    keys = [
        Key(trace.label, appearance(trace.style), trace.kind != "points")
        for trace in figure.traces
        if trace.label and finite(trace.ys)
    ]
    return list(dict.fromkeys(keys))


def figure_to_svg(figure: Figure, name: str) -> str:
    """The figure as an `svg` element.

    The same figure and name give the same text with one version of matplotlib.

    Args:
        figure: the figure to draw; it must be drawable.
        name: prefix of every id inside, so that several figures fit in one page.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    with styled(INK, {"svg.hashsalt": name}):
        drawing = Drawing(figsize=(WIDTH, height(figure)), layout="constrained")
        draw(drawing.add_subplot(), figure)
        stream = io.StringIO()
        FigureCanvasSVG(drawing).print_svg(stream, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    return _inlined(stream.getvalue(), figure.title, name)


def height(figure: Figure) -> float:
    """Inches of a figure's axes with what stands around them."""
    if not figure.rows:
        return HEIGHT
    return AROUND_ROWS + ROW_HEIGHT * max(sum(_row_name(row).count("\n") + 1 for row in figure.rows), LEAST_ROWS)


def _row_name(name: str) -> str:
    return textwrap.fill(name, NAME_CHARACTERS)


@contextmanager
def styled(ink: str, more: Mapping[str, Any]) -> Iterator[None]:
    """Draw as every figure of a report is drawn.

    Args:
        ink: colour of text, axes and grid.
        more: further settings of matplotlib.
    """
    from matplotlib import style

    own = {key: ink if value == INK else value for key, value in _STYLE.items()}
    with style.context(["default", {**own, **more}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in SVG text stays text: the viewer's font draws it
        warnings.filterwarnings("ignore", "overflow encountered")  # by ticks beyond an axis that ends near 1e308
        yield


def draw(axes: Axes, figure: Figure) -> None:
    """Draw the traces of a figure with its axes, without title, legend and caption."""
    axes.set_xlabel(figure.x_label)
    _set_x(axes, figure)
    if figure.rows:
        _set_rows(axes, figure.rows)
        for trace in figure.traces:
            _draw_in_rows(axes, trace)
    else:
        _set_y(axes, figure)
        bands = sum(bool(trace.low) for trace in figure.traces)
        end = max(finite(x for trace in figure.traces for x in trace.xs))
        for trace in (_held(trace, end) for trace in figure.traces):
            _draw_trace(axes, trace, opacity=min(0.16, 0.8 / max(bands, 1)))


def _held(trace: Trace, end: float) -> Trace:
    """A trace of steps with its last value held up to the end; any other as it is."""
    if trace.kind != "steps" or not trace.xs:
        return trace
    xs = [*trace.xs, end]
    ys, low, high = ([*values, *values[-1:]] for values in (trace.ys, trace.low, trace.high))
    return replace(trace, xs=xs, ys=ys, low=low, high=high)


def _draw_trace(axes: Axes, trace: Trace, *, opacity: float) -> None:
    shown = appearance(trace.style)
    if trace.low:
        low, high = (_clipped(ends, axes.get_ylim()) for ends in (trace.low, trace.high))
        if trace.kind == "points":
            axes.vlines(trace.xs, low, high, color=shown.color, linewidth=1.2)
        else:
            step: Literal["post"] | None = "post" if trace.kind == "steps" else None
            axes.fill_between(trace.xs, low, high, color=shown.color, alpha=opacity, linewidth=0, step=step)
    is_lost, is_line = trace.style == "lost", trace.kind != "points"
    few = len(trace.xs) <= FEW_POINTS and trace.style != "auxiliary" and trace.kind != "steps"
    axes.plot(
        trace.xs,
        trace.ys,
        color=shown.color,
        linestyle=shown.dashes if is_line else "none",
        drawstyle="steps-post" if trace.kind == "steps" else "default",
        marker=shown.marker if few or not is_line else "none",
        markersize=7 if is_lost else 3.5 if is_line else 5,
        clip_on=not is_lost,  # they stand on the frame
    )


def _draw_in_rows(axes: Axes, trace: Trace) -> None:
    """Draw along x: the interval of each point, its single runs below it, and the point itself."""
    shown = appearance(trace.style)
    if trace.kind != "points":
        axes.plot(trace.xs, trace.ys, color=shown.color, linestyle=shown.dashes, linewidth=1.2)
        return
    if trace.low:
        low, high = (_clipped(ends, axes.get_xlim()) for ends in (trace.low, trace.high))
        axes.hlines(trace.ys, low, high, color=shown.color, linewidth=2.2)
    for row, places in zip(trace.ys, trace.marks, strict=False):
        axes.plot(places, [row + 0.24] * len(places), ".", color=shown.color, alpha=0.6, markersize=6)
    for place, row in zip(trace.xs, trace.ys, strict=True):
        if not math.isfinite(place):
            axes.text(0.01, row, "no value", transform=axes.get_yaxis_transform(), va="center", alpha=0.7, fontsize=10)
    axes.plot(trace.xs, trace.ys, color=shown.color, linestyle="none", marker=shown.marker, markersize=6.5)


def _clipped(ends: Sequence[float], limits: tuple[float, float]) -> Any:
    """Ends of intervals clipped to the axes: an interval may be open."""
    import numpy as np

    return np.clip(np.asarray(ends, dtype=float), min(limits), max(limits))


def _set_x(axes: Axes, figure: Figure) -> None:
    covered = x_range(figure)
    axes.set_xlim(*_with_margin(covered))
    _set_ticks(axes, "x", log=covered.log)


def _set_y(axes: Axes, figure: Figure) -> None:
    covered = y_range(figure)
    axes.set_ylim(*_with_margin(covered))
    _set_ticks(axes, "y", log=covered.log)


def _with_margin(covered: Range) -> tuple[float, float]:
    """The range with a little room at both ends, and some length if it has none."""
    low, high = covered.low, covered.high
    if covered.log:
        factor = 10.0 ** (MARGIN * ((math.log10(high) - math.log10(low)) or 0.5))
        return max(low / factor, sys.float_info.min), min(high * factor, sys.float_info.max)
    margin = MARGIN * ((high - low) or abs(high) / 2 or 1.0)
    return low - margin, high + margin


def _set_rows(axes: Axes, rows: Sequence[str]) -> None:
    axes.set_yticks(range(len(rows)), [_row_name(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _set_ticks(axes: Axes, which: Literal["x", "y"], *, log: bool) -> None:
    """Label ticks with plain numbers; on a logarithmic axis ones, twos and fives, or decades if there are many."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        low, high = axis.get_view_interval()
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
        decades = math.log10(high) - math.log10(low)
        subs = (1.0, 2.0, 5.0) if decades < MOST_DECADES[which] else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=8) if decades >= 1 else AutoLocator())
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _inlined(svg: str, title: str, name: str) -> str:
    """The element alone, with its own names, a label for screen readers, and the page's text colour."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to groups
    svg = re.sub(r'(\sid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"\s*font-family:[^;\"]*;?", "", svg).replace(INK, "currentColor")
    (view,) = re.findall(r'^<svg[^>]*(viewBox="[^"]*")', svg)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    label = html.escape(title)
    opening = f'<svg {spaces} role="img" aria-label="{label}" {view}>\n<title>{label}</title>'
    return opening + svg[svg.index(">") + 1 :]
