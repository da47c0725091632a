"""Tuning: the same number of trials for every optimizer, and their results.

A trial is one setting of an optimizer, trained once per tuning seed. Its value is the final validation loss, the mean
of the last three evaluations; a trial that lost a run to divergence or failure has the value infinity and still counts.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lehi_cli.analysis.sensitivity import LAST
from lehi_cli.errors import UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.record import OptimizerRecord, Option
from lehi_cli.runs.specs import OptimSpec, RunSpec, Value, format_value, parse_value
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

from .plan import plan
from .request import Request, task_name
from .space import Dimension, Search, dimension

ADAPTIVE_SAMPLERS = ("tpe",)
NEAR = 0.05
"""Share of a dimension's length, at either end, within which a best value suggests that a better one lies beyond."""


@dataclass(frozen=True)
class Trial:
    """One setting and its result.

    Attributes:
        spec: the setting.
        value: final validation loss, infinite if a run was lost.
        passes: gradient equivalents that its runs spent.
        statuses: how its runs ended.
        runs: ids of its runs.
    """

    spec: OptimSpec
    value: float
    passes: float
    statuses: tuple[Status, ...]
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuned:
    """All trials of one optimizer on one task."""

    task: str
    label: str
    asked: OptimSpec
    space: Sequence[Dimension]
    trials: Sequence[Trial]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest value, the first of equals; None if every trial was lost."""
        whole = [trial for trial in self.trials if math.isfinite(trial.value)]
        return min(whole, key=lambda trial: trial.value) if whole else None

    @property
    def winner(self) -> OptimSpec:
        """The setting to compare: the best, or the one asked for if every trial was lost."""
        return replace(self.best.spec if self.best else self.asked, label=self.label)

    @property
    def passes(self) -> float:
        """The cost of the tuning, in gradient equivalents."""
        return sum(trial.passes for trial in self.trials)

    @property
    def passes_per_trial(self) -> float:
        """The mean cost of a trial, in gradient equivalents, including lost ones."""
        return self.passes / len(self.trials)

    @property
    def pruned(self) -> int:
        """Trials that were ended early."""
        return sum(Status.PRUNED in trial.statuses for trial in self.trials)

    @property
    def lost(self) -> int:
        """Trials that diverged or failed."""
        return sum(not math.isfinite(trial.value) for trial in self.trials) - self.pruned

    def edges(self) -> list[Edge]:
        """Dimensions in which the best trial lies near an end of the space, where the option allows more."""
        if self.best is None:
            return []
        record = optimizers.find(self.asked.name)
        numbers = [item for item in self.space if not item.choices]
        found = (_edge(item, self.best.spec.options[item.name], self.asked.name, record) for item in numbers)
        return [edge for edge in found if edge is not None]


@dataclass(frozen=True)
class Edge:
    """A best value near an end of its dimension.

    Attributes:
        dimension: the dimension.
        value: the best value.
        end: `lower` or `upper`.
        flag: the option that searches beyond that end.
    """

    dimension: Dimension
    value: Value
    end: str
    flag: str


def _edge(item: Dimension, value: Value, name: str, record: OptimizerRecord) -> Edge | None:
    """The edge that a value lies at; None if it lies inside, or if the option ends there too."""
    place = item.position(float(value))  # type: ignore[arg-type]
    if NEAR < place < 1 - NEAR:
        return None
    upper = place >= 1 - NEAR
    wider = _inside(item.widened(upper), item, record.option(item.name))
    flag = shlex.join(["--space", f"{name}.{item.name}={wider}"])
    return Edge(item, value, "upper" if upper else "lower", flag) if wider != item else None


def _inside(wider: Dimension, item: Dimension, option: Option) -> Dimension:
    """As much of a widened dimension as the option allows; halfway to an end that it excludes."""
    least, most = option.bounds
    low, high = max(wider.low, least), min(wider.high, most)
    low = low if option.allows(low) else (item.low + low) / 2
    return replace(wider, low=low, high=high if option.allows(high) else (item.high + high) / 2)


def space_of(spec: OptimSpec, given: Mapping[tuple[str, str], Dimension]) -> list[Dimension]:
    """The dimensions to search for `spec`: the record's own with the changes given, without the options `spec` fixes.

    A change for one optimizer replaces a change for all. An option that the optimizer lacks is an error.

    Raises:
        UsageError: naming optimizer and option; also when `spec` fixes an option that was given.
    """
    record = optimizers.find(spec.name)
    own = {name: dimension(name, text) for name, text in record.space.items()}
    for only in ("", spec.name, spec.label):
        for (target, name), item in given.items():
            if target == only and (target or only == ""):
                _check(record, item)
                if name in spec.options:
                    raise UsageError(f"{spec} already says what {name} is", f"leave {name} out of one of the two")
                own[name] = item
    return [item for name, item in own.items() if name not in spec.options]


def _check(record: OptimizerRecord, item: Dimension) -> None:
    """Check that the option exists and takes both ends, or every choice."""
    option = record.option(item.name)
    for value in item.choices or (item.low, item.high):
        option.check(int(value) if item.scale == "int" else value, f"--space {item.name}={item}")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Tuning:
    """The trials of every optimizer on every task.

    Attributes:
        results: one per task and optimizer.
        sampler: how they were drawn.
        final_passes: gradient equivalents of the final runs, by task as it was asked for and label; None if there are
            none.
    """

    results: Sequence[Tuned]
    sampler: str
    final_passes: Mapping[tuple[str, str], float] | None = None


def tune(
    request: Request,
    given: Mapping[tuple[str, str], Dimension],
    count: int,
    sampler: str,
    train: Callable[[Sequence[RunSpec]], None],
    store: Store,
    at_once: int = 1,
    prune: bool = False,
) -> list[Tuned]:
    """Try `count` settings of every optimizer on the request's one task.

    Args:
        request: one task, the optimizers as asked for, the tuning seeds.
        given: changes to the declared spaces.
        count: trials for each optimizer.
        sampler: `sobol`, `random`, or `tpe`, which draws a trial after seeing the results of earlier ones.
        train: trains the runs that the store lacks.
        store: where the results are.
        at_once: trials of each optimizer that an adaptive sampler draws before it sees results.
        prune: end hopeless trials early; a pruned trial is worth infinity.

    Raises:
        UsageError: when the space is empty, and as `plan` does.
    """
    searches = [Search(spec, space_of(spec, given), sampler, seed=0) for spec in request.optimizers]
    tried: list[list[Trial]] = [[] for _ in searches]
    left = count
    while left > 0:
        size = min(left, at_once) if sampler in ADAPTIVE_SAMPLERS else left
        drawn = [[search.ask() for _ in range(size)] for search in searches]
        specs = [spec for of_one in drawn for spec in of_one]
        trials = list(run_trials(replace(request, optimizers=specs), train, store, prune))
        for i, search in enumerate(searches):
            for spec, trial in zip(drawn[i], trials[i * size : (i + 1) * size], strict=True):
                search.tell(spec, trial.value)
                tried[i].append(trial)
        left -= size
    (task,) = request.tasks
    return [
        Tuned(task_name(task), search.spec.label or str(search.spec), search.spec, search.space, trials)
        for search, trials in zip(searches, tried, strict=True)
    ]


def run_trials(
    request: Request, train: Callable[[Sequence[RunSpec]], None], store: Store, prune: bool = False
) -> Iterable[Trial]:
    """Train the request's optimizers and return the trial of each."""
    runs = plan(request)
    if prune:
        runs = [replace(run, peers=_peers(run, runs)) for run in runs]
    train(runs)
    for i, spec in enumerate(request.optimizers):
        found = [store.find(run.run_id) for run in runs[i :: len(request.optimizers)]]
        yield trial_of(spec, [run for run in found if run is not None], store)


def _peers(run: RunSpec, runs: Sequence[RunSpec]) -> tuple[str, ...]:
    """Other settings of the same optimizer at the same seed."""
    same = (other for other in runs if other.seed == run.seed and other.optimizer.name == run.optimizer.name)
    return tuple(other.run_id for other in same if other.run_id != run.run_id)


def trial_of(spec: OptimSpec, runs: Sequence[StoredRun], store: Store) -> Trial:
    """The trial that the stored runs of one setting make."""
    ends = [store.metrics(run).last("val", "loss", LAST) if run.status == Status.OK else [] for run in runs]
    finals = [sum(values) / len(values) if values else math.inf for values in ends]
    value = sum(finals) / len(finals) if finals else math.inf
    passes = sum(float(run.outcome.get("passes", 0.0)) for run in runs)
    statuses, ids = tuple(run.status for run in runs), tuple(run.run_id for run in runs)
    return Trial(spec, value if math.isfinite(value) else math.inf, passes, statuses, ids)


def tuning_data(tuning: Tuning) -> dict[str, Any]:
    """The part of its tuning that a comparison stores; with the runs, `stored_tuning` restores all of it."""
    return {
        "sampler": tuning.sampler,
        "has_finals": tuning.final_passes is not None,
        "results": [
            {
                "task": result.task,
                "label": result.label,
                "asked": _spec_data(result.asked),
                "space": {item.name: str(item) for item in result.space},
                "trials": [{"spec": _spec_data(trial.spec), "runs": list(trial.runs)} for trial in result.trials],
            }
            for result in tuning.results
        ],
    }


def stored_tuning(
    data: Mapping[str, Any], store: Store, finals: Sequence[StoredRun], labels: Mapping[str, str]
) -> Tuning:
    """The tuning of a stored comparison.

    Args:
        data: the data from `tuning_data`.
        store: where the runs are.
        finals: the final runs.
        labels: their labels, by run id.

    Raises:
        KeyError, TypeError, UsageError: when `data` does not have the form of `tuning_data`.
    """
    results = [
        Tuned(
            of["task"],
            of["label"],
            _spec_of(of["asked"]),
            [dimension(name, text) for name, text in of["space"].items()],
            [
                trial_of(_spec_of(trial["spec"]), [run for run in map(store.find, trial["runs"]) if run], store)
                for trial in of["trials"]
            ],
        )
        for of in data["results"]
    ]
    passes: dict[tuple[str, str], float] = {}
    for run in finals:
        key = (run.task, labels.get(run.run_id, run.label))
        passes[key] = passes.get(key, 0.0) + float(run.outcome.get("passes", 0.0))
    return Tuning(results, data["sampler"], passes if data["has_finals"] else None)


def _spec_data(spec: OptimSpec) -> dict[str, Any]:
    return {"name": spec.name, "label": spec.label, "options": {k: format_value(v) for k, v in spec.options.items()}}


def _spec_of(data: Mapping[str, Any]) -> OptimSpec:
    return OptimSpec(data["name"], {key: parse_value(text) for key, text in data["options"].items()}, data["label"])
