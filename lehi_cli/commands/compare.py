"""`lehi compare`: several optimizers on the same tasks, with the same seeds."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.space import SAMPLERS, parse_space
from lehi_cli.specs import parse_optimizers

from .flow import run_and_show
from .options import RunOptions, choice, takes_run_options
from .search import Trials, compare_tuned

Optims = Annotated[str, typer.Option(help="Comma list such as lehi,adam:lr=3e-4; the first is the reference.")]
Seeds = Annotated[str, typer.Option(help="A count N (seeds 0 to N-1) or a list such as 3,7,11.")]


Tune = Annotated[int | None, typer.Option(help="First tune each optimizer with this many trials, on another seed.")]
Sampler = Annotated[str, typer.Option(help="How trials are drawn: sobol, random or tpe.")]
Space = Annotated[
    list[str] | None, typer.Option(help="Change the space: lr=1e-5..1e-1/log, or for one lehi.clip=0.5..2/lin.")
]

Prune = Annotated[bool, typer.Option("--prune", help="End hopeless trials early; they stay in every count.")]


@takes_run_options
def compare(
    options: RunOptions,
    optims: Optims = "lehi,adam",
    seeds: Seeds = "3",
    tune: Tune = None,
    sampler: Sampler = "sobol",
    space: Space = None,
    prune: Prune = False,
) -> None:
    """Compare optimizers on the same task, from the same weights, on the same batches."""
    specs = parse_optimizers(optims)
    if len(specs) < 2:
        raise UsageError("compare needs at least two optimizers", "lehi train runs a single one")
    request = options.request(specs, seeds)
    if tune is not None:
        trials = Trials(tune, choice(sampler, SAMPLERS, "--sampler"), parse_space(space or ()), prune)
        compare_tuned(request, options, trials)
        return
    if space or prune:
        raise UsageError(f"{'--space' if space else '--prune'} goes with --tune", "for example --tune 16")
    run_and_show(request, options)
