"""Trials from tuning spaces: as a sweep, and as the first half of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import typer
from rich.console import Console

from lehi_cli.adaptive import FIRST
from lehi_cli.errors import Exit, UsageError
from lehi_cli.plan import Request, plan, tasks_of
from lehi_cli.report import View
from lehi_cli.runs.comparisons import TUNING_SEED
from lehi_cli.runs.specs import RunSpec
from lehi_cli.space import Dimension, check_names
from lehi_cli.tuning import Tuned, Tuning, space_of, tune

from .adaptive import check_count, train_until_settled, up_to
from .flow import Session, finish, or_with_fake_data, say_registry, show_plan
from .run_options import RunOptions


@dataclass(frozen=True)
class Trials:
    """How many trials of every optimizer, drawn how, from what, and whether hopeless ones are ended early."""

    count: int
    sampler: str
    space: Mapping[tuple[str, str], Dimension]
    prune: bool = False

    def run(self, request: Request, train: Callable[[Sequence[RunSpec]], None], session: Session) -> list[Tuned]:
        """Tune on the request's one task."""
        jobs = session.settings.jobs
        return tune(request, self.space, self.count, self.sampler, train, session.store, jobs, self.prune)


def sweep_trials(request: Request, options: RunOptions, trials: Trials) -> None:
    """Draw settings of every optimizer, train them, and show all of them."""
    session = _begin(request, options, options.view(sweep=True), trials)

    def run(request: Request) -> None:
        if options.dry_run:
            _show_first(request, session, trials)
            return
        _confirm(request, session, trials, finals=0)
        seen: list[RunSpec] = []
        tuned, interrupted = _tune(session, request, trials, seen)
        finish(session, seen, interrupted, Tuning(tuned, trials.sampler))

    or_with_fake_data(run, request, session)


def compare_tuned(request: Request, options: RunOptions, view: View, trials: Trials, adaptive: bool = False) -> None:
    """Tune every optimizer with the same number of trials, then compare the winners on seeds tuning never saw.

    Args:
        request: what to compare.
        options: as typed.
        view: what is asked of the runs.
        trials: how to tune.
        adaptive: take only as many of the request's seeds as settle the verdicts.
    """
    if TUNING_SEED in request.seeds:
        raise UsageError(f"seed {TUNING_SEED} is the one that tuning uses", "choose other seeds for the comparison")
    if adaptive:
        check_count(request)
    session = _begin(request, options, view, trials)

    def run(request: Request) -> None:
        tuning = replace(request, seeds=(TUNING_SEED,))
        if options.dry_run:
            _show_first(tuning, session, trials)
            Console().print(_then(request, adaptive), highlight=False, soft_wrap=True)
            return
        finals = plan(request)
        session.check(finals)
        _confirm(tuning, session, trials, len(finals))
        tuned, interrupted = _tune(session, tuning, trials, [])
        if interrupted:
            session.say_interrupted()
            raise typer.Exit(Exit.INTERRUPTED)
        plans = {task: plan(_final(request, task, tuned)) for task in request.tasks}
        finals = [run for of_task in plans.values() for run in of_task]
        runs, interrupted = (
            train_until_settled(session, finals, "test") if adaptive else (finals, session.train_all(finals))
        )
        passes = _final_passes(session, plans, {run.run_id for run in runs})
        finish(session, runs, interrupted, Tuning(tuned, trials.sampler, passes), adaptive)

    or_with_fake_data(run, request, session)


def _then(request: Request, adaptive: bool) -> str:
    if adaptive:
        return f"then the winners on {FIRST} seeds, and {up_to(request)}"
    count = len(request.tasks) * len(request.optimizers) * len(request.seeds)
    return f"then {count} runs: the winners on seeds {', '.join(map(str, request.seeds))}"


def _begin(request: Request, options: RunOptions, view: View, trials: Trials) -> Session:
    """Check that the request makes sense before anything is trained."""
    if trials.count < 1:
        raise UsageError(f"{trials.count} trials", "at least one is needed")
    check_names("--space", trials.space, request.optimizers)
    for spec in request.optimizers:
        space_of(spec, trials.space)
    session = Session(options, view)
    say_registry(session.errors)
    return session


def _confirm(request: Request, session: Session, trials: Trials, finals: int) -> None:
    """Ask before many runs are trained: trials that the store lacks or that are not drawn yet, and the final runs."""
    drawn = _first(request, session, trials)
    later = len(request.tasks) * len(request.optimizers) * trials.count * len(request.seeds) - len(drawn)
    session.confirm(len(session.missing(drawn)) + later + finals, at_most=later + finals > 0)


def _tune(session: Session, request: Request, trials: Trials, seen: list[RunSpec]) -> tuple[list[Tuned], bool]:
    """Tune on each task; what was trained is added to `seen`. Second: whether it was interrupted."""
    tasks_of(request)  # each is planned by itself: that all are there, and none twice, is seen before any is trained
    tuned: list[Tuned] = []

    def train(runs: Sequence[RunSpec]) -> None:
        seen.extend(runs)
        session.train(runs)

    for task in request.tasks:
        one = replace(request, tasks=[task])
        try:
            tuned += trials.run(one, train, session)
        except KeyboardInterrupt:
            return tuned, True
    return tuned, False


def _final(request: Request, task: str, tuned: Sequence[Tuned]) -> Request:
    """The winners on one task."""
    return replace(request, tasks=[task], optimizers=[result.winner for result in tuned if result.task == task])


def _final_passes(
    session: Session, plans: Mapping[str, Sequence[RunSpec]], asked: AbstractSet[str]
) -> dict[tuple[str, str], float]:
    """Passes of the final runs that were asked for, by task as it was typed (a name or a path) and label."""
    passes: dict[tuple[str, str], float] = {}
    for task, runs in plans.items():
        for run in runs:
            stored = session.store.find(run.run_id) if run.run_id in asked else None
            if stored is not None:
                key = (task, run.label)
                passes[key] = passes.get(key, 0.0) + float(stored.outcome.get("passes", 0.0))
    return passes


class _Planned(Exception):  # noqa: N818  (no error: it stops the tuning where it would start to train)
    pass


def _first(request: Request, session: Session, trials: Trials) -> list[RunSpec]:
    """The runs of the trials; of an adaptive sampler those of its first round."""
    first: list[RunSpec] = []

    def stop(runs: Sequence[RunSpec]) -> None:
        first.extend(runs)
        raise _Planned

    for task in request.tasks:
        try:
            trials.run(replace(request, tasks=[task]), stop, session)
        except _Planned:
            continue
    return first


def _show_first(request: Request, session: Session, trials: Trials) -> None:
    """The plan of the trials, as far as they are drawn."""
    first = _first(request, session, trials)
    show_plan(Console(), first, session)
    if len(first) < len(request.tasks) * len(request.optimizers) * trials.count * len(request.seeds):
        Console().print(
            f"{trials.sampler} draws the rest of {trials.count} trials each as results come in", highlight=False
        )
