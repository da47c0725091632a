"""`lehi compare`: several optimizers on the same tasks, with the same seeds."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.execute.conduct import EXECUTORS, Settings
from lehi_cli.plan import Request
from lehi_cli.specs import parse_optimizers, parse_seeds

from . import options as o
from .flow import DEFAULT_RUNS, View, run_and_show

Optims = Annotated[
    str, typer.Option("--optims", help="Comma list such as lehi,adam:lr=3e-4; the first is the reference.")
]


def compare(
    task: o.Tasks,
    optims: Optims = "lehi,adam",
    seeds: o.Seeds = "3",
    overrides: o.Overrides = None,
    epochs: o.Epochs = None,
    steps: o.Steps = None,
    passes: o.Passes = None,
    seconds: o.Seconds = None,
    device: o.Device = "auto",
    precision: o.Precision = "fp32",
    jobs: o.Jobs = 1,
    executor: o.Executor = "auto",
    runs: o.Runs = DEFAULT_RUNS,
    x: o.Axis = "passes",
    smoke: o.Smoke = False,
    dry_run: o.DryRun = False,
    no_cache: o.NoCache = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Compare optimizers on the same task, from the same weights, on the same batches."""
    specs = parse_optimizers(optims)
    if len(specs) < 2:
        raise UsageError("compare needs at least two optimizers", "lehi train runs a single one")
    request = Request(
        tasks=task.split(","),
        optimizers=specs,
        seeds=(0,) if smoke else parse_seeds(seeds),
        overrides=overrides or (),
        budget=o.one_budget(epochs, steps, passes, seconds),
        precision=precision,
        smoke=smoke,
    )
    settings = Settings(device, o.choice(executor, EXECUTORS, "--executor"), jobs, no_cache)
    run_and_show(request, settings, runs, View(o.choice(x, o.AXES, "--x"), quiet, json), dry_run)
