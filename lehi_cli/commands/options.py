"""Options that several verbs share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.specs import Budget

Tasks = Annotated[str, typer.Option("--task", help="Task or comma list of tasks: names from `lehi tasks`, or paths.")]
Seeds = Annotated[str, typer.Option(help="A count N (seeds 0 to N-1) or a list such as 3,7,11.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Change the task: key=value, repeatable.")]
Epochs = Annotated[float | None, typer.Option(help="Budget in passes over the training split.")]
Steps = Annotated[int | None, typer.Option(help="Budget in optimizer steps.")]
Passes = Annotated[float | None, typer.Option(help="Budget in gradient equivalents: the same compute for all.")]
Seconds = Annotated[float | None, typer.Option(help="Budget in seconds of training.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(help="fp32, or bf16 for the forward pass under autocast.")]
Jobs = Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")]
Executor = Annotated[str, typer.Option(help="auto, serial or pool.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="LEHI_RUNS", help="Folder of the runs.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="A few steps with one seed: proves that everything runs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Train again what the run folder already has.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no hints.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables and curves.")]
Axis = Annotated[str, typer.Option("--x", help="What curves are drawn against: passes, steps or seconds.")]

AXES = ("passes", "steps", "seconds")


def one_budget(epochs: float | None, steps: int | None, passes: float | None, seconds: float | None) -> Budget | None:
    """The one budget that was given, or None.

    Raises:
        UsageError: when two were given.
    """
    given = {"epochs": epochs, "steps": steps, "passes": passes, "seconds": seconds}
    chosen = [(kind, amount) for kind, amount in given.items() if amount is not None]
    if len(chosen) > 1:
        flags = " and ".join(f"--{kind}" for kind, _ in chosen)
        raise UsageError(f"{flags} are two budgets", "give one of --epochs, --steps, --passes, --seconds")
    return Budget(*chosen[0]) if chosen else None


def choice(value: str, allowed: tuple[str, ...], flag: str) -> str:
    """`value`, if it is one of `allowed`."""
    if value not in allowed:
        raise UsageError(f"{flag} {value!r} is not allowed", f"one of {', '.join(allowed)}")
    return value
