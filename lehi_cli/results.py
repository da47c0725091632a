"""Stored runs, arranged for reading: one section per task and budget, one series per optimizer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .specs import canonical_json, format_value
from .stats import Estimate, estimate, is_better, mean_curve
from .store import Metrics, Store, StoredRun

WORST = math.inf


@dataclass
class Series:
    """The runs of one optimizer in a section, one per seed."""

    label: str
    runs: Sequence[StoredRun]
    metrics: Sequence[Metrics]
    _finals: dict[tuple[str, str], Estimate] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def ok(self) -> list[Metrics]:
        """Metrics of the runs that reached the end of their budget."""
        return [metrics for run, metrics in zip(self.runs, self.metrics, strict=True) if run.status == "ok"]

    @property
    def is_complete(self) -> bool:
        """Whether every run reached the end of its budget."""
        return all(run.status == "ok" for run in self.runs)

    @property
    def statuses(self) -> Counter[str]:
        """How many runs ended how."""
        return Counter(run.status for run in self.runs)

    def final(self, split: str, column: str) -> Estimate:
        """The last value of `column` in a split, over the runs that reached the end."""
        if (split, column) not in self._finals:  # asked for by every table, ranking and plot
            last = (metrics.curve(split, column)[1][-1:] for metrics in self.ok)
            self._finals[split, column] = estimate(value for values in last for value in values)
        return self._finals[split, column]

    def spent(self, what: str) -> Estimate:
        """Steps, passes or training seconds of every run that ended with an outcome, diverged ones included."""
        return estimate(float(run.outcome[what]) for run in self.runs if what in run.outcome)

    def price(self) -> dict[str, float]:
        """What a step costs: gradients, seconds, and bytes of optimizer state per parameter; means over the runs."""
        ended = [run.outcome for run in self.runs if run.outcome.get("steps")]
        return {
            "passes_per_step": estimate(outcome["passes"] / outcome["steps"] for outcome in ended).mean,
            "seconds_per_step": estimate(outcome["seconds"] / outcome["steps"] for outcome in ended).mean,
            "state_bytes_per_parameter": estimate(o["state_bytes"] / o["parameters"] for o in ended).mean,
        }

    def curve(self, split: str, column: str, x: str) -> tuple[list[float], list[float]]:
        """Mean over the runs that reached the end; when none did, over as much as there is."""
        return mean_curve(metrics.curve(split, column, x) for metrics in self.ok or self.metrics)


@dataclass
class Section:
    """Runs that can be compared: one task in one version, one budget, one precision."""

    task: str
    spec: Mapping[str, object]
    series: list[Series] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The task's name; data that is not real is named with it, wherever the name is shown."""
        return f"{self.task} [FAKE DATA]" if self.is_fake else self.task

    @property
    def is_fake(self) -> bool:
        """Whether the runs were on synthetic data in place of the task's own."""
        return any(run.is_fake for run in self.runs)

    @property
    def runs(self) -> list[StoredRun]:
        """All runs of the section."""
        return [run for series in self.series for run in series.runs]

    @cached_property
    def metric_names(self) -> list[str]:
        """The metrics beside the loss, as the task lists them."""
        found = {name for series in self.series for metrics in series.metrics for name in metrics.names()}
        return [name for name in self.spec["task"]["metrics"] if name in found]  # type: ignore[index]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Quality columns as (split, metric)."""
        return [(split, name) for split in ("val", "test") for name in ("loss", *self.metric_names)]

    @property
    def floor(self) -> float | None:
        """The lowest expected validation loss, where theory gives it."""
        floors = (run.outcome.get("floor", {}).get("val") for run in self.runs)
        return next((floor for floor in floors if floor is not None), None)

    @property
    def seeds(self) -> list[int]:
        """The seeds that occur."""
        return sorted({run.seed for run in self.runs})

    def best(self, split: str, column: str) -> str | None:
        """Label of the best complete series; None when there is nothing to choose from."""
        leader: tuple[str, float] | None = None
        complete = [series for series in self.series if series.is_complete]
        for series in complete:
            value = series.final(split, column).mean
            if math.isfinite(value) and (leader is None or is_better(f"{split}_{column}", value, leader[1])):
                leader = (series.label, value)
        return leader[0] if leader and len(complete) > 1 else None

    def ranked(self) -> list[Series]:
        """Series by final validation loss; those with a run that diverged or failed come last."""
        return sorted(self.series, key=lambda series: (not series.is_complete, _sortable(series.final("val", "loss"))))

    def pairing(self) -> tuple[dict[int, tuple[str, str]], list[int]]:
        """Checksums of initial weights and data order at each seed, and the seeds at which series differ in them."""
        seen: dict[int, set[tuple[str, str]]] = {}
        for run in self.runs:
            if "init_checksum" in run.outcome:
                pair = (run.outcome["init_checksum"], run.outcome["order_checksum"])
                seen.setdefault(run.seed, set()).add(pair)
        return {seed: min(pairs) for seed, pairs in seen.items()}, [
            seed for seed, pairs in seen.items() if len(pairs) > 1
        ]


def _sortable(value: Estimate) -> float:
    return value.mean if math.isfinite(value.mean) else WORST


def arrange(store: Store, runs: Sequence[StoredRun], labels: Mapping[str, str] | None = None) -> list[Section]:
    """Sort runs into sections and series, in the order they come.

    Args:
        store: where the metrics are.
        runs: what to arrange.
        labels: display name by run id, in place of the one stored.
    """
    labels = labels or {}
    grouped: dict[str, dict[str, list[StoredRun]]] = {}
    for run in runs:
        section = canonical_json([run.spec["task"], run.spec["precision"]])
        series = canonical_json([run.optimizer, run.options, labels.get(run.run_id, "")])
        grouped.setdefault(section, {}).setdefault(series, []).append(run)
    return [_section(store, list(members.values()), labels) for members in grouped.values()]


def _section(store: Store, members: Sequence[list[StoredRun]], labels: Mapping[str, str]) -> Section:
    first = members[0][0]
    section = Section(first.task, first.spec)
    shown = [labels.get(runs[0].run_id, runs[0].label) for runs in members]
    for runs, label in zip(members, shown, strict=True):
        if shown.count(label) > 1:
            label = _distinct(label, runs[0], [other[0] for other in members])
        section.series.append(Series(label, runs, [store.metrics(run) for run in runs]))
    return section


def _distinct(label: str, run: StoredRun, others: Sequence[StoredRun]) -> str:
    """The label with the options in which it differs from another optimizer of the same label."""
    same = [other for other in others if other.label == run.label]
    differing = [key for key in run.options if len({canonical_json(other.options.get(key)) for other in same}) > 1]
    return ":".join([label, *(f"{key}={format_value(run.options[key])}" for key in differing)])
