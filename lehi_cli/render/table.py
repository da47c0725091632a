"""Tables as text: ruled and in colour on a terminal, Markdown for everything else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from tabulate import tabulate

from .document import Table

PROSE = 32  # terminal columns in which prose is readable
GAP = 3  # between two columns, as drawn


def print_table(console: Console, table: Table) -> None:
    """Write a table: ruled and in colour on a terminal, in parts if it is too wide, Markdown when piped."""
    if not console.is_terminal:
        console.print(to_markdown(_escaped(table)), markup=False, highlight=False, soft_wrap=True)
    else:
        whole = _width(table, range(len(table.columns))) <= console.width
        for i, part in enumerate([table] if whole else _parts(table, console.width)):
            if i:
                console.print()
            console.print(_rich(part, console.width), crop=False)
    if table.caption:
        console.print(table.caption, style="dim", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _escaped(table: Table) -> Table:
    """The table with every bar in a cell escaped: in Markdown it would begin another cell."""
    return replace(table, rows=[[cell.replace("|", "\\|") for cell in row] for row in table.rows])


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    align = ["right" if column.right else "left" for column in table.columns]
    headings = [column.heading for column in table.columns]
    return tabulate(table.rows, headings, tablefmt="github", colalign=align, disable_numparse=True)


def _cell_width(table: Table, column: int) -> int:
    """The least width of a column: its longest cell; for prose its longest word, and room for a few words."""
    cells = [table.columns[column].heading, *(row[column] for row in table.rows)]
    longest = max(map(cell_len, cells))
    if not table.columns[column].wraps:
        return longest
    return max(min(longest, PROSE), *(cell_len(word) for cell in cells for word in cell.split()))


def _width(table: Table, columns: Iterable[int]) -> int:
    widths = [_cell_width(table, column) for column in columns]
    return sum(widths) + GAP * (len(widths) - 1)


def _parts(table: Table, width: int) -> list[Table]:
    """Narrower tables, each beginning with the first column; columns of one part stay together if they fit."""
    groups: list[list[int]] = []
    for i in range(1, len(table.columns)):
        together = bool(groups) and table.columns[groups[-1][-1]].part == table.columns[i].part
        if together and _width(table, [0, *groups[-1], i]) <= width:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [
        Table([table.columns[i] for i in (0, *group)], [[row[i] for i in (0, *group)] for row in table.rows])
        for group in groups
    ]


def _rich(table: Table, width: int) -> RichTable:
    least = _width(table, range(len(table.columns)))
    # A number that is cut off is another number, so a cell that does not fit runs over the edge.
    over = least if least > width else None
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, width=over)
    for i, column in enumerate(table.columns):
        drawn.add_column(
            Text(column.heading),
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            min_width=_cell_width(table, i),
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell, style="bold green" if cell.endswith("*") else "") for cell in row))
    return drawn
