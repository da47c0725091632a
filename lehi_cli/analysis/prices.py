"""What a step of each optimizer costs: passes, milliseconds, memory; measured separately, or read off the stored runs.

A machine drifts, and other work runs on it, so times are compared where they are next to each other: within a round of
a measurement, or within a seed of the runs. What is reported is the geometric mean of those ratios,

    ratio = exp(mean over rounds of log(own ms / reference ms)),

with Student's t interval of the mean logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any, Literal

from lehi_cli.runs.measurements import Measured, Measurement, load_measurements, optimizer_key
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.paired import Interval, t_interval, t_is_defined

from .results import Section, Series

NO_INTERVAL = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class Price:
    """What a step of one optimizer costs; NaN or None where it is not known.

    Attributes:
        label: label of the optimizer.
        passes_per_step: gradient equivalents (forward + backward).
        ms_per_step: median over the rounds, in milliseconds.
        ms_quartiles: first and third quartile over the rounds.
        ratio: time relative to the reference, geometric mean of the ratios within rounds; 1 for the reference.
        ratio_interval: 95 % interval of the ratio.
        peak_bytes: peak memory of a step.
        state_bytes_per_parameter: what the optimizer keeps between steps.
        rounds: number of rounds, or of runs.
        source: `measured` separately, or the `runs` themselves.
        note: why something is not known, or what must be known about it.
    """

    label: str
    passes_per_step: float
    ms_per_step: float
    ms_quartiles: Interval
    ratio: float
    ratio_interval: Interval
    peak_bytes: int | None
    state_bytes_per_parameter: float
    rounds: int
    source: Literal["measured", "runs"]
    note: str = ""


@dataclass(frozen=True)
class PriceList:
    """Prices of the optimizers of a section.

    Attributes:
        title: title of the section.
        device: the device on which the times were taken.
        device_name: the hardware behind that name.
        threads: torch threads; None when the runs differ.
        reference: label of the optimizer whose time is 1.
        prices: the prices, in the order of the section.
        source: `measured` separately, or the `runs` themselves.
        how: how the times were taken, in words.
        memory: what peak memory means, in words; empty where there is none.
    """

    title: str
    device: str
    device_name: str
    threads: int | None
    reference: str
    prices: Sequence[Price]
    source: Literal["measured", "runs"]
    how: str
    memory: str = ""


def prices_of_runs(section: Section, reference: str | None = None) -> PriceList:
    """Prices by the runs' own clocks, 1000 seconds / steps of each run that ended; ratios within seeds.

    The runs of one seed are next to each other in a plan, so they take turns as well. Their clocks include the first
    steps, and whatever else ran on the machine at that time.

    Args:
        section: the section whose series are priced.
        reference: label of the series whose time is 1; None for the first.
    """
    reference = _chosen(section, reference)
    times = {series.label: _ms_by_seed(series.runs) for series in section.series}
    prices = [_price_of_runs(series, times[series.label], times.get(reference, {})) for series in section.series]
    environment = _environment(section.runs)
    return PriceList(
        section.title,
        _shared(run.environment.get("device") for run in section.runs) or "several devices",
        str(environment.get("device_name", "")),
        _shared(run.environment.get("threads") for run in section.runs),
        reference,
        prices,
        "runs",
        "by the clocks of the runs, paired by seed",
    )


def load_prices(store: Store, section: Section, reference: str | None = None) -> PriceList | None:
    """The measured prices of a section, on the device of its runs; None if nothing was measured.

    Of several measurements the one that has the reference and the most optimizers of the section is taken, and of
    several such ones the last. A damaged file is named in the store's notices.

    Args:
        store: the measurements are stored beside its runs.
        section: the section whose series are priced; those that were not measured have no numbers.
        reference: label of the series whose time is 1; None for the first.
    """
    reference = _chosen(section, reference)
    wanted = {
        series.label: optimizer_key(series.runs[0].optimizer, series.runs[0].options) for series in section.series
    }
    devices = dict.fromkeys(str(run.environment["device"]) for run in section.runs if "device" in run.environment)
    found = load_measurements(store, section.spec.task, section.spec.precision, devices)
    if not found:
        return None

    def worth(measurement: Measurement) -> tuple[bool, int, str]:
        measured = {each.key for each in measurement.optimizers if each.ms}
        covered = sum(key in measured for key in wanted.values())
        return wanted.get(reference) in measured, covered, measurement.measured

    best = max(found, key=worth)
    return _priced(best, section.title, wanted, reference) if worth(best)[1] else None


def _chosen(section: Section, reference: str | None) -> str:
    return section.series[0].label if reference is None else reference


def _ms_by_seed(runs: Sequence[StoredRun]) -> dict[int, float]:
    ended = [run for run in runs if run.outcome.get("steps") and run.outcome.get("seconds")]
    return {run.seed: 1000 * run.outcome["seconds"] / run.outcome["steps"] for run in ended}


def _price_of_runs(series: Series, own: Mapping[int, float], other: Mapping[int, float]) -> Price:
    shared = sorted(own.keys() & other.keys())
    means = series.price()
    return Price(
        series.label,
        means["passes_per_step"],
        *_middle(list(own.values())),
        *_ratio([own[seed] for seed in shared], [other[seed] for seed in shared]),
        None,
        means["state_bytes_per_parameter"],
        len(own),
        "runs",
    )


def _priced(measurement: Measurement, title: str, wanted: Mapping[str, str], reference: str) -> PriceList:
    """The prices of a measurement under the labels of a section."""
    measured = {each.key: each for each in measurement.optimizers}
    unknown = Measured("", {}, note="not measured with the others")
    base = measured.get(wanted.get(reference, ""), unknown).ms
    return PriceList(
        title,
        measurement.device,
        measurement.device_name,
        measurement.threads,
        reference,
        [_price(label, measured.get(key, unknown), base) for label, key in wanted.items()],
        "measured",
        f"{measurement.rounds} rounds of {measurement.steps} steps of each in turn, at the start of a run",
        measurement.memory,
    )


def _price(label: str, measured: Measured, base: Sequence[float]) -> Price:
    return Price(
        label,
        _number(measured.passes_per_step),
        *_middle(measured.ms),
        *_ratio(measured.ms, base),
        measured.peak_bytes,
        _number(measured.state_bytes_per_parameter),
        len(measured.ms),
        "measured",
        measured.note,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _middle(values: Sequence[float]) -> tuple[float, Interval]:
    """Median and quartiles."""
    if len(values) < 2:
        return (values[0] if values else math.nan), NO_INTERVAL
    low, _, high = quantiles(values, method="inclusive")
    return median(values), Interval(low, high)


def _ratio(own: Sequence[float], other: Sequence[float]) -> tuple[float, Interval]:
    """Geometric mean of the ratios within rounds, with its 95 % interval; NaN where the rounds are not the same."""
    import numpy as np

    if not own or len(own) != len(other):
        return math.nan, NO_INTERVAL
    logs = np.log(np.array(own, dtype=float) / np.array(other, dtype=float))
    ratio = math.exp(logs.mean())
    if t_is_defined(logs):
        low, high = t_interval(logs)
        return ratio, Interval(math.exp(low), math.exp(high))
    return ratio, Interval(ratio, ratio) if len(logs) > 1 else NO_INTERVAL


def _shared(values: Iterable[Any]) -> Any:
    """The value shared by all that have one; None when they differ."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None


def _environment(runs: Sequence[StoredRun]) -> Mapping[str, Any]:
    return next((run.environment for run in runs if run.environment), {})
