"""`lehi compare`: several optimizers on the same tasks, with the same seeds."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.specs import parse_optimizers

from .flow import run_and_show
from .options import RunOptions, takes_run_options

Optims = Annotated[str, typer.Option(help="Comma list such as lehi,adam:lr=3e-4; the first is the reference.")]
Seeds = Annotated[str, typer.Option(help="A count N (seeds 0 to N-1) or a list such as 3,7,11.")]


@takes_run_options
def compare(options: RunOptions, optims: Optims = "lehi,adam", seeds: Seeds = "3") -> None:
    """Compare optimizers on the same task, from the same weights, on the same batches."""
    specs = parse_optimizers(optims)
    if len(specs) < 2:
        raise UsageError("compare needs at least two optimizers", "lehi train runs a single one")
    run_and_show(options.request(specs, seeds), options)
