"""`lehi watch`: curves of runs while they are trained."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from lehi_cli.errors import Exit
from lehi_cli.experiment.choices import AXES, DEFAULT_RUNS, choice
from lehi_cli.experiment.watching import Watching
from lehi_cli.render.watch import shower
from lehi_cli.runs.status import FAILED
from lehi_cli.runs.store import Store

from .shared.completion import comparison_ids, one_of, run_ids
from .shared.options import Runs
from .shared.output import say

SECONDS = 0.5  # between two looks

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Ids of runs, or how they begin; by default all that are running.",
        show_default=False,
        autocompletion=run_ids,
    ),
]
Which = Annotated[
    str | None, typer.Option("--comparison", help="Watch the runs of this comparison.", autocompletion=comparison_ids)
]
Axis = Annotated[
    str,
    typer.Option("--x", help="What curves are drawn against: passes, steps or seconds.", autocompletion=one_of(AXES)),
]


def watch(names: Names = None, comparison: Which = None, x: Axis = "passes", runs: Runs = DEFAULT_RUNS) -> None:
    """Watch the curves of runs that other processes are training.

    Without names: of all that are running. Ends when they have ended, with exit code 1 if one of them failed.
    Ctrl-C stops the watching, with exit code 130; the runs go on.
    """
    console, errors, store = Console(), Console(stderr=True), Store(runs)
    watching = Watching(store, names or (), comparison, choice(x, AXES, "--x"))
    found = watching.look()
    if not found:
        errors.print(f"nothing is running in {runs}", markup=False, highlight=False, soft_wrap=True)
        return
    try:
        with shower(console, x) as screen:
            screen.show(found)
            while not watching.is_over:
                time.sleep(SECONDS)
                found = watching.look()
                screen.show(found)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        say(errors, list(dict.fromkeys(store.notices)))
    raise typer.Exit(Exit.RUN_FAILED if any(item.run.status in FAILED for item in found) else Exit.OK)
