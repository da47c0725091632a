"""The options of the verbs that train, as one value.

A command decorated with `takes_run_options` gets them as one value, while typer sees separate options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from lehi_cli.data.folder import DATA_VARIABLE
from lehi_cli.errors import UsageError
from lehi_cli.execute.conduct import EXECUTORS
from lehi_cli.experiment import options as application
from lehi_cli.experiment.choices import AXES
from lehi_cli.experiment.report import View
from lehi_cli.runs.specs import RunSpec

from .completion import one_of, task_names
from .options import TYPED
from .spread import spread


@dataclass(frozen=True, kw_only=True)
class RunOptions(application.RunOptions):
    """The application's options, and those that only the command line has."""

    task: str
    dry_run: bool = False
    yes: bool = False
    quiet: bool = False
    json: bool = False

    def tasks(self) -> list[str]:
        """The tasks that were named."""
        return [name.strip() for name in self.task.split(",")]

    def view(self, **more: Any) -> View:
        """How to show the results; `more` is what the command adds.

        Raises:
            UsageError: when the results cannot be shown in this way.
        """
        if self.json and self.dry_run:
            raise UsageError("--dry-run shows a table, --json a document of results", "give one of the two")
        return super().view(command=TYPED.get(), **more)


OPTIONS: Mapping[str, Any] = {
    "task": typer.Option(
        help="Task, or comma list of tasks: names from `lehi tasks`, or paths.", autocompletion=task_names
    ),
    "overrides": typer.Option("--set", help="Change the task: key=value; repeatable."),
    "epochs": typer.Option(help="Budget in passes over the training split."),
    "steps": typer.Option(help="Budget in optimizer steps."),
    "passes": typer.Option(help="Budget in gradient equivalents: the same compute for all."),
    "seconds": typer.Option(help="Budget in seconds of training."),
    "device": typer.Option(
        help="auto, cpu, cuda, cuda:1 or mps.", autocompletion=one_of(("auto", "cpu", "cuda", "mps"))
    ),
    "precision": typer.Option(
        help="fp32, or bf16 for the forward pass under autocast.", autocompletion=one_of(RunSpec.PRECISIONS)
    ),
    "jobs": typer.Option(min=1, help="Runs at a time, each in its own process."),
    "executor": typer.Option(
        help="auto, serial, pool, ray, or mock: made-up results, to try out a plan.", autocompletion=one_of(EXECUTORS)
    ),
    "threads": typer.Option(min=1, help="Torch threads per run of a large task; by default cores / jobs."),
    "ray_address": typer.Option(help="Ray cluster as host:port; auto for the local one, or a new one."),
    "runs": typer.Option("--runs", envvar="LEHI_RUNS", help="Folder of the runs."),
    "data_dir": typer.Option(help="Folder of the data sets.", envvar=DATA_VARIABLE),
    "fake_data": typer.Option("--fake-data", help="Use synthetic data of the same shape; marked wherever it is shown."),
    "x": typer.Option(
        "--x", help="Horizontal axis of the curves: passes, steps or seconds.", autocompletion=one_of(AXES)
    ),
    "smoke": typer.Option("--smoke", help="Take a few steps with one seed, on fake data if the real data is missing."),
    "dry_run": typer.Option("--dry-run", help="Print what would be trained, and train nothing."),
    "yes": typer.Option("--yes", help="Start a plan of many runs without asking."),
    "no_cache": typer.Option("--no-cache", help="Retrain runs that the run folder already has."),
    "quiet": typer.Option("--quiet", help="Print no progress and no hints."),
    "json": typer.Option("--json", help="Print one JSON document instead of tables and curves."),
}
"""How each is given on the command line, in the order of the help."""


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a command's parameter `options: RunOptions` into one parameter per field."""
    return spread(command, "options", RunOptions, OPTIONS, _task_first)


def _task_first(
    own: Sequence[inspect.Parameter], options: Sequence[inspect.Parameter], _: int
) -> list[inspect.Parameter]:
    """The task, then the command's own options, then the others."""
    return [options[0], *own, *options[1:]]
