"""`lehi report`: tables, curves, verdicts and exports of stored runs; trains nothing."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lehi_cli.analysis.columns import SPLITS, parse_column, parse_columns
from lehi_cli.analysis.filters import Filter
from lehi_cli.experiment.choices import AXES, choice
from lehi_cli.experiment.report import View
from lehi_cli.experiment.stored import ROLES, Selection, report_stored
from lehi_cli.render.export import FORMATS
from lehi_cli.runs.stores import open_stores

from .shared.completion import comparison_ids, one_of, some_of
from .shared.filter_options import ALL, OPTIONS, takes_filter
from .shared.options import (
    DEFAULT_FOLDERS,
    TYPED,
    AllowDiverged,
    Assertions,
    Brief,
    Cost,
    Full,
    Json,
    Margin,
    Reference,
    RunFolders,
    Target,
    chosen_detail,
    parsed_assertions,
    parsed_margins,
    parsed_target,
)
from .shared.output import chosen_format, show

Axis = Annotated[
    str | None,
    typer.Option(
        "--x",
        help="Horizontal axis of the curves: passes (the default), steps or seconds.",
        autocompletion=one_of(AXES),
    ),
]
MetricChoice = Annotated[str | None, typer.Option("--metric", help="Metrics to show and judge, such as loss,accuracy.")]
SplitChoice = Annotated[
    str | None,
    typer.Option("--split", help="Splits to show and judge: train, val, test.", autocompletion=some_of(SPLITS)),
]
BestBy = Annotated[str | None, typer.Option(help="Only each optimizer's best setting by this, such as val_loss.")]
By = Annotated[str | None, typer.Option(help="Group settings by the values of these options, such as factor,clip.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help=f"{', '.join(FORMATS)}; by default from the file's name.", autocompletion=one_of(FORMATS)
    ),
]
Output = Annotated[Path | None, typer.Option(help="File to write to.")]
Which = Annotated[
    str | None,
    typer.Option("--comparison", help="Show this comparison as it was first shown.", autocompletion=comparison_ids),
]
RoleFilter = Annotated[
    str | None,
    typer.Option(
        "--role",
        help="final, trial or all; by default trials only if nothing else is stored.",
        autocompletion=one_of(ROLES),
    ),
]


@takes_filter
def report(
    comparison: Which = None,
    chosen: Filter = ALL,
    role: RoleFilter = None,
    metric: MetricChoice = None,
    split: SplitChoice = None,
    best_by: BestBy = None,
    by: By = None,
    runs: RunFolders = DEFAULT_FOLDERS,
    x: Axis = None,
    reference: Reference = None,
    margin: Margin = None,
    target: Target = None,
    cost: Cost = False,
    assertions: Assertions = None,
    allow_diverged: AllowDiverged = False,
    brief: Brief = False,
    full: Full = False,
    format: Format = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show stored comparisons again, or choose among the stored runs.

    Without options: list the comparisons and show the last one.
    """
    if best_by is not None:
        parse_column(best_by)
    view = View(
        x=choice(x or View.x, AXES, "--x"),
        reference=reference,
        margins=parsed_margins(margin),
        target=parsed_target(target),
        columns=parse_columns(metric, split),
        by=by,
        best_by=best_by,
        cost=cost,
        assertions=parsed_assertions(assertions),
        allow_diverged=allow_diverged,
        command=TYPED.get(),
        detail=chosen_detail(brief, full),
        together=False,
    )
    kind = chosen_format(format, output, json)
    wanted = choice(role, ROLES, "--role") if role is not None else None
    choosing = {f"--{name}": getattr(chosen, name) for name in OPTIONS} | {
        "--role": role, "--metric": metric, "--split": split, "--best-by": best_by, "--by": by, "--x": x,
        "--reference": reference, "--margin": margin, "--target": target, "--cost": cost or None,
        "--assert": assertions or None, "--allow-diverged": allow_diverged or None,
    }  # fmt: skip
    given = [flag for flag, value in choosing.items() if value is not None]
    store = open_stores(runs)
    with _keeping_all():
        page, listed = report_stored(store, Selection(comparison, chosen, wanted, given), view)
        raise typer.Exit(show(page, store, kind, output, listed))


@contextmanager
def _keeping_all() -> Iterator[None]:
    """Turn off the search for garbage cycles: a report makes many objects and drops almost none, so none are found."""
    was_enabled = gc.isenabled()
    gc.disable()
    if "torch" not in sys.modules:  # its bindings print warnings if the process ends like this
        atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
