"""`lehi train`: one optimizer on one task."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.execute.conduct import EXECUTORS, Settings
from lehi_cli.plan import Request
from lehi_cli.specs import parse_optimizers, parse_seeds

from . import options as o
from .flow import DEFAULT_RUNS, View, run_and_show

Optim = Annotated[str, typer.Option("--optim", help="Optimizer such as lehi or adam:lr=3e-4.")]


def train(
    task: o.Tasks,
    optim: Optim = "lehi",
    seeds: o.Seeds = "1",
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
    """Train one optimizer on a task, once per seed."""
    specs = parse_optimizers(optim)
    if len(specs) > 1:
        raise UsageError("train takes a single optimizer", "lehi compare runs several")
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
