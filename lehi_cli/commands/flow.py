"""What `train` and `compare` have in common: carry out a plan, show what came of it, say where it lies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from lehi_cli.errors import DataError, Exit, Notice
from lehi_cli.execute.conduct import conduct, differences, split
from lehi_cli.plan import Request, plan
from lehi_cli.registry import optimizers, tasks
from lehi_cli.render.curves import print_curves
from lehi_cli.render.document import to_json
from lehi_cli.render.live import watcher
from lehi_cli.render.summary import print_summary
from lehi_cli.render.table import Column, Table, print_table
from lehi_cli.results import Section, arrange
from lehi_cli.specs import RunSpec
from lehi_cli.store import FAILED, Store, StoredRun

from .options import AXES, DEFAULT_RUNS, RunOptions, choice


@dataclass(frozen=True)
class View:
    """How to show results."""

    x: str = "passes"
    json: bool = False


def run_and_show(request: Request, options: RunOptions) -> None:
    """Plan, train what is missing, show everything, and exit with what the runs came to."""
    settings, view = options.settings(), View(choice(options.x, AXES, "--x"), options.json)
    runs, store, errors = plan(request), Store(options.runs), Console(stderr=True)
    say(errors, [*tasks.load().notices, *optimizers.load().notices])
    if options.dry_run:
        show_plan(Console(), runs, store)
        return
    done, missing = ([], runs) if settings.fresh else split(runs, store)
    interrupted = False
    try:
        with watcher(errors, len(missing), options.quiet) as watch:
            conduct(runs, store, settings, watch)
    except KeyboardInterrupt:
        interrupted = True
    except DataError as error:
        if not request.smoke or request.fake:
            raise
        say(errors, [Notice(error.message, "the smoke run uses fake data instead")])
        run_and_show(replace(request, fake=True), options)
        return
    stored = [found for found in map(store.find, (run.run_id for run in runs)) if found is not None]
    show(store, stored, view, {run.run_id: run.label for run in runs})
    if not options.quiet and not options.json:
        _say_where(errors, runs, stored, len(done), options.runs)
    if interrupted:
        errors.print("interrupted; the same command goes on with what is missing", highlight=False)
        raise typer.Exit(Exit.INTERRUPTED)
    if any(run.status in FAILED for run in stored):
        raise typer.Exit(Exit.RUN_FAILED)


def _say_where(console: Console, runs: Sequence[RunSpec], stored: Sequence[StoredRun], reused: int, root: Path) -> None:
    """Where the results lie, and the command that shows them again."""
    counted = "1 run" if len(stored) == 1 else f"{len(stored)} runs"
    lines = [f"{counted} in {root} ({len(stored) - reused} new, {reused} reused)"]
    lines += [f"show again: {_report_command(runs, root)}"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show(store: Store, runs: Sequence[StoredRun], view: View, labels: dict[str, str] | None = None) -> None:
    """Tables and curves of stored runs, or one JSON document."""
    sections = arrange(store, runs, labels)
    errors = Console(stderr=True)
    say(errors, store.notices)
    if view.json:
        typer.echo(to_json(sections))
        return
    console = Console()
    for section in sections:
        print_summary(console, section)
        print_curves(console, section, view.x)
        say(errors, _differences(section))


def _differences(section: Section) -> list[Notice]:
    return differences([dict(run.environment) for run in section.runs])


def say(console: Console, notices: Sequence[Notice]) -> None:
    """Print notices, each with its next step."""
    for notice in notices:
        hint = f" ({notice.hint})" if notice.hint else ""
        console.print(f"warning: {notice.message}{hint}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def show_plan(console: Console, runs: Sequence[RunSpec], store: Store) -> None:
    """The plan as a table: what would be trained and what is already there."""
    done, missing = split(runs, store)
    kept = {run.run_id for run in done}
    columns = [Column("task", right=False), Column("optimizer", right=False), Column("seed"), Column("budget")]
    columns += [Column("run", right=False), Column("state", right=False)]
    rows = [
        [
            run.task.name,
            run.label,
            str(run.seed),
            str(run.task.budget),
            run.run_id,
            "stored" if run.run_id in kept else "to train",
        ]
        for run in runs
    ]
    print_table(console, Table(columns, rows))
    console.print(f"{len(runs)} runs: {len(missing)} to train, {len(done)} stored", highlight=False)


def _report_command(runs: Sequence[RunSpec], root: Path) -> str:
    names = ",".join(dict.fromkeys(run.task.name for run in runs))
    optims = ",".join(dict.fromkeys(run.optimizer.name for run in runs))
    command = ["lehi", "report", "--task", names, "--optims", optims]
    return shlex.join(command if root == DEFAULT_RUNS else [*command, "--runs", str(root)])
