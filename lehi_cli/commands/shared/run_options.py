"""The options of the verbs that train, as one value.

A command decorated with `takes_run_options` gets them as one value, and typer sees them as options of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from lehi_cli.errors import UsageError
from lehi_cli.execute.conduct import EXECUTORS, Settings
from lehi_cli.experiment.report import View
from lehi_cli.experiment.request import Request
from lehi_cli.runs.specs import Budget, OptimSpec, parse_seeds

from .options import AXES, DEFAULT_RUNS, TYPED, Axis, DataDir, Json, Runs, choice


@dataclass(frozen=True)
class RunOptions:
    """What is trained for how long, where, and how it is shown."""

    task: Annotated[str, typer.Option(help="Task or comma list of tasks: names from `lehi tasks`, or paths.")]
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change the task: key=value, repeatable.")] = None
    epochs: Annotated[float | None, typer.Option(help="Budget in passes over the training split.")] = None
    steps: Annotated[int | None, typer.Option(help="Budget in optimizer steps.")] = None
    passes: Annotated[float | None, typer.Option(help="Budget in gradient equivalents: the same compute for all.")] = (
        None
    )
    seconds: Annotated[float | None, typer.Option(help="Budget in seconds of training.")] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    precision: Annotated[str, typer.Option(help="fp32, or bf16 for the forward pass under autocast.")] = "fp32"
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")] = 1
    executor: Annotated[
        str, typer.Option(help="auto, serial, pool, ray, or mock: made-up results, to try out a plan.")
    ] = "auto"
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch threads of a large task's run; by default cores / jobs.")
    ] = None
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster as host:port; auto for the one here, or a new one.")
    ] = None
    runs: Runs = DEFAULT_RUNS
    data_dir: DataDir = None
    fake_data: Annotated[
        bool, typer.Option("--fake-data", help="Synthetic data of the same shape; marked in all that is shown.")
    ] = False
    x: Axis = "passes"
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps, one seed, fake data where there is no real.")] = (
        False
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", help="Start a plan of many runs without asking.")] = False
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Train again what the run folder already has.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no hints.")] = False
    json: Json = False

    def request(self, optimizers: list[OptimSpec], seeds: str) -> Request:
        """The request these options make."""
        return Request(
            tasks=[name.strip() for name in self.task.split(",")],
            optimizers=optimizers,
            seeds=(0,) if self.smoke else parse_seeds(seeds),
            overrides=self.overrides or (),
            budget=self._budget(),
            precision=self.precision,
            smoke=self.smoke,
            fake=self.fake_data,
            data=self.data_dir,
        )

    def view(self, **more: Any) -> View:
        """How the results are to be shown; `more` is what the command adds.

        Raises:
            UsageError: when it cannot be shown so.
        """
        if self.json and self.dry_run:
            raise UsageError("--dry-run shows a table, --json a document of results", "give one of the two")
        return View(x=choice(self.x, AXES, "--x"), command=TYPED.get(), **more)

    def settings(self) -> Settings:
        """How to carry it out."""
        return Settings(
            device=self.device,
            executor=choice(self.executor, EXECUTORS, "--executor"),
            jobs=self.jobs,
            fresh=self.no_cache,
            data=self.data_dir,
            threads=self.threads,
            ray_address=self.ray_address,
        )

    def _budget(self) -> Budget | None:
        """The one budget that was given, or None.

        Raises:
            UsageError: when two were given.
        """
        chosen = [(kind, getattr(self, kind)) for kind in Budget.KINDS if getattr(self, kind) is not None]
        if len(chosen) > 1:
            flags = " and ".join(f"--{kind}" for kind, _ in chosen)
            raise UsageError(f"{flags} are two budgets", "give one of --epochs, --steps, --passes, --seconds")
        return Budget(*chosen[0]) if chosen else None


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command with a parameter `options: RunOptions` each field of it as a parameter of its own."""
    typed = fields(RunOptions)
    names = {item.name for item in typed}

    @wraps(command)
    def flat(**values: Any) -> None:
        options = RunOptions(**{name: value for name, value in values.items() if name in names})
        command(options=options, **{name: value for name, value in values.items() if name not in names})

    hints = get_type_hints(command, include_extras=True) | get_type_hints(RunOptions, include_extras=True)
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "options"]
    spread = [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=_default(item.default))
        for item in fields(RunOptions)
    ]
    first, *rest = spread  # the task comes first in the help, then what the command adds
    kept = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in (first, *kept, *rest)]
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _default(value: Any) -> Any:
    return inspect.Parameter.empty if value is MISSING else value
