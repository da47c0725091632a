"""The findings of checks, printed one by one as they come, and their count at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lehi_cli.conformance import Finding

MARKS = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}
STYLES = {"passed": "", "failed": "red", "skipped": "dim"}


def print_findings(console: Console, title: str, findings: Iterable[Finding]) -> int:
    """Print findings under a title; returns how many failed."""
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.outcome] += 1
        _print_finding(console, finding)
    words = [f"{counts[outcome]} {outcome}" for outcome in MARKS if counts[outcome]]
    console.print(f"  {', '.join(words)}", highlight=False)
    return counts["failed"]


def _print_finding(console: Console, finding: Finding) -> None:
    """One finding: a single line in a file, wrapped beside its mark on a terminal."""
    mark, text = MARKS[finding.outcome], f"{finding.check}: {finding.detail}"
    style = STYLES[finding.outcome]
    if not console.is_terminal:
        console.print(f"  {mark} {text}", markup=False, highlight=False, soft_wrap=True)
        return
    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(mark, Text(text, style=style))
    console.print(Padding(row, (0, 0, 0, 2), expand=False), style=style, highlight=False)
