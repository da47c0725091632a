"""`lehi sweep`: the same optimizers over many settings."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.experiment.choices import choice
from lehi_cli.experiment.fixed import FixedPlan
from lehi_cli.experiment.space import SAMPLERS, check_names, grid, parse_axes, parse_space
from lehi_cli.experiment.tuned import Trials, TrialsAlone
from lehi_cli.runs.specs import parse_optimizers

from .shared.experiment import carry_out
from .shared.options import Optims, Prune, Sampler, Seeds, Space
from .shared.run_options import RunOptions, takes_run_options

Over = Annotated[
    list[str] | None,
    typer.Option(help="Grid axis: lr=1e-5..1e-1/log9, factor=rademacher,sampled, or adam.eps=1e-8,1e-6; repeatable."),
]
Count = Annotated[int | None, typer.Option(help="Number of settings to draw from each optimizer's tuning space.")]


@takes_run_options
def sweep(
    options: RunOptions,
    optims: Optims = "lehi,adam",
    over: Over = None,
    trials: Count = None,
    sampler: Sampler = "sobol",
    space: Space = None,
    prune: Prune = False,
    seeds: Seeds = "1",
) -> None:
    """Train optimizers over a grid of settings, or over settings drawn from their tuning spaces."""
    if bool(over) == (trials is not None):
        raise UsageError(
            "sweep needs one of --over and --trials", "for example --over lr=1e-5..1e-1/log9, or --trials 16"
        )
    specs = parse_optimizers(optims)
    view = options.view(sweep=True)
    if trials is not None:
        drawn = Trials(trials, choice(sampler, SAMPLERS, "--sampler"), parse_space(space or ()), prune)
        carry_out(TrialsAlone(options.request(options.tasks(), specs, seeds), drawn), options, view)
        return
    if prune:
        raise UsageError("--prune goes with --trials", "a grid is shown whole")
    if space or sampler != SAMPLERS[0]:
        flag = "--space" if space else "--sampler"
        raise UsageError(f"{flag} goes with --trials", "a grid is written --over option=values")
    axes = parse_axes(over or ())
    check_names("--over", [(axis.only, axis.name) for axis in axes], specs)
    request = options.request(options.tasks(), [setting for spec in specs for setting in grid(spec, axes)], seeds)
    carry_out(FixedPlan(request), options, view)
