"""`lehi compare`: several optimizers on the same tasks, with the same seeds."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.errors import UsageError
from lehi_cli.experiment.choices import choice
from lehi_cli.experiment.experiment import Experiment
from lehi_cli.experiment.fixed import FixedPlan
from lehi_cli.experiment.reference import led_by
from lehi_cli.experiment.sequential import SeedBySeed
from lehi_cli.experiment.space import SAMPLERS, parse_space
from lehi_cli.experiment.tuned import Trials, TunedComparison
from lehi_cli.runs.specs import parse_adaptive, parse_optimizers

from .shared.experiment import carry_out
from .shared.options import (
    AllowDiverged,
    AnySeeds,
    Assertions,
    Brief,
    Cost,
    Full,
    Margin,
    Optims,
    Prune,
    Reference,
    Sampler,
    Space,
    Target,
    chosen_detail,
    parsed_assertions,
    parsed_margins,
    parsed_target,
)
from .shared.run_options import RunOptions, takes_run_options

Tune = Annotated[int | None, typer.Option(help="First tune each optimizer with this many trials, on a separate seed.")]


@takes_run_options
def compare(
    options: RunOptions,
    optims: Optims = "lehi,adam",
    seeds: AnySeeds = "3",
    tune: Tune = None,
    sampler: Sampler = "sobol",
    space: Space = None,
    prune: Prune = False,
    reference: Reference = None,
    margin: Margin = None,
    target: Target = None,
    cost: Cost = False,
    assertions: Assertions = None,
    allow_diverged: AllowDiverged = False,
    brief: Brief = False,
    full: Full = False,
) -> None:
    """Compare optimizers on the same task, from the same weights, on the same batches."""
    specs = parse_optimizers(optims)
    if len(specs) < 2:
        raise UsageError("compare needs at least two optimizers", "lehi train runs a single one")
    if reference is not None:
        specs = led_by(reference, specs)
    view = options.view(
        margins=parsed_margins(margin),
        target=parsed_target(target),
        cost=cost,
        assertions=parsed_assertions(assertions),
        allow_diverged=allow_diverged,
        detail=chosen_detail(brief, full),
        settings="settings as given" if any(spec.options for spec in specs) else "at defaults",
    )
    most = parse_adaptive(seeds)
    adaptive = most is not None and not options.smoke
    request = options.request(options.tasks(), specs, seeds if most is None else str(most))
    if tune is None and (space or prune or sampler != SAMPLERS[0]):
        flag = "--space" if space else "--prune" if prune else "--sampler"
        raise UsageError(f"{flag} goes with --tune", "for example --tune 16")
    experiment: Experiment = SeedBySeed(request) if adaptive else FixedPlan(request)
    if tune is not None:
        trials = Trials(tune, choice(sampler, SAMPLERS, "--sampler"), parse_space(space or ()), prune)
        experiment = TunedComparison(request, trials, adaptive)
    carry_out(experiment, options, view)
