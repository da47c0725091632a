"""A table as plain data, and its writers: Rich for a terminal, Markdown for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from tabulate import tabulate


@dataclass(frozen=True)
class Column:
    """A column: its heading, and the part of the table it moves with when the whole does not fit."""

    heading: str
    part: int = 0
    right: bool = True


@dataclass(frozen=True)
class Table:
    """Columns and rows of finished text; the first column names the row, a cell ending in `*` is its column's best."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    caption: str = ""


def print_table(console: Console, table: Table) -> None:
    """Write a table: ruled and in colour on a terminal, split in parts where it is too wide, Markdown when piped."""
    if not console.is_terminal:
        console.print(to_markdown(table), markup=False, highlight=False, soft_wrap=True)
    else:
        whole = _rich(table)
        fits = console.measure(whole).minimum <= console.width and _width(table) <= console.width
        for i, part in enumerate([whole] if fits else [_rich(part) for part in _parts(table)]):
            if i:
                console.print()
            console.print(part)
    if table.caption:
        console.print(table.caption, style="dim", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    align = ["right" if column.right else "left" for column in table.columns]
    headings = [column.heading for column in table.columns]
    return tabulate(table.rows, headings, tablefmt="github", colalign=align, disable_numparse=True)


def _width(table: Table) -> int:
    """Columns of text the table takes when no cell is wrapped."""
    cells = [[column.heading for column in table.columns], *table.rows]
    return sum(max(len(row[i]) for row in cells) + 2 for i in range(len(table.columns)))


def _parts(table: Table) -> list[Table]:
    """The table as one narrower table per part, each with the first column in front."""
    parts = []
    for part in sorted({column.part for column in table.columns[1:]}):
        keep = [0, *(i for i, column in enumerate(table.columns) if i and column.part == part)]
        rows = [[row[i] for i in keep] for row in table.rows]
        parts.append(Table([table.columns[i] for i in keep], rows))
    return parts


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for column in table.columns:
        drawn.add_column(column.heading, justify="right" if column.right else "left", no_wrap=not column.right)
    for row in table.rows:
        drawn.add_row(*(Text(cell, style="bold green" if cell.endswith("*") else "") for cell in row))
    return drawn
