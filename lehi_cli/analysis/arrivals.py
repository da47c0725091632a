"""When runs get to a target, such as a validation loss of 0.1: in steps, samples, passes and seconds.

A run arrives at the first evaluation from which it stays at the target to its end; the evaluation before the first step
counts too. Runs that do not arrive:

- A run that ended short of the target would have taken longer, nobody knows how much: it is censored where it ended.
- A run that diverged or failed will never arrive, however long the budget: it counts as under way for ever. Censoring
  it where it ended would let an optimizer gain from diverging early.
- A run that was pruned, was interrupted or is still running has not held the target to its end, because it has none: it
  is censored at its last evaluation that was off the target.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.metrics import known_metrics, metric_named
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import UNFINISHED, Status
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.targets import Arrival, arrival, survival, time_to_target

from .results import Section, Series

UNITS = ("steps", "samples", "passes", "seconds")
UNIT_COLUMNS = {"steps": "step"}  # the columns of the other units have the same name as the unit
TARGET_SPLITS = ("val", "train")
HOW = "write metric=value, for example val_loss=0.1"


@dataclass(frozen=True)
class Target:
    """A value of a metric that a run is to reach and hold.

    Attributes:
        split: `val` or `train`.
        metric: `loss`, or one of the task's metrics.
        value: the value to reach or undercut; where more is better, to reach or exceed.
    """

    split: str
    metric: str
    value: float

    def __str__(self) -> str:
        direction = "at most" if self.minimize else "at least"
        return f"{self.split} {self.metric} {direction} {self.value:g}"

    @property
    def column(self) -> str:
        """Split and metric as one name, such as `val_loss`."""
        return f"{self.split}_{self.metric}"

    @property
    def minimize(self) -> bool:
        """Whether lower is better."""
        return not metric_named(self.metric).higher_is_better


@dataclass(frozen=True)
class Course:
    """One run on its way to a target; all times are by unit.

    Attributes:
        seed: seed of the run.
        times: when it arrived; None if it did not.
        watched: if it did not arrive, until when this is known: infinite for a run that never will.
        ends: where its last evaluation was; 0 if there was none.
    """

    seed: int
    times: Mapping[str, float] | None
    watched: Mapping[str, float]
    ends: Mapping[str, float]


@dataclass(frozen=True)
class SeriesArrival:
    """The runs of one optimizer on their way to a target.

    Attributes:
        label: label of the optimizer.
        style: its place in `Section.ranked()`, which decides its colour.
        courses: one per seed.
        summary: summary of the times, by unit.
    """

    label: str
    style: int
    courses: Sequence[Course]
    summary: Mapping[str, Arrival]

    @property
    def n(self) -> int:
        """The number of runs."""
        return len(self.courses)

    @property
    def reached(self) -> int:
        """How many of them arrived."""
        return sum(course.times is not None for course in self.courses)

    def times(self, unit: str) -> list[float]:
        """Times of the runs that arrived, ascending."""
        return sorted(course.times[unit] for course in self.courses if course.times is not None)

    def share(self, unit: str) -> tuple[list[float], list[float]]:
        """Share of runs that have arrived, Kaplan and Meier's 1 - S(t), at each change and at the last evaluation."""
        at, shares = [0.0], [0.0]
        for moment, under_way in survival(*_times_and_ends(self.courses, unit)):
            if moment == at[-1]:
                at.pop()
                shares.pop()
            at.append(moment)
            shares.append(1 - under_way)
        last = max(course.ends[unit] for course in self.courses)
        return ([*at, last], [*shares, shares[-1]]) if last > at[-1] else (at, shares)


@dataclass(frozen=True)
class Arrivals:
    """When the optimizers of a section get to a target.

    Attributes:
        target: what they are to reach.
        series: the optimizers, lowest median in passes first.
    """

    target: Target
    series: Sequence[SeriesArrival]


def parse_target(text: str) -> Target:
    """Read `val_loss=0.1`, `val_accuracy=0.9` or `train_loss=0.05`.

    Raises:
        UsageError: when it is malformed.
    """
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"malformed target {text!r}", HOW) from None
    return _target(name.strip(), value)


def _target(name: str, value: float) -> Target:
    split, _, metric = name.partition("_")
    if not metric or not math.isfinite(value):
        raise UsageError(f"malformed target '{name}={value}'", HOW)
    if split not in TARGET_SPLITS:
        why = ": it is evaluated once, when the run has ended" if split == "test" else ""
        raise UsageError(f"no target can be set on the {split!r} split{why}", "choose a metric such as val_loss")
    return Target(split, metric, value)


def all_arrivals(sections: Sequence[Section], target: Target | None) -> list[Arrivals | None]:
    """The arrivals of each section, see `arrivals`.

    Raises:
        UnknownNameError: when there are sections and none has the target's metric.
    """
    if sections:
        _refuse_unknown(target, {column for section in sections for column in _columns(section)})
    return [arrivals(section, target) for section in sections]


def arrivals(section: Section, target: Target | None) -> Arrivals | None:
    """When the runs of a section get to a target; None without a target, or when the section lacks its metric.

    If an optimizer has several runs at one seed, the last counts.

    Args:
        section: the runs.
        target: what they are to reach; None for the task's own target.
    """
    target = target or task_target(section)
    if target is None or target.column not in _columns(section):
        return None
    found = [_series(series, style, target) for style, series in enumerate(section.ranked())]
    return Arrivals(target, sorted(found, key=_by_median))


def task_target(section: Section) -> Target | None:
    """The target that the task had when its latest run was started; None if there is none that can be read."""
    latest = max((run for run in section.runs if run.target), key=lambda run: run.started, default=None)
    if latest is None:
        return None
    name, value = next(iter(latest.target.items()))
    try:
        return _target(name, float(value))
    except (UsageError, TypeError, ValueError):
        return None


def check_target(target: Target | None, runs: Sequence[RunSpec]) -> None:
    """Check that some task of a plan has the target's metric, before any of it is trained.

    Raises:
        UnknownNameError: when none has it.
    """
    _refuse_unknown(target, {column for run in runs for column in _columns_with(run.task.metrics)})


def _refuse_unknown(target: Target | None, known: Collection[str]) -> None:
    if target is not None and target.column not in known:
        raise UnknownNameError("target metric", target.column, known)


def _columns(section: Section) -> list[str]:
    """The columns on which a target can be set."""
    return _columns_with(section.spec.metrics)


def _columns_with(metrics: Sequence[str]) -> list[str]:
    return ["train_loss", "val_loss", *(f"val_{name}" for name in known_metrics(metrics))]


def _series(series: Series, style: int, target: Target) -> SeriesArrival:
    by_seed = {run.seed: course(run, metrics, target) for run, metrics in zip(series.runs, series.metrics, strict=True)}
    courses = list(by_seed.values())
    summary = {unit: arrival(*_times_and_ends(courses, unit)) for unit in UNITS}
    return SeriesArrival(series.label, style, courses, summary)


def course(run: StoredRun, metrics: RunMetrics, target: Target) -> Course:
    """One run on its way to a target; curves, tables and assertions all go by it."""
    names = [UNIT_COLUMNS.get(unit, unit) for unit in UNITS]
    values, *courses = metrics.columns(target.split, target.metric, [target.metric, *names])
    spent = dict(zip(UNITS, courses, strict=True))
    ends = {unit: xs[-1] if xs else 0.0 for unit, xs in spent.items()}
    if run.status != Status.OK and run.status not in UNFINISHED:
        return Course(run.seed, None, dict.fromkeys(UNITS, math.inf), ends)
    since = time_to_target(range(len(values)), values, target.value, minimize=target.minimize)
    at = len(values) if since is None else int(since)
    watched = {unit: xs[at - 1] if at else 0.0 for unit, xs in spent.items()}
    has_arrived = run.status == Status.OK and since is not None
    return Course(run.seed, {unit: xs[at] for unit, xs in spent.items()} if has_arrived else None, watched, ends)


def _times_and_ends(courses: Sequence[Course], unit: str) -> tuple[list[float | None], list[float]]:
    times = [None if course.times is None else course.times[unit] for course in courses]
    return times, [course.watched[unit] for course in courses]


def _by_median(series: SeriesArrival) -> tuple[float, float, int]:
    """Sorts by median; those without one come last, and among them those that arrive more often first."""
    median = series.summary["passes"].median
    return math.inf if median is None else median, -series.reached / series.n, series.style
