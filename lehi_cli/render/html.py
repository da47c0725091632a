"""A document as one self-contained HTML file: no script, no font, no image from elsewhere.

The page itself is `report.html.jinja`; it escapes every text, and takes finished figures from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from .axes import caption, is_drawable
from .document import Block, Document, Figure, Heading, Lines, Part, Table
from .svg import Key, figure_to_svg, legend

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class _Shown:
    """A block with what the template needs to know about it."""

    kind: str
    block: Block
    svg: Markup | None = None
    keys: tuple[Key, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class _Chapter:
    """A part with its place in the page; consecutive figures stand side by side."""

    anchor: str
    part: Part
    groups: list[tuple[str, list[_Shown]]]


def document_to_html(document: Document) -> str:
    """The whole report as a page that reads well on a screen, on a phone and on paper, in light and in dark."""
    names = (f"figure{i}" for i in itertools.count(1))
    chapters = [_chapter(i, part, names) for i, part in enumerate(document.parts, start=1)]
    titles = list(dict.fromkeys(part.title for part in document.parts if part.title))
    page = _template().render(chapters=chapters, titles=titles, provenance=document.provenance)
    return page.strip() + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(files(__package__ or "").joinpath(TEMPLATE).read_text(encoding="utf-8"))


def _chapter(number: int, part: Part, names: Iterator[str]) -> _Chapter:
    shown = [item for item in (_shown(block, names) for block in part.blocks) if item is not None]
    groups = [(kind, list(own)) for kind, own in itertools.groupby(shown, key=lambda item: item.kind)]
    return _Chapter(f"part{number}", part, groups)


def _shown(block: Block, names: Iterator[str]) -> _Shown | None:
    """The block, drawn if it is a figure; None for one with nothing in it."""
    if isinstance(block, Table):
        return _Shown("table", block)
    if isinstance(block, Heading):
        return _Shown("heading", block)
    if isinstance(block, Lines):
        return _Shown("lines", block) if any(block.lines) else None
    return _figure(block, names) if is_drawable(block) else None


def _figure(figure: Figure, names: Iterator[str]) -> _Shown:
    from markupsafe import Markup

    svg = Markup(figure_to_svg(figure, next(names)))  # noqa: S704  (every text in it is escaped where it is written)
    return _Shown("figure", figure, svg, tuple(legend(figure)), caption(figure))
