"""`compare`, `sweep`, `train` and `report` from Python: what the verbs of the command line do, on the same layer.

What is wrong with a request raises the error that the command line would print, a `LehiError`; nothing here ends the
process. Runs that fail are results: `Result.failed` and each run's `status` say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from lehi_cli import gate
from lehi_cli.analysis.arrivals import parse_target
from lehi_cli.analysis.columns import parse_columns
from lehi_cli.analysis.filters import Filter
from lehi_cli.analysis.margins import Margins, parse_margins
from lehi_cli.errors import UsageError
from lehi_cli.experiment.choices import DEFAULT_RUNS, choice
from lehi_cli.experiment.experiment import Experiment
from lehi_cli.experiment.fixed import FixedPlan
from lehi_cli.experiment.options import RunOptions
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.reference import led_by
from lehi_cli.experiment.report import View
from lehi_cli.experiment.sequential import SeedBySeed
from lehi_cli.experiment.session import Session
from lehi_cli.experiment.space import SAMPLERS, check_names, grid, parse_axes, parse_space
from lehi_cli.experiment.stored import ROLES, Selection, report_stored
from lehi_cli.experiment.tuned import Trials, TrialsAlone, TunedComparison
from lehi_cli.registry.fresh import check_fresh, forget
from lehi_cli.registry.plugins import check_not_loading
from lehi_cli.runs.specs import parse_adaptive
from lehi_cli.runs.store import Store

from .options import Options, Seeds, run_options, texts, typed_seeds
from .progress import Callback, listener
from .result import Result
from .subjects import Optimizer, Task, optimizers_of, tasks_of

Tasks = Task | Sequence[Task]
Optimizers = Optimizer | Sequence[Optimizer]


def compare(
    task: Tasks,
    optims: Optimizers = "lehi,adam",
    *,
    seeds: Seeds = 3,
    tune: int | None = None,
    sampler: str = "sobol",
    space: Sequence[str] = (),
    prune: bool = False,
    reference: str | None = None,
    margin: float | str | None = None,
    target: str | None = None,
    cost: bool = False,
    assertions: str | Sequence[str] = (),
    allow_diverged: bool = False,
    progress: bool | Callback | None = None,
    **options: Unpack[Options],
) -> Result:
    """Compare optimizers on the same task, from the same weights, on the same batches.

    Args:
        task: a name, a path, a task's dictionary, or several of them.
        optims: names as on the command line (`adam:lr=3e-4`), classes, `functools.partial(MyOptimizer, lr=0.1)`, or
            several of them; the first is the reference.
        seeds: a count, a list, or `"auto"`: seed by seed until each verdict is settled.
        tune: trials with which each optimizer is tuned first, on another seed; None for none.
        sampler: how trials are drawn: `sobol`, `random` or `tpe`.
        space: changes to where is searched, such as `["lr=1e-5..1e-1/log"]`.
        prune: end hopeless trials early.
        reference: label of the optimizer to compare with; None for the first.
        margin: share of the reference within which a difference does not matter, or as `accuracy=0.05`.
        target: time to this, such as `val_loss=0.1`, instead of the task's target.
        cost: measure what a step of each optimizer costs.
        assertions: what is to hold; `Result.checks` says what came of it.
        allow_diverged: let an assertion be true although its better side loses more runs.
        progress: a function that is given every `Progress`; False for silence; None for a bar where somebody looks.
        options: see `Options`.

    Raises:
        LehiError: when it cannot be carried out as it was put.
        KeyboardInterrupt: after what was running was stored.
    """
    chosen = _begin(options)
    specs = optimizers_of(optims)
    if len(specs) < 2:
        raise UsageError("compare needs at least two optimizers", "lehi_cli.train runs a single one")
    if reference is not None:
        specs = led_by(reference, specs)
    view = chosen.view(
        margins=Margins() if margin is None else parse_margins(str(margin)),
        target=None if target is None else parse_target(target),
        cost=cost,
        assertions=[gate.parse(text) for text in texts(assertions, "assertions")],
        allow_diverged=allow_diverged,
        settings="settings as given" if any(spec.options for spec in specs) else "at defaults",
    )
    typed = typed_seeds(seeds)
    most = parse_adaptive(typed)
    adaptive = most is not None and not chosen.smoke
    request = chosen.request(tasks_of(task), specs, typed if most is None else str(most))
    if tune is None and (space or prune or sampler != SAMPLERS[0]):
        raise UsageError("sampler, space and prune go with tune", "for example tune=16")
    experiment: Experiment = SeedBySeed(request) if adaptive else FixedPlan(request)
    if tune is not None:
        experiment = TunedComparison(request, _trials(tune, sampler, space, prune), adaptive)
    return _carry_out(experiment, chosen, view, progress)


def sweep(
    task: Tasks,
    optims: Optimizers = "lehi,adam",
    *,
    over: str | Sequence[str] = (),
    trials: int | None = None,
    sampler: str = "sobol",
    space: Sequence[str] = (),
    prune: bool = False,
    seeds: Seeds = 1,
    progress: bool | Callback | None = None,
    **options: Unpack[Options],
) -> Result:
    """Train optimizers over a grid of settings, or over settings drawn from their tuning spaces.

    Args:
        task: as for `compare`.
        optims: as for `compare`.
        over: a grid, such as `"lr=1e-5..1e-1/log9"`, or several axes.
        trials: settings to draw from each optimizer's tuning space, in place of a grid.
        sampler: how they are drawn: `sobol`, `random` or `tpe`.
        space: changes to where is searched.
        prune: end hopeless trials early.
        seeds: a count or a list.
        progress: as for `compare`.
        options: see `Options`.

    Raises:
        LehiError: when it cannot be carried out as it was put.
        KeyboardInterrupt: after what was running was stored.
    """
    chosen, specs, typed = _begin(options), optimizers_of(optims), typed_seeds(seeds)
    axes = texts(over, "over")
    if bool(axes) == (trials is not None):
        raise UsageError("sweep needs one of over and trials", "for example over='lr=1e-5..1e-1/log9', or trials=16")
    if trials is not None:
        request = chosen.request(tasks_of(task), specs, typed)
        experiment: Experiment = TrialsAlone(request, _trials(trials, sampler, space, prune))
    else:
        if space or prune or sampler != SAMPLERS[0]:
            raise UsageError("sampler, space and prune go with trials", "a grid is given with over")
        parsed = parse_axes(axes)
        check_names("over", [(axis.only, axis.name) for axis in parsed], specs)
        settings = [setting for spec in specs for setting in grid(spec, parsed)]
        experiment = FixedPlan(chosen.request(tasks_of(task), settings, typed))
    return _carry_out(experiment, chosen, chosen.view(sweep=True), progress)


def train(
    task: Tasks,
    optim: Optimizer = "lehi",
    *,
    seeds: Seeds = 1,
    progress: bool | Callback | None = None,
    **options: Unpack[Options],
) -> Result:
    """Train one optimizer on a task, once per seed.

    Args:
        task: as for `compare`.
        optim: one optimizer.
        seeds: a count or a list.
        progress: as for `compare`.
        options: see `Options`.

    Raises:
        LehiError: when it cannot be carried out as it was put.
        KeyboardInterrupt: after what was running was stored.
    """
    chosen, specs = _begin(options), optimizers_of(optim)
    if len(specs) > 1:
        raise UsageError("train takes a single optimizer", "lehi_cli.compare runs several")
    request = chosen.request(tasks_of(task), specs, typed_seeds(seeds))
    return _carry_out(FixedPlan(request), chosen, chosen.view(), progress)


def report(
    comparison: str | None = None,
    *,
    runs: str | PathLike[str] = DEFAULT_RUNS,
    task: str | None = None,
    optims: str | None = None,
    label: str | None = None,
    seeds: Seeds | None = None,
    status: str | None = None,
    since: str | None = None,
    until: str | None = None,
    role: str | None = None,
    metric: str | None = None,
    split: str | None = None,
    by: str | None = None,
    best_by: str | None = None,
    reference: str | None = None,
    margin: float | str | None = None,
    target: str | None = None,
    cost: bool = False,
    assertions: str | Sequence[str] = (),
    allow_diverged: bool = False,
) -> Result:
    """Show a stored comparison again, or choose among the stored runs; trains nothing.

    Args:
        comparison: id of a comparison, or how it begins; None for the last one, or to choose among the runs.
        runs: folder of the runs.
        task: only these tasks, a comma list; `*` matches any.
        optims: only these optimizers: names or labels.
        label: only these labels.
        seeds: only these.
        status: only runs that ended so.
        since: only runs started since then, such as `2d`.
        until: only runs started until then.
        role: `final`, `trial` or `all`.
        metric: show and judge these.
        split: of these splits.
        by: group settings by the values of these options.
        best_by: of each optimizer only the best setting by this column.
        reference: as for `compare`.
        margin: as for `compare`.
        target: as for `compare`.
        cost: as for `compare`, as far as it was measured.
        assertions: as for `compare`.
        allow_diverged: as for `compare`.

    Raises:
        LehiError: when there is nothing to show, or not what was asked for.
    """
    asked: Mapping[str, Any] = {
        "task": task, "optims": optims, "label": label, "seeds": seeds, "status": status, "since": since,
        "until": until, "role": role, "metric": metric, "split": split, "best_by": best_by, "by": by,
        "reference": reference, "margin": margin, "target": target, "cost": cost or None,
        "assertions": assertions or None, "allow_diverged": allow_diverged or None,
    }  # fmt: skip
    view = View(
        reference=reference,
        margins=Margins() if margin is None else parse_margins(str(margin)),
        target=None if target is None else parse_target(target),
        columns=parse_columns(metric, split),
        by=by,
        best_by=best_by,
        cost=cost,
        assertions=[gate.parse(text) for text in texts(assertions, "assertions")],
        allow_diverged=allow_diverged,
        together=False,
    )
    chosen = Filter(
        task=task,
        optims=optims,
        label=label,
        seeds=None if seeds is None else typed_seeds(seeds),
        status=status,
        since=since,
        until=until,
    )
    role = None if role is None else choice(role, ROLES, "role")
    given = [name for name, value in asked.items() if value is not None]
    store = Store(Path(runs))
    page, _ = report_stored(store, Selection(comparison, chosen, role, given), view)
    shown = [run for item in page.sections for run in item.section.runs]
    return Result(page, shown, store, page.view.comparison)


def _begin(options: Mapping[str, Any]) -> RunOptions:
    """The options; what was read of files before is forgotten, as they may have changed in a long session."""
    check_not_loading()
    forget()
    return run_options(options)


def _trials(count: int, sampler: str, space: Sequence[str], prune: bool) -> Trials:
    return Trials(count, choice(sampler, SAMPLERS, "sampler"), parse_space(texts(space, "space")), prune)


def _carry_out(experiment: Experiment, options: RunOptions, view: View, progress: bool | Callback | None) -> Result:
    check_fresh(plan(experiment.request))
    session = Session(options.runs, options.settings(), view, listener(progress))
    finished = experiment.run(session)
    for notice in session.store.notices:
        session.listener.notice(notice)
    if finished.interrupted or finished.report is None:
        raise KeyboardInterrupt
    return Result(finished.report, finished.runs, session.store, finished.comparison, finished.failed)
