"""`lehi report`: tables and curves of what is stored; trains nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.report import View, make_report
from lehi_cli.specs import parse_seeds
from lehi_cli.store import Store, StoredRun

from .flow import show
from .options import AXES, DEFAULT_RUNS, MARGIN, Axis, Json, Margin, Reference, Runs, checked_margin, choice

TaskFilter = Annotated[str | None, typer.Option("--task", help="Only these tasks, a comma list.")]
OptimFilter = Annotated[
    str | None, typer.Option("--optims", help="Only these optimizers: names or labels, a comma list.")
]
SeedFilter = Annotated[str | None, typer.Option("--seeds", help="Only these seeds: a count or a list.")]
StatusFilter = Annotated[str | None, typer.Option("--status", help="Only runs that ended so, a comma list.")]


def report(
    task: TaskFilter = None,
    optims: OptimFilter = None,
    seeds: SeedFilter = None,
    status: StatusFilter = None,
    runs: Runs = DEFAULT_RUNS,
    x: Axis = "passes",
    json: Json = False,
    reference: Reference = None,
    margin: Margin = MARGIN,
) -> None:
    """Show stored runs again: runs of one task and budget side by side."""
    order = optims.split(",") if optims else ()
    view = View(choice(x, AXES, "--x"), reference=reference, order=order, margin=checked_margin(margin))
    store = Store(runs)
    stored = store.runs()
    wanted = [run for run in stored if _matches(run, task, optims, seeds, status)]
    if not wanted:
        known = f"stored: {_listed(run.task for run in stored)}; {_listed(run.label for run in stored)}"
        raise UsageError(f"no stored run in {runs} matches", known if stored else "make some with lehi compare")
    show(make_report(store, wanted, view), store, json=json)


def _matches(run: StoredRun, task: str | None, optims: str | None, seeds: str | None, status: str | None) -> bool:
    return (
        (task is None or run.task in task.split(","))
        and (optims is None or bool({run.label, run.optimizer} & set(optims.split(","))))
        and (seeds is None or run.seed in parse_seeds(seeds))
        and (status is None or run.status in status.split(","))
    )


def _listed(values: object) -> str:
    return ", ".join(dict.fromkeys(values))  # type: ignore[call-overload]
