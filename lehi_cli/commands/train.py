"""`lehi train`: one optimizer on one task."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.experiment.fixed import FixedPlan
from lehi_cli.runs.specs import parse_optimizers

from .shared.completion import optimizer_names
from .shared.experiment import carry_out
from .shared.options import Seeds
from .shared.run_options import RunOptions, takes_run_options

Optim = Annotated[str, typer.Option(help="Optimizer, such as lehi or adam:lr=3e-4.", autocompletion=optimizer_names)]


@takes_run_options
def train(options: RunOptions, optim: Optim = "lehi", seeds: Seeds = "1") -> None:
    """Train one optimizer on a task, once per seed."""
    specs = parse_optimizers(optim)
    if len(specs) > 1:
        raise UsageError("train takes a single optimizer", "lehi compare runs several")
    carry_out(FixedPlan(options.request(options.tasks(), specs, seeds)), options, options.view())
