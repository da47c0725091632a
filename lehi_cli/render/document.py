"""A report as plain data: parts with tables, figures and lines of text. Each format has its own writer.

Nothing here knows how it will look: a terminal draws a figure in characters, HTML in vectors, and both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Style = int | Literal["auxiliary", "lost"]


@dataclass(frozen=True)
class Trace:
    """Points of one meaning.

    Attributes:
        label: label for the legend; empty for none.
        xs: the points' x values.
        ys: the points' y values; in a figure with `rows` the row's number from 0.
        style: the i-th colour and character, the same for one optimizer in all figures; `auxiliary` for something to
            compare with, `lost` for runs without a value.
        kind: `line` joins the points, `steps` holds each value up to the next point, `points` leaves them unjoined.
        low: lower end of a band or interval at each point; empty for none.
        high: its upper end.
        marks: further x values in the row of each point, such as the single runs behind a mean; only in a figure with
            `rows`.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: Style = 0
    kind: Literal["line", "steps", "points"] = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    marks: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class Figure:
    """Traces on common axes.

    Attributes:
        title: what is drawn.
        x_label: label of the horizontal axis.
        traces: later ones are drawn over earlier ones.
        caption: the meaning of lines and bands, and over how many runs.
        log_x: whether x is logarithmic, if its values allow it; None: if positive values span more than a decade.
        log_y: the same for y.
        rows: names of the rows from top to bottom, in a figure with one row per name; intervals are then along x.
    """

    title: str
    x_label: str
    traces: Sequence[Trace]
    caption: str = ""
    log_x: bool | None = False
    log_y: bool | None = None
    rows: Sequence[str] = ()


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: its heading.
        part: columns of one part stay together if the whole table is too wide.
        right: right-aligned, as numbers are.
        wraps: prose that may run over several lines; any other cell stays on one.
    """

    heading: str
    part: int = 0
    right: bool = True
    wraps: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows of finished text; the first column names the row, a cell ending in `*` is its column's best."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Lines:
    """Sentences, each on its own line; `strong` for the answer that everything else supports."""

    lines: Sequence[str]
    strong: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading for the blocks after it."""

    text: str


Block = Table | Figure | Lines | Heading


@dataclass(frozen=True)
class Part:
    """The blocks that belong together under one title.

    Attributes:
        title: such as the task's name.
        subtitle: such as budget, batch size, seeds and device.
        blocks: the content, in reading order.
    """

    title: str
    subtitle: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        parts: one per task and budget, then what holds for all of them.
        provenance: names and values of everything a reader needs to get the same numbers: the command, versions,
            devices, seeds, budgets, identity of the data, whether any of it is fake.
    """

    parts: Sequence[Part]
    provenance: Sequence[tuple[str, str]] = ()
