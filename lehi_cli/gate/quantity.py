"""What an assertion is about: one number per run.

- Quality: `val_loss`, `test_accuracy` and the like, the last value on a split; `train_loss`. A run that diverged or
  failed has none and counts as worst: infinite, or minus infinite where more is better.
- Totals: `steps`, `passes`, `seconds` of training. A run that diverged spent less than it was given, which is not a
  saving: it is left out.
- Prices: `ms_per_step`, `passes_per_step`, `state_bytes_per_parameter`, including those of diverged runs.
- Way to a target: `passes_to_target`, `steps_to_target`, `samples_to_target`, `seconds_to_target`, up to the first
  evaluation from which the run stays at the target. A run that diverged or failed never arrives and counts as worst,
  and so does one that ended short of the target if the other arrived before that end.

A run that was pruned, was interrupted or is still running says nothing about where it would have ended: it is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lehi_cli.analysis.arrivals import UNITS, Target, course
from lehi_cli.analysis.results import Section, Series
from lehi_cli.errors import UsageError
from lehi_cli.runs.metrics import known_metrics, metric_named
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.status import UNFINISHED, Status
from lehi_cli.runs.stored_run import StoredRun

TOTALS = ("steps", "passes", "seconds")
PRICES: Mapping[str, tuple[str, str, float]] = {
    "ms_per_step": ("seconds", "steps", 1000.0),
    "passes_per_step": ("passes", "steps", 1.0),
    "state_bytes_per_parameter": ("state_bytes", "parameters", 1.0),
}
TO_TARGET: Mapping[str, str] = {f"{unit}_to_target": unit for unit in UNITS}


@dataclass
class Readings:
    """A column of one optimizer.

    Attributes:
        values: values by seed; infinite for a run that counts as worst.
        until: by seed, the end of a run that had not arrived by then; its value is infinite, the true one is later.
        notes: which runs were left out, and why.
    """

    values: dict[int, float] = field(default_factory=dict)
    until: dict[int, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def columns(section: Section) -> list[str]:
    """The columns that a section has."""
    return columns_with(section.spec.metrics)


def columns_with(metrics: Sequence[str]) -> list[str]:
    """The columns of a task with these metrics besides the loss."""
    quality = [f"{split}_{name}" for split in ("val", "test") for name in ("loss", *known_metrics(metrics))]
    return [*quality, "train_loss", *TOTALS, *PRICES, *TO_TARGET]


def is_quality(column: str) -> bool:
    """Whether a column is the last value of a metric."""
    return column not in (*TOTALS, *PRICES, *TO_TARGET)


def is_counted(column: str, section: Section) -> bool:
    """Whether a column is counted, not measured: one run is enough to know it if it is the same in every run.

    Under a budget in seconds the clock decides the numbers of steps and passes.
    """
    if column in ("steps", "passes"):
        return section.spec.budget.kind != "seconds"
    return column in ("passes_per_step", "state_bytes_per_parameter")


def read(series: Series, column: str, target: Target | None) -> Readings:
    """A column of every run; if a seed has several runs, the last counts.

    Args:
        series: the runs.
        column: one of `columns`.
        target: the target to reach; None where none is known.

    Raises:
        UsageError: when the column needs a target and there is none.
    """
    refuse_without_target(column, series.runs[0].task, target is not None)
    readings = Readings()
    for run, metrics in zip(series.runs, series.metrics, strict=True):
        value = _of_run(run, metrics, column, target)
        if isinstance(value, str):
            readings.notes.append(f"{series.label}, seed {run.seed}: {value}, left out")
            continue
        readings.values[run.seed] = value
        readings.until.pop(run.seed, None)
        if target is not None and column in TO_TARGET and run.status == Status.OK and math.isinf(value):
            readings.until[run.seed] = course(run, metrics, target).watched[TO_TARGET[column]]
    counts = Counter(run.seed for run in series.runs)
    readings.notes += [
        f"{series.label}, seed {seed}: {count} runs, the last one counts" for seed, count in counts.items() if count > 1
    ]
    return readings


def refuse_without_target(column: str, task: str, has_target: bool) -> None:
    """Check that a column that needs a target has one.

    Raises:
        UsageError: when it has none.
    """
    if column in TO_TARGET and not has_target:
        raise UsageError(f"{column}: {task} has no target", "set one, for example --target val_loss=0.1")


def _of_run(run: StoredRun, metrics: RunMetrics, column: str, target: Target | None) -> float | str:
    """The value, or the reason why there is none."""
    if run.status in UNFINISHED:
        return run.status
    if column in TOTALS or column in PRICES:
        return _cost(run, column)
    if target is not None and column in TO_TARGET:
        return _arrival(run, metrics, column, target)
    return _final(run, metrics, column)


def _cost(run: StoredRun, column: str) -> float | str:
    if column in TOTALS and run.status != Status.OK:
        return f"{run.status} before its end"
    above, below, factor = PRICES.get(column, (column, "", 1.0))
    per = run.outcome.get(below) if below else 1
    if above not in run.outcome or not per:
        return f"{run.status}, has no {column}"
    return factor * float(run.outcome[above]) / float(per)


def _final(run: StoredRun, metrics: RunMetrics, column: str) -> float | str:
    split, _, metric = column.partition("_")
    worst = metric_named(metric).worst
    if run.status != Status.OK:
        return worst
    found = metrics.final(split, metric)
    if found is None:
        return f"ok, but has no {column}"
    return found if math.isfinite(found) else worst


def _arrival(run: StoredRun, metrics: RunMetrics, column: str, target: Target) -> float | str:
    if run.status == Status.OK and metrics.final(target.split, target.metric) is None:
        return f"ok, but has no {target.column}"
    times = course(run, metrics, target).times
    return math.inf if times is None else times[TO_TARGET[column]]
