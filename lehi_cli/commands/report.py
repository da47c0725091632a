"""`lehi report`: tables, curves, verdicts and exports of what is stored; trains nothing."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lehi_cli.analysis.columns import parse_column, parse_columns
from lehi_cli.analysis.filters import Filter, stored_facts
from lehi_cli.errors import UsageError
from lehi_cli.report import MARGIN, View, make_report
from lehi_cli.store import Store, StoredRun

from .options import (
    AXES,
    DEFAULT_RUNS,
    TYPED,
    Assertions,
    Axis,
    Cost,
    Json,
    Margin,
    Reference,
    Runs,
    Target,
    checked_margin,
    choice,
    parsed_assertions,
    parsed_target,
)
from .output import FORMATS, chosen_format, show

TaskFilter = Annotated[str | None, typer.Option("--task", help="Only these tasks, a comma list; `*` matches any.")]
OptimFilter = Annotated[str | None, typer.Option("--optims", help="Only these optimizers: names or labels.")]
LabelFilter = Annotated[str | None, typer.Option("--label", help="Only these labels.")]
SeedFilter = Annotated[str | None, typer.Option("--seeds", help="Only these seeds: a count or a list.")]
StatusFilter = Annotated[str | None, typer.Option("--status", help="Only runs that ended so, a comma list.")]
Since = Annotated[str | None, typer.Option(help="Only runs started since a day, a moment, or 2d, 12h, 30min ago.")]
Until = Annotated[str | None, typer.Option(help="Only runs started until then; a day counts whole.")]
MetricChoice = Annotated[str | None, typer.Option("--metric", help="Show and judge these, such as loss,accuracy.")]
SplitChoice = Annotated[str | None, typer.Option("--split", help="Of these splits: train, val, test.")]
BestBy = Annotated[str | None, typer.Option(help="Of each optimizer only the best setting by this, such as val_loss.")]
By = Annotated[str | None, typer.Option(help="Group settings by the values of these options, such as factor,clip.")]
Format = Annotated[str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; else by the name of the file.")]
Output = Annotated[Path | None, typer.Option(help="Write into this file.")]


def report(
    task: TaskFilter = None,
    optims: OptimFilter = None,
    label: LabelFilter = None,
    seeds: SeedFilter = None,
    status: StatusFilter = None,
    since: Since = None,
    until: Until = None,
    metric: MetricChoice = None,
    split: SplitChoice = None,
    best_by: BestBy = None,
    by: By = None,
    runs: Runs = DEFAULT_RUNS,
    x: Axis = "passes",
    reference: Reference = None,
    margin: Margin = MARGIN,
    target: Target = None,
    cost: Cost = False,
    assertions: Assertions = None,
    format: Format = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show stored runs again: runs of one task and budget side by side."""
    chosen = Filter(task=task, optims=optims, label=label, seeds=seeds, status=status, since=since, until=until)
    if best_by is not None:
        parse_column(best_by)
    view = View(
        x=choice(x, AXES, "--x"),
        reference=reference,
        margin=checked_margin(margin),
        target=parsed_target(target),
        columns=parse_columns(metric, split),
        by=by,
        best_by=best_by,
        cost=cost,
        assertions=parsed_assertions(assertions),
        command=TYPED.get(),
    )
    kind = chosen_format(format, output, json)
    store = Store(runs)
    with _keeping_all():
        wanted = _wanted(store, chosen)
        view = replace(view, order=chosen.order(wanted))
        raise typer.Exit(show(make_report(store, wanted, view), store, kind, output))


@contextmanager
def _keeping_all() -> Iterator[None]:
    """Without looking for cycles: a report makes a great deal and throws next to nothing away, so none are found."""
    was_enabled = gc.isenabled()
    gc.disable()
    if "torch" not in sys.modules:  # its bindings print warnings when the process ends like this
        atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _wanted(store: Store, chosen: Filter) -> list[StoredRun]:
    """The runs that are to be shown.

    Raises:
        UsageError: when there is none.
    """
    stored = store.runs()
    if not stored:
        raise UsageError(f"no runs in {store.root}", "make some with lehi compare")
    wanted = chosen.select(stored)
    if not wanted:
        raise UsageError(f"no stored run in {store.root} matches", stored_facts(stored))
    return wanted
