"""The common part of verbs that train: run the experiment, show its result, and exit with its code."""

from __future__ import annotations

import shlex
from typing import Never

import typer
from rich.console import Console

from lehi_cli.errors import Exit
from lehi_cli.experiment.choices import DEFAULT_RUNS
from lehi_cli.experiment.experiment import Experiment
from lehi_cli.experiment.finish import Finished
from lehi_cli.experiment.report import View
from lehi_cli.experiment.session import Count, Session
from lehi_cli.render.preview import print_preview

from .listener import Terminal
from .options import TYPED
from .output import show
from .run_options import RunOptions


def carry_out(experiment: Experiment, options: RunOptions, view: View) -> None:
    """Run an experiment and show its result, or show what would be trained."""
    listener = Terminal(options.quiet, terse=options.json, yes=options.yes)
    session = Session(options.runs, options.settings(), view, listener)
    if options.dry_run:
        print_preview(Console(), experiment.preview(session), options.jobs)
    else:
        _end(experiment.run(session), session, options)


def _end(finished: Finished, session: Session, options: RunOptions) -> Never:
    """Show the result, and exit with the code that the runs and assertions call for."""
    errors, gate = Console(stderr=True), Exit.OK
    if finished.report is not None:
        gate = show(finished.report, session.store, "json" if options.json else "table")
        for line in _where(finished, session, options):
            errors.print(line, markup=False, highlight=False, soft_wrap=True)
    if finished.interrupted:
        again = [word for word in TYPED.get() if word != "--no-cache"]  # it would train everything again
        command = shlex.join(["lehi", *again])
        line = f"interrupted; to go on with what is missing: {command}"
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.RUN_FAILED if finished.failed else gate)


def _where(finished: Finished, session: Session, options: RunOptions) -> list[str]:
    """Where the results are, and the command that shows the same page again."""
    if options.quiet or options.json:
        return []
    others = finished.others.new + finished.others.reused
    before = f", after {_counted(others, 'tuning trial')} {_new(finished.others)}" if others else ""
    lines = [f"{_counted(len(finished.runs), 'run')} in {options.runs} {_new(finished.count)}{before}"]
    if finished.comparison:
        lines.append(f"show again: {_report_command(finished.comparison, session.view, options)}")
    return lines


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _new(count: Count) -> str:
    """`(1 new, 3 reused)`."""
    return f"({count.new} new, {count.reused} reused)"


def _report_command(comparison: str, view: View, options: RunOptions) -> str:
    """The command that shows the same page."""
    command = ["lehi", "report", "--comparison", comparison]
    if options.runs != DEFAULT_RUNS:
        command += ["--runs", str(options.runs)]
    detail = {"brief": ["--brief"], "full": ["--full"]}.get(view.detail, [])
    return shlex.join([*command, *detail])
