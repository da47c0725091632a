"""A plan as a table: each run that would be trained with its budget and expected cost, and the total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lehi_cli.experiment.preview import Preview

from .document import Column, Table
from .numbers import compact, duration
from .table import print_table

if TYPE_CHECKING:
    from lehi_cli.execute.estimate import Cost


def print_preview(console: Console, preview: Preview, jobs: int) -> None:
    """Print the plan as a table: which runs would be trained, which are stored, and what the rest will cost."""
    columns = [Column("task", right=False), Column("optimizer", right=False), Column("seed"), Column("budget")]
    columns += [Column("passes"), Column("time"), Column("run", right=False), Column("state", right=False)]
    rows = [
        [
            run.task.name,
            run.label,
            str(run.seed),
            str(run.task.budget),
            *_cost_cells(preview.costs.get(run.run_id)),
            run.run_id,
            "stored" if run.run_id in preview.stored else "to train",
        ]
        for run in preview.runs
    ]
    print_table(console, Table(columns, rows))
    stored = sum(run.run_id in preview.stored for run in preview.runs)
    count = len(preview.runs)
    console.print(f"{count} runs: {count - stored} to train, {stored} stored", highlight=False)
    for line in _total(list(preview.costs.values()), jobs):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    for line in preview.then:
        console.print(line, highlight=False, soft_wrap=True)


def _cost_cells(cost: Cost | str | None) -> list[str]:
    if cost is None or isinstance(cost, str):
        return ["-", "-" if cost is None else "?"]
    return ["?" if cost.passes is None else compact(round(cost.passes, 1)), duration(cost.seconds)]


def _total(costs: Sequence[Cost | str], jobs: int) -> list[str]:
    """The total of the known costs, and why the others are unknown."""
    known = [cost for cost in costs if not isinstance(cost, str)]
    lines = []
    if known:
        seconds, passes = sum(cost.seconds for cost in known), sum(cost.passes or 0.0 for cost in known)
        each = f", {duration(seconds / jobs)} with {jobs} jobs at best" if jobs > 1 else ""
        lines.append(f"about {compact(round(passes))} passes and {duration(seconds)}{each}, from a few steps of each")
    lines += dict.fromkeys(cost.note for cost in known if cost.note)
    reasons = dict.fromkeys(cost for cost in costs if isinstance(cost, str))
    return [*lines, *(f"no estimate: {reason}" for reason in reasons)]
