"""A document as GitHub's Markdown: it can be pasted into a pull request, a README or an issue."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from .axes import caption
from .document import Block, Column, Document, Figure, Heading, Lines, Part, Table
from .table import to_markdown

Draw = Callable[[Figure], str]

_SPECIAL = re.compile(
    r"[\\`*|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore between two letters means nothing
    r"|<(?=[A-Za-z/!?])"  # a tag, unlike the sign in `<0.0001`
    r"|&(?=#?\w+;)"
    r"|\](?=[(\[])"
)
_OPENING = re.compile(r"^(\d*)([#+=>.)-])(?=\s|$)")


def document_to_markdown(document: Document, draw: Draw) -> str:
    """The whole report: a heading per part, tables, and figures in characters behind a fold.

    Args:
        document: the document to write.
        draw: turns a figure into text without colours; empty if there is nothing to draw.
    """
    blocks = [block for part in document.parts for block in _part(part, draw)]
    if document.provenance:
        blocks.append(_provenance(document.provenance))
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    r"""Text within a line that reads the same when rendered: `a*b|c` becomes `a\*b\|c`."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _paragraph(text: str) -> str:
    """A line, escaped so that it does not open a list, a heading or a quotation."""
    return _OPENING.sub(r"\1\\\2", escape(text))


def _part(part: Part, draw: Draw) -> list[str]:
    heading = f"## {escape(part.title)}" if part.title else ""
    said = [heading, _paragraph(part.subtitle), *(_block(block, draw) for block in part.blocks)]
    return [text for text in said if text]


def _block(block: Block, draw: Draw) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return _figure(block, draw(block))
    if isinstance(block, Heading):
        return f"### {escape(block.text)}"
    if block.strong:
        return "\n\n".join(f"**{escape(line)}**" for line in block.lines if line.strip())
    return _lines(block)


def _table(table: Table) -> str:
    columns = [replace(column, heading=escape(column.heading)) for column in table.columns]
    rows = [[escape(name), *map(_cell, cells)] for name, *cells in table.rows]
    return _captioned(to_markdown(Table(columns, rows)), table.caption)


def _cell(cell: str) -> str:
    """A cell; the best of a column is bold, with the star that the caption mentions."""
    if cell.endswith("*"):
        return rf"**{escape(cell[:-1])}**\*"
    return escape(cell)


def _figure(figure: Figure, drawing: str) -> str:
    if not drawing:
        return ""
    longest = max(map(len, re.findall("`+", drawing)), default=0)
    fence = "`" * max(3, longest + 1)
    drawn = "\n".join(line.rstrip() for line in drawing.splitlines())
    return _folded(figure.title, _captioned(f"{fence}text\n{drawn}\n{fence}", caption(figure)))


def _lines(block: Lines) -> str:
    lines = [_paragraph(line) for line in block.lines if line.strip()]
    return lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)


def _provenance(pairs: Sequence[tuple[str, str]]) -> str:
    columns = [Column("what", right=False), Column("value", right=False)]
    return _folded("provenance", to_markdown(Table(columns, [[escape(part) for part in pair] for pair in pairs])))


def _folded(title: str, content: str) -> str:
    """Content that is shown when its title is clicked on; Markdown inside HTML needs the empty lines."""
    return f"<details>\n<summary>{html.escape(title, quote=False)}</summary>\n\n{content}\n\n</details>"


def _captioned(content: str, said: str) -> str:
    return f"{content}\n\n{_paragraph(said)}" if said else content
