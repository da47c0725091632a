"""Experiments with trials from tuning spaces: a sweep, and a comparison of the settings that tuning found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from lehi_cli.errors import UsageError
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.comparisons import TUNING_SEED
from lehi_cli.runs.specs import RunSpec

from .contests import FIRST, contests, next_runs
from .finish import Finished, cut_short, finish
from .plan import plan, tasks_of
from .preview import Preview, preview
from .request import Request, task_name
from .sequential import check_count, train_until_settled, up_to
from .session import Session, or_with_fake_data
from .space import Dimension, check_names
from .tuning import Tuned, Tuning, space_of, tune


@dataclass(frozen=True)
class Trials:
    """How to tune: how many trials per optimizer, how and from what they are drawn, and whether to prune."""

    count: int
    sampler: str
    space: Mapping[tuple[str, str], Dimension]
    prune: bool = False

    def run(self, request: Request, train: Callable[[Sequence[RunSpec]], None], session: Session) -> list[Tuned]:
        """Tune on the request's one task."""
        jobs = session.settings.jobs
        return tune(request, self.space, self.count, self.sampler, train, session.store, jobs, self.prune)


@dataclass(frozen=True)
class TrialsAlone:
    """A sweep: draw settings of every optimizer, train them, and report on all of them."""

    request: Request
    trials: Trials

    def run(self, session: Session) -> Finished:
        """Carry out the experiment."""

        def run(request: Request) -> Finished:
            _confirm(request, session, self.trials, finals=0)
            seen: list[RunSpec] = []
            tuned, interrupted = _tune(session, request, self.trials, seen)
            return finish(session, seen, interrupted, Tuning(tuned, self.trials.sampler))

        _begin(self.request, session, self.trials)
        return or_with_fake_data(run, self.request, session)

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained."""
        _begin(self.request, session, self.trials)
        return or_with_fake_data(lambda request: _preview(request, session, self.trials), self.request, session)


@dataclass(frozen=True)
class TunedComparison:
    """Tune every optimizer with the same number of trials, then compare the winners on seeds tuning never saw.

    Attributes:
        request: what to compare.
        trials: how to tune.
        adaptive: use only as many of the request's seeds as it takes to settle the verdicts.
    """

    request: Request
    trials: Trials
    adaptive: bool = False

    def run(self, session: Session) -> Finished:
        """Carry out the experiment."""
        self._begin(session)
        return or_with_fake_data(lambda request: self._run(request, session), self.request, session)

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained first, and what follows."""

        def run(request: Request) -> Preview:
            tuning = replace(request, seeds=(TUNING_SEED,))
            return _preview(tuning, session, self.trials, _then(request, self.adaptive))

        self._begin(session)
        return or_with_fake_data(run, self.request, session)

    def _begin(self, session: Session) -> None:
        if TUNING_SEED in self.request.seeds:
            raise UsageError(f"seed {TUNING_SEED} is the one that tuning uses", "choose other seeds for the comparison")
        if self.adaptive:
            check_count(self.request)
        _begin(self.request, session, self.trials)

    def _run(self, request: Request, session: Session) -> Finished:
        tuning = replace(request, seeds=(TUNING_SEED,))
        finals = plan(request)
        session.check(finals)
        _confirm(tuning, session, self.trials, len(finals))
        tuned, interrupted = _tune(session, tuning, self.trials, [])
        if interrupted:
            return cut_short(session)
        plans = {task_name(task): plan(_final(request, task, tuned)) for task in request.tasks}
        finals = [run for of_task in plans.values() for run in of_task]
        session.check_left(next_runs(finals, contests(finals)) if self.adaptive else finals)
        runs, interrupted = (
            train_until_settled(session, finals, "test") if self.adaptive else (finals, session.train_all(finals))
        )
        passes = _final_passes(session, plans, {run.run_id for run in runs})
        return finish(session, runs, interrupted, Tuning(tuned, self.trials.sampler, passes), self.adaptive)


def _then(request: Request, adaptive: bool) -> str:
    if adaptive:
        return f"then the winners on {FIRST} seeds, and {up_to(request)}"
    count = len(request.tasks) * len(request.optimizers) * len(request.seeds)
    return f"then {count} runs: the winners on seeds {', '.join(map(str, request.seeds))}"


def _begin(request: Request, session: Session, trials: Trials) -> None:
    """Check that the request makes sense before anything is trained."""
    if trials.count < 1:
        raise UsageError(f"{trials.count} trials", "at least one is needed")
    check_names("--space", trials.space, request.optimizers)
    for spec in request.optimizers:
        space_of(spec, trials.space)
    session.say_registry()


def _confirm(request: Request, session: Session, trials: Trials, finals: int) -> None:
    """Ask before training many runs: trials that are missing or not drawn yet, and the final runs."""
    drawn = _first(request, session, trials)
    later = len(request.tasks) * len(request.optimizers) * trials.count * len(request.seeds) - len(drawn)
    session.confirm(len(session.missing(drawn)) + later + finals, at_most=later + finals > 0)


def _tune(session: Session, request: Request, trials: Trials, seen: list[RunSpec]) -> tuple[list[Tuned], bool]:
    """Tune on each task, adding the runs to `seen`; also returns whether it was interrupted."""
    tasks_of(request)  # checks all tasks first: each is planned separately when its turn comes
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


def _final(request: Request, task: str | TaskRecord, tuned: Sequence[Tuned]) -> Request:
    """The winners on one task."""
    winners = [result.winner for result in tuned if result.task == task_name(task)]
    return replace(request, tasks=[task], optimizers=winners)


def _final_passes(
    session: Session, plans: Mapping[str, Sequence[RunSpec]], asked: AbstractSet[str]
) -> dict[tuple[str, str], float]:
    """Passes of the final runs that were asked for, by task as typed (a name or a path) and label."""
    passes: dict[tuple[str, str], float] = {}
    for task, runs in plans.items():
        for run in runs:
            stored = session.store.find(run.run_id) if run.run_id in asked else None
            if stored is not None:
                key = (task, run.label)
                passes[key] = passes.get(key, 0.0) + float(stored.outcome.get("passes", 0.0))
    return passes


class _Planned(Exception):  # noqa: N818  (not an error: it stops tuning before it starts to train)
    pass


def _first(request: Request, session: Session, trials: Trials) -> list[RunSpec]:
    """The runs of the trials; for an adaptive sampler those of its first round."""
    first: list[RunSpec] = []

    def stop(runs: Sequence[RunSpec]) -> None:
        first.extend(runs)
        raise _Planned

    for task in request.tasks:
        try:
            trials.run(replace(request, tasks=[task]), stop, session)
        except _Planned:
            continue
    session.say_optimizers(first)
    return first


def _preview(request: Request, session: Session, trials: Trials, *then: str) -> Preview:
    """The plan of the trials, as far as they are drawn."""
    first = _first(request, session, trials)
    if len(first) < len(request.tasks) * len(request.optimizers) * trials.count * len(request.seeds):
        then = (f"{trials.sampler} draws the rest of {trials.count} trials each as results come in", *then)
    return preview(first, session, *then)
