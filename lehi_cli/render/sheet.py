"""The figures of a report as one image, or as a page each: for papers and slides.

They are drawn as in the HTML page, in the same colours, with title, caption and legend around them. The same figures
give the same bytes with one version of matplotlib: nothing in them says when they were made.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .axes import caption, is_drawable
from .document import Document, Figure
from .svg import WIDTH, draw, height, legend, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from matplotlib.figure import SubFigure

COLUMNS = 2
DPI = 150
INK, GROUND = "#1f2328", "#ffffff"
TITLE, SMALL = 11, 8  # points
TITLE_CHARACTERS, CAPTION_CHARACTERS, KEY_CHARACTERS = 58, 84, 52  # that a line has room for
TITLE_LINE, SMALL_LINE = 0.22, 0.16  # inches
_UNDATED = {"pdf": ("Creator", "Producer", "CreationDate"), "png": ("Software",), "svg": ("Creator", "Date")}
_DESCRIPTION = {"pdf": "Subject", "png": "Description", "svg": "Description"}


def figures_of(document: Document) -> list[Figure]:
    """Every figure that there is something to draw of, in their order."""
    blocks = [block for part in document.parts for block in part.blocks]
    return [block for block in blocks if isinstance(block, Figure) and is_drawable(block)]


def sheet(figures: Sequence[Figure], kind: str, provenance: Sequence[tuple[str, str]]) -> bytes:
    """Figures as a file.

    Args:
        figures: in their order, at least one.
        kind: `pdf`, with a page for each of them; `png` or `svg`, with all of them side by side.
        provenance: names and values of what a reader needs to get the same numbers; the file's description.
    """
    metadata: dict[str, Any] = dict.fromkeys(_UNDATED[kind])
    metadata |= {
        "Title": "lehi report",
        _DESCRIPTION[kind]: "\n".join(f"{name}: {value}" for name, value in provenance),
    }
    stream = io.BytesIO()
    with styled(INK, {"figure.facecolor": GROUND, "svg.hashsalt": "lehi", "pdf.fonttype": 42}):
        if kind == "pdf":
            _write_pages(stream, figures, metadata)
        else:
            _side_by_side(figures).savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def _write_pages(stream: io.BytesIO, figures: Sequence[Figure], metadata: dict[str, Any]) -> None:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure as Drawing

    with PdfPages(stream, metadata=metadata) as pages:
        for figure in figures:
            page = Drawing(figsize=(WIDTH, _whole_height(figure)), layout="constrained")
            _fill(page, figure)
            pages.savefig(page)


def _side_by_side(figures: Sequence[Figure]) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    columns = min(COLUMNS, len(figures))
    rows = [figures[i : i + columns] for i in range(0, len(figures), columns)]
    heights = [max(map(_whole_height, row)) for row in rows]
    whole = Drawing(figsize=(WIDTH * columns, sum(heights)), layout="constrained")
    places = whole.subfigures(len(rows), columns, height_ratios=heights, squeeze=False)
    for row, own in zip(rows, places, strict=True):
        for figure, place in zip(row, own, strict=False):
            _fill(place, figure)
    return whole


def _whole_height(figure: Figure) -> float:
    """Inches of a figure with its title, caption and legend."""
    titles, captions, keys = _lines(figure.title, TITLE_CHARACTERS), _lines(caption(figure), CAPTION_CHARACTERS), 0
    if shown := legend(figure):
        keys = -(-len(shown) // _key_columns([key.label for key in shown]))
    return height(figure) + TITLE_LINE * (len(titles) + keys) + SMALL_LINE * len(captions)


def _fill(place: Drawing | SubFigure, figure: Figure) -> None:
    """Title, caption, axes and legend, from above."""
    title = "\n".join(_lines(figure.title, TITLE_CHARACTERS))
    place.suptitle(title, x=0.02, ha="left", fontsize=TITLE, fontweight="bold")
    axes = place.add_subplot()
    draw(axes, figure)
    axes.set_title("\n".join(_lines(caption(figure), CAPTION_CHARACTERS)), loc="left", fontsize=SMALL, alpha=0.75)
    if keys := legend(figure):
        _add_legend(place, [_handle(key.appearance, key.is_line) for key in keys], [key.label for key in keys])


def _add_legend(place: Drawing | SubFigure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    columns = _key_columns(labels)
    place.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=SMALL + 1)


def _key_columns(labels: Sequence[str]) -> int:
    """How many entries of a legend fit beside one another."""
    return max(1, min(len(labels), KEY_CHARACTERS // (max(map(len, labels)) + 5)))


def _handle(appearance: Any, is_line: bool) -> Any:
    from matplotlib.lines import Line2D

    if is_line:
        return Line2D([], [], color=appearance.color, linestyle=appearance.dashes)
    return Line2D([], [], color=appearance.color, linestyle="none", marker=appearance.marker, markersize=5)


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)
