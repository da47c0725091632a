"""A report in the terminal: part by part, tables ruled and figures drawn; plain Markdown tables when piped."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from .document import Block, Figure, Heading, Lines, Part, Table
from .plot import print_figure
from .table import print_table


def print_parts(console: Console, parts: Sequence[Part]) -> None:
    """Print every part with its heading, and an empty line after every block."""
    for part in parts:
        piped = not console.is_terminal
        if part.title:
            console.print(f"[bold]{escape(part.title)}[/]  {escape(part.subtitle)}", highlight=False, soft_wrap=piped)
            console.print()
        for block, following in zip(part.blocks, [*part.blocks[1:], None], strict=True):
            print_block(console, block)
            if not (isinstance(block, Table) and isinstance(following, Lines)):  # a table's notes follow it
                console.print()


def print_block(console: Console, block: Block) -> None:
    """One table, figure, heading or set of lines."""
    if isinstance(block, Table):
        print_table(console, block)
    elif isinstance(block, Figure):
        print_figure(console, block)
    elif isinstance(block, Heading):
        console.print(block.text, style="bold", markup=False, highlight=False, soft_wrap=not console.is_terminal)
    else:
        print_lines(console, block.lines, "bold" if block.strong else "")


def print_lines(console: Console, lines: Sequence[str], style: str = "") -> None:
    """Print lines as they are, wrapped only on a terminal."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
