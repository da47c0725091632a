"""`compare`, `sweep`, `train` and `report` from Python: what the verbs of the command line do, on the same layer.

A request that cannot be carried out raises the error that the command line would print, a `LehiError`; nothing here
ends the process. Runs that fail are results: `Result.failed` and each run's `status` say so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import Any, Unpack

from lehi_cli import gate
from lehi_cli.analysis.arrivals import parse_target
from lehi_cli.analysis.columns import parse_column, parse_columns
from lehi_cli.analysis.filters import Filter
from lehi_cli.analysis.margins import Margins, parse_margins
from lehi_cli.errors import UsageError
from lehi_cli.experiment.choices import AXES, choice
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

from .options import Options, Seeds, check_kinds, run_options, runs_folder, texts, typed_seeds
from .progress import Bar, Callback, Events, listener
from .result import Result
from .subjects import Optimizer, Optimizers, Tasks, optimizers_of, tasks_of


def compare(
    task: Tasks,
    optims: Optimizers = "lehi,adam",
    *,
    seeds: Seeds = 3,
    tune: int | None = None,
    sampler: str = "sobol",
    space: str | Sequence[str] = (),
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
            several of them, of which the first is the reference; a dictionary gives each its label.
        seeds: a count, a list, or `"auto"`: seed by seed until each verdict is settled.
        tune: trials with which each optimizer is tuned first, on another seed; None to compare at once.
        sampler: how trials are drawn: `sobol`, `random` or `tpe`.
        space: changes to the tuning spaces, such as `["lr=1e-5..1e-1/log"]`.
        prune: end hopeless trials early.
        reference: label of the optimizer to compare with; None for the first.
        margin: share of the reference within which a difference does not matter, or as `accuracy=0.05`.
        target: time to this, such as `val_loss=0.1`, instead of the task's target.
        cost: measure what a step of each optimizer costs.
        assertions: checked on the results; `Result.checks` has the outcome.
        allow_diverged: let an assertion be true although its better side loses more runs.
        progress: a function that is called with every `Progress`; False for silence; None for a bar in a terminal or a
            notebook.
        options: see `Options`.

    Raises:
        LehiError: when the request cannot be carried out.
        KeyboardInterrupt: on Ctrl-C, after what was running was stored; the same call goes on with what is missing.
        Exception: what `progress` raised, after what was running was stored.
    """
    chosen = _begin(options)
    check_kinds(
        {"tune": tune, "sampler": sampler, "prune": prune, "reference": reference, "margin": margin, "target": target,
         "cost": cost, "allow_diverged": allow_diverged}
    )  # fmt: skip
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
    space: str | Sequence[str] = (),
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
        space: changes to the tuning spaces.
        prune: end hopeless trials early.
        seeds: a count or a list.
        progress: as for `compare`.
        options: see `Options`.

    Raises:
        LehiError, KeyboardInterrupt, Exception: as `compare`.
    """
    chosen = _begin(options)
    check_kinds({"trials": trials, "sampler": sampler, "prune": prune})
    specs, typed, axes = optimizers_of(optims), typed_seeds(seeds), texts(over, "over")
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
        LehiError, KeyboardInterrupt, Exception: as `compare`.
    """
    chosen, specs = _begin(options), optimizers_of(optim)
    if len(specs) > 1:
        raise UsageError("train takes a single optimizer", "lehi_cli.compare runs several")
    request = chosen.request(tasks_of(task), specs, typed_seeds(seeds))
    return _carry_out(FixedPlan(request), chosen, chosen.view(), progress)


def report(
    comparison: str | None = None,
    *,
    runs: str | PathLike[str] | None = None,
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
    x: str | None = None,
    reference: str | None = None,
    margin: float | str | None = None,
    target: str | None = None,
    cost: bool = False,
    assertions: str | Sequence[str] = (),
    allow_diverged: bool = False,
) -> Result:
    """Show a stored comparison again, or select stored runs; trains nothing.

    Args:
        comparison: id of a comparison, or its first characters; None for the last comparison, or to select runs by the
            arguments below.
        runs: folder of the runs; None for that of `LEHI_RUNS`, else `runs`.
        task: only these tasks, a comma list; `*` matches any.
        optims: only these optimizers, a comma list of names or labels.
        label: only these labels.
        seeds: only these.
        status: only runs that ended with this status.
        since: only runs started since a day, a moment, or `2d` ago.
        until: only runs started until then.
        role: `final`, `trial` or `all`.
        metric: show and judge these metrics, such as `loss,accuracy`.
        split: of these splits: `train`, `val`, `test`.
        by: group settings by the values of these options.
        best_by: of each optimizer only the best setting by this column.
        x: what curves are drawn against: `passes`, `steps` or `seconds`.
        reference: as for `compare`.
        margin: as for `compare`.
        target: as for `compare`.
        cost: as for `compare`, as far as it was measured.
        assertions: as for `compare`.
        allow_diverged: as for `compare`.

    Raises:
        LehiError: when there is nothing to show, or not what was asked for.
    """
    for name, value in (("task", task), ("optims", optims)):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name}={value!r} is not allowed", f"{name} takes a comma list")
    asked: Mapping[str, Any] = {
        "task": task, "optims": optims, "label": label, "seeds": seeds, "status": status, "since": since,
        "until": until, "role": role, "metric": metric, "split": split, "best_by": best_by, "by": by,
        "x": x, "reference": reference, "margin": margin, "target": target, "cost": cost or None,
        "assertions": assertions or None, "allow_diverged": allow_diverged or None,
    }  # fmt: skip
    check_kinds({**asked, "comparison": comparison, "cost": cost, "allow_diverged": allow_diverged})
    if best_by is not None:
        parse_column(best_by)
    view = View(
        x=choice(View.x if x is None else x, AXES, "--x"),
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
    role = None if role is None else choice(role, ROLES, "--role")
    given = [name for name, value in asked.items() if value is not None]
    store = Store(runs_folder(runs))
    page, _ = report_stored(store, Selection(comparison, chosen, role, given), view)
    for notice in store.notices:
        Bar().notice(notice)
    return Result(page, store, page.view.comparison)


def _begin(options: Mapping[str, Any]) -> RunOptions:
    """The options; files are read again, as they may have changed since the last call, and so is what they load."""
    check_not_loading()
    forget()
    if loading := sys.modules.get("lehi_cli.data.loading"):
        loading._load.cache_clear()
    return run_options(options)


def _trials(count: int, sampler: str, space: str | Sequence[str], prune: bool) -> Trials:
    return Trials(count, choice(sampler, SAMPLERS, "--sampler"), parse_space(texts(space, "space")), prune)


def _carry_out(experiment: Experiment, options: RunOptions, view: View, progress: bool | Callback | None) -> Result:
    told = listener(progress)
    session = Session(options.runs, options.settings(), view, told)
    check_fresh(plan(replace(experiment.request, fake=True)))  # whose code is the same, wherever the data is
    try:
        with _process_as_it_was():
            finished = experiment.run(session)
        for notice in session.store.notices:
            told.notice(notice)
        if finished.interrupted or finished.report is None:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        if isinstance(told, Events) and told.error is not None:
            raise told.error from None
        raise
    return Result(finished.report, session.store, finished.comparison, finished.failed)


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Give the caller torch's threads and global random numbers back: runs that this process trains set their own."""
    torch: Any = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    random = torch.get_rng_state() if torch else None
    cuda = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            from lehi_cli.execute.worker import TORCH_THREADS

            torch.set_num_threads(threads or TORCH_THREADS)
            if random is not None:
                torch.set_rng_state(random)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
