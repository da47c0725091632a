"""Stored runs, arranged for reading: one section per task and budget, one series per optimizer.

Results that cannot be compared never share a section, and those that are not of the same kind never share a series. A
section has one task with all its settings, one precision, one version of the training loop and of the data files, and
either trained or made-up results; a series has one optimizer in one version of its code with one set of options.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from lehi_cli.runs.metrics import METRICS
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.status import Status
from lehi_cli.runs.stored_run import StoredRun, StoredSpec
from lehi_cli.stats import Estimate, estimate
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.summary import Band, band_curve, mean_interval

WORST = math.inf


def _mean(value: Estimate) -> float:
    return value.mean


@dataclass
class Series:
    """The runs of one optimizer in a section, one per seed.

    Attributes:
        label: label, unique in the section.
        runs: the stored runs.
        metrics: the metrics of each run.
        chosen_from: how many settings it is the best of; 1 if nothing was chosen.
        chosen_by: the column that decided, such as `val_loss`.
    """

    label: str
    runs: Sequence[StoredRun]
    metrics: Sequence[RunMetrics]
    chosen_from: int = 1
    chosen_by: str = ""
    _finals: dict[tuple[str, str], dict[int, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _final: dict[tuple[str, str], Estimate] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def ok(self) -> list[RunMetrics]:
        """Metrics of the runs that reached the end of their budget."""
        return [metrics for run, metrics in zip(self.runs, self.metrics, strict=True) if run.status == Status.OK]

    @property
    def is_complete(self) -> bool:
        """Whether every run reached the end of its budget."""
        return all(run.status == Status.OK for run in self.runs)

    @property
    def statuses(self) -> Counter[Status]:
        """The number of runs with each status."""
        return Counter(run.status for run in self.runs)

    def finals(self, split: str, column: str) -> dict[int, float]:
        """The last value of `column` on a split, by seed, for the runs that reached the end.

        For `train` it is the last logged mean over steps.
        """
        if (split, column) not in self._finals:  # asked for by every table, ranking and plot
            ended = ((run, own) for run, own in zip(self.runs, self.metrics, strict=True) if run.status == Status.OK)
            last = ((run.seed, own.final(split, column)) for run, own in ended)
            self._finals[split, column] = {seed: value for seed, value in last if value is not None}
        return self._finals[split, column]

    def final(self, split: str, column: str) -> Estimate:
        """Mean and standard deviation of `finals`."""
        if (split, column) not in self._final:
            self._final[split, column] = estimate(self.finals(split, column).values())
        return self._final[split, column]

    def is_whole(self, split: str, column: str) -> bool:
        """Whether every seed has a value: a mean over only those that have one flatters."""
        return self.final(split, column).n == len({run.seed for run in self.runs})

    def interval(self, split: str, column: str) -> Interval:
        """Student's 95 % interval of the mean of `finals`; NaN at both ends for fewer than two values."""
        return mean_interval(self.final(split, column))

    def spent(self, what: str) -> Estimate:
        """Steps, passes or training seconds of every run that has an outcome, including diverged ones."""
        return estimate(float(run.outcome[what]) for run in self.runs if what in run.outcome)

    def price(self) -> dict[str, float]:
        """What a step costs: gradients, seconds, and bytes of optimizer state per parameter; means over the runs."""
        ended = [run.outcome for run in self.runs if run.outcome.get("steps") and "passes" in run.outcome]
        sized = [outcome for outcome in ended if outcome.get("parameters")]  # made-up runs have none
        return {
            "passes_per_step": estimate(outcome["passes"] / outcome["steps"] for outcome in ended).mean,
            "seconds_per_step": estimate(outcome["seconds"] / outcome["steps"] for outcome in ended).mean,
            "state_bytes_per_parameter": estimate(o["state_bytes"] / o["parameters"] for o in sized).mean,
        }

    def band_curve(self, split: str, column: str, x: str) -> Band:
        """Mean, lowest and highest over the runs that reached the end; if none did, over what there is of all runs."""
        return band_curve(metrics.curve(split, column, x) for metrics in self.ok or self.metrics)


@dataclass
class Section:
    """Runs that can be compared: one task in one version, one budget, one precision.

    Attributes:
        task: name of the task.
        spec: specification of the first run.
        series: one per optimizer.
        distinction: how it differs from other sections of that task, such as `budget 100 steps`.
        shown: the quality columns to show; None for all.
        grouped_by: the options by which the series were grouped; they then stay in the order of those options' values.
    """

    task: str
    spec: StoredSpec
    series: list[Series] = field(default_factory=list)
    distinction: str = ""
    shown: Sequence[tuple[str, str]] | None = None
    grouped_by: Sequence[str] = ()

    @property
    def title(self) -> str:
        """The task's name with what distinguishes the section: unique among those arranged together.

        Fake data is marked in it, so that the mark is wherever the name is shown.
        """
        aside = f" ({self.distinction})" if self.distinction else ""
        return f"{self.task}{aside}{' [FAKE DATA]' if self.is_fake else ''}"

    @property
    def is_fake(self) -> bool:
        """Whether the runs were on synthetic data in place of the task's own."""
        return any(run.is_fake for run in self.runs)

    @property
    def runs(self) -> list[StoredRun]:
        """All runs of the section."""
        return [run for series in self.series for run in series.runs]

    @property
    def data_checksum(self) -> str:
        """Checksum of the data that was read, or else of the data that the task declares; empty if neither is known.

        `arrange` keeps runs on different data apart, so it is the same for all runs.
        """
        read = (run.outcome.get("data_checksum") for run in self.runs)
        return next(filter(None, read), None) or self.spec.data_checksum

    @cached_property
    def logged(self) -> set[str]:
        """Every metric besides the loss that some run logged, including what an optimizer reports about itself."""
        return {name for series in self.series for metrics in series.metrics for name in metrics.names()}

    @cached_property
    def metric_names(self) -> list[str]:
        """The metrics besides the loss, as the task lists them."""
        return [name for name in self.spec.metrics if name in self.logged]

    @property
    def columns(self) -> Sequence[tuple[str, str]]:
        """Quality columns as (split, metric)."""
        if self.shown is not None:
            return self.shown
        return [(split, name) for split in ("val", "test") for name in ("loss", *self.metric_names)]

    def restricted(self, columns: Sequence[tuple[str, str]]) -> Section:
        """The section with these quality columns only."""
        return replace(self, shown=tuple(columns))

    @property
    def floor(self) -> float | None:
        """The lowest expected validation loss, where theory gives it."""
        return self.floor_of("val")

    def floor_of(self, split: str) -> float | None:
        """The lowest expected loss on a split, where theory gives it."""
        floors = (run.outcome.get("floor", {}).get(split) for run in self.runs)
        return next((floor for floor in floors if floor is not None), None)

    @property
    def data_notes(self) -> list[str]:
        """How the data was read, as far as a user should know."""
        lines = (line for run in self.runs for line in run.outcome.get("notes", []))
        return list(dict.fromkeys(map(str, lines)))

    @property
    def target(self) -> tuple[str, float] | None:
        """What a regression predicts, and what 1 of its scaled targets is in its own units; None where it is not known.

        It is the same for all runs, which are on the same data.
        """
        told = next(filter(None, (run.outcome.get("target") for run in self.runs)), None)
        return None if told is None else (str(told["name"]), float(told["scale"]))

    @property
    def seeds(self) -> list[int]:
        """All seeds of the runs, ascending."""
        return sorted({run.seed for run in self.runs})

    @property
    def leading(self) -> tuple[str, str]:
        """The column to rank by and to draw: the validation loss, or the first one shown if that is not among them."""
        return ("val", "loss") if ("val", "loss") in self.columns or not self.columns else self.columns[0]

    def best(self, split: str, column: str, shown: Callable[[Estimate], object] = _mean) -> set[str]:
        """Labels of the best complete series, and of those that look as good; empty if there is nothing to choose.

        Also empty where the direction of the column is unknown.

        Args:
            split: the column's split.
            column: the column's metric.
            shown: what a reader sees of a mean; series for which this equals the best one's are best as well.
        """
        complete = [series for series in self.series if series.is_complete]
        values = {series.label: series.final(split, column) for series in complete if series.is_whole(split, column)}
        metric = METRICS.get(column)
        if metric is None or len(complete) < 2 or not values:
            return set()
        leader, *others = values.values()
        for value in others:
            leader = value if metric.is_better(value.mean, leader.mean) else leader
        return {label for label, value in values.items() if shown(value) == shown(leader)}

    @property
    def is_ranked(self) -> bool:
        """Whether `ranked` puts the best first."""
        return not self.grouped_by and self.leading[1] in METRICS

    def ranked(self) -> list[Series]:
        """Series by the leading column, those with a run that did not reach its end last; groups stay as they are.

        The order stays as it is, too, where the direction of the leading column is unknown.
        """
        if self.grouped_by:
            return self.series
        metric = METRICS.get(self.leading[1])

        def place(series: Series) -> tuple[bool, float]:
            mean = series.final(*self.leading).mean
            return not series.is_complete, metric.sign * mean if metric and math.isfinite(mean) else WORST

        return sorted(self.series, key=place)

    def pairing(self) -> tuple[dict[int, tuple[str, str]], list[int]]:
        """Checksums of initial weights and data order at each seed, and the seeds at which series differ in these."""
        seen: dict[int, set[tuple[str, str]]] = {}
        for run in self.runs:
            if "init_checksum" in run.outcome:
                pair = (run.outcome["init_checksum"], run.outcome["order_checksum"])
                seen.setdefault(run.seed, set()).add(pair)
        return {seed: min(pairs) for seed, pairs in seen.items()}, [
            seed for seed, pairs in seen.items() if len(pairs) > 1
        ]
