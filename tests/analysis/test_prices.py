"""Prices of a step: ratios within rounds, what is kept beside the runs, and what is read off the runs themselves."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from cases import runs_of
from scipy import stats

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.prices import Price, PriceList, load_prices, prices_of_runs
from lehi_cli.analysis.results import Section
from lehi_cli.runs.measurements import Measured, Measurement, save_measurement
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

ADAM = [2.0, 2.1, 8.0, 2.0]
LEHI = [3.0, 3.3, 12.4, 2.9]
CPU = {"device": "cpu", "device_name": "x86_64", "threads": 2}


def stored(root: Path, optimizers: str = "adam,lehi", seeds: int = 4, seconds: dict[str, list[float]] | None = None,
           where: dict[str, object] = CPU) -> tuple[Store, Section, list[RunSpec]]:  # fmt: skip
    """A section of made-up runs of 1000 steps, at so many seconds by label and seed."""
    store, seconds = Store(root), seconds or {"adam": ADAM, "lehi": LEHI}
    runs = runs_of(optimizers, seeds=seeds)
    for i, run in enumerate(runs):
        recorder = store.claim(run, where)
        assert recorder is not None
        recorder.state["started"] = f"2026-01-01T10:{i:02d}:00.000+00:00"
        taken = seconds.get(run.label, [1.0] * seeds)[run.seed]
        if math.isfinite(taken):
            passes = 5000 / 3 if run.label == "lehi" else 1000.0
            outcome = Outcome("ok", 1000, passes, taken, 650, 5200, "a", "b", "c", {})
            recorder.finish("ok", asdict(outcome), {})
        else:
            recorder.finish("error", {}, {"type": "RuntimeError", "message": "made up"})
    (section,) = arrange(store, store.runs())
    return store, section, runs


def measurement(runs: list[RunSpec], **ms: list[float]) -> Measurement:
    """A measurement of the optimizers that `ms` names."""
    first = {run.label: run for run in reversed(runs)}
    measured = [
        Measured(first[label].optimizer.name, first[label].optimizer.options, times, 1.0, 123456, 8.0)
        for label, times in ms.items()
    ]
    task = runs[0].task.identity()
    return Measurement(task, "fp32", "cpu", "x86_64", 2, "2.15.0", "2026-01-01T00:00:00", 30, "all", measured)


def by_label(prices: PriceList | None) -> dict[str, Price]:
    assert prices is not None
    return {price.label: price for price in prices.prices}


def check_ratio(price: Price, own: list[float], other: list[float]) -> None:
    """Against scipy's one-sample t interval of the logarithms."""
    logs = np.log(own) - np.log(other)
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert price.ratio == pytest.approx(math.exp(logs.mean()))
    assert price.ratio_interval == pytest.approx((math.exp(interval.low), math.exp(interval.high)))


def test_prices_by_the_clocks_of_the_runs(tmp_path: Path) -> None:
    _, section, _ = stored(tmp_path)
    prices = prices_of_runs(section, "adam")
    lehi, adam = by_label(prices)["lehi"], by_label(prices)["adam"]
    assert (prices.source, prices.device, prices.device_name, prices.threads) == ("runs", "cpu", "x86_64", 2)
    assert adam.ms_per_step == pytest.approx(2.05)  # of 2.0, 2.0, 2.1, 8.0 ms
    assert adam.ms_quartiles == pytest.approx((2.0, 3.575))
    assert (adam.ratio, adam.ratio_interval) == (1, (1, 1))
    assert lehi.passes_per_step == pytest.approx(5 / 3)
    assert lehi.state_bytes_per_parameter == 8
    assert (lehi.rounds, lehi.peak_bytes, lehi.source) == (4, None, "runs")
    check_ratio(lehi, LEHI, ADAM)


def test_runs_are_paired_by_seed_and_those_without_an_outcome_left_out(tmp_path: Path) -> None:
    _, section, _ = stored(tmp_path, seconds={"adam": [2.0, math.nan, 8.0, 2.0], "lehi": LEHI})
    prices = by_label(prices_of_runs(section, "adam"))
    check_ratio(prices["lehi"], [LEHI[0], *LEHI[2:]], [ADAM[0], *ADAM[2:]])
    assert (prices["adam"].rounds, prices["lehi"].rounds) == (3, 4)


@pytest.mark.parametrize(
    ("seconds", "reference", "ratio"),
    [({"adam": [2.0], "lehi": [3.0]}, "adam", 1.5), ({"adam": [math.nan], "lehi": [3.0]}, "adam", math.nan),
     ({"adam": [2.0], "lehi": [3.0]}, "sgd", math.nan), ({"adam": [2.0], "lehi": [3.0]}, None, 1.5)],
    ids=["one seed", "the reference failed", "another reference", "the first is it"],
)  # fmt: skip
def test_a_ratio_without_an_interval(
    tmp_path: Path, seconds: dict[str, list[float]], reference: str | None, ratio: float
) -> None:
    _, section, _ = stored(tmp_path, seeds=1, seconds=seconds)
    lehi = by_label(prices_of_runs(section, reference))["lehi"]
    assert lehi.ratio == pytest.approx(ratio, nan_ok=True)
    assert all(map(math.isnan, lehi.ratio_interval))
    assert lehi.ms_per_step == pytest.approx(3.0)


def test_equal_ratios_have_an_interval_of_no_width(tmp_path: Path) -> None:
    _, section, _ = stored(tmp_path, seconds={"adam": ADAM, "lehi": [2 * value for value in ADAM]})
    lehi = by_label(prices_of_runs(section, "adam"))["lehi"]
    assert (lehi.ratio, *lehi.ratio_interval) == pytest.approx((2, 2, 2))


def test_runs_on_several_devices_say_so(tmp_path: Path) -> None:
    stored(tmp_path, "adam", where=CPU)
    stored(tmp_path, "lehi", where={"device": "cuda", "device_name": "A", "threads": 4})
    (section,) = arrange(store := Store(tmp_path), store.runs())
    prices = prices_of_runs(section)
    assert (prices.device, prices.threads) == ("several devices", None)


def test_what_was_measured_is_found_again_whatever_the_reference(tmp_path: Path) -> None:
    store, section, runs = stored(tmp_path)
    assert load_prices(store, section) is None
    path = save_measurement(tmp_path, measurement(runs, adam=ADAM, lehi=LEHI))
    assert path.parent == tmp_path / ".costs"
    assert len(store.runs()) == 8
    assert not store.notices
    prices = load_prices(store, section, "adam")
    lehi = by_label(prices)["lehi"]
    assert prices is not None
    assert (prices.source, prices.device, prices.threads, prices.memory) == ("measured", "cpu", 2, "all")
    assert "4 rounds of 30 steps" in prices.how
    assert (lehi.peak_bytes, lehi.passes_per_step, lehi.state_bytes_per_parameter, lehi.rounds) == (123456, 1, 8, 4)
    check_ratio(lehi, LEHI, ADAM)
    check_ratio(by_label(load_prices(store, section, "lehi"))["adam"], ADAM, LEHI)
    assert math.isnan(by_label(load_prices(store, section, "sgd"))["adam"].ratio)


def test_the_measurement_with_the_reference_then_the_most_optimizers_then_the_last_is_taken(tmp_path: Path) -> None:
    store, section, runs = stored(tmp_path, "adam,lehi,sgd", seconds={})
    both = measurement(runs, adam=[2.0, 2.0], lehi=[3.0, 3.0])
    save_measurement(tmp_path, both)
    save_measurement(tmp_path, replace(measurement(runs, sgd=[1.0, 1.0]), measured="2026-01-02"))
    save_measurement(tmp_path, replace(measurement(runs, adam=[4.0, 4.0], sgd=[1.0, 1.0]), measured="2026-01-03"))
    by_adam = by_label(load_prices(store, section, "adam"))
    assert by_adam["adam"].ms_per_step == 4
    assert (math.isnan(by_adam["lehi"].ratio), by_adam["lehi"].note) == (True, "not measured with the others")
    assert by_label(load_prices(store, section, "lehi"))["adam"].ratio == pytest.approx(2 / 3)
    save_measurement(tmp_path, replace(both, measured="2026-01-04"))  # takes the place of the first
    assert by_label(load_prices(store, section, "adam"))["lehi"].ratio == pytest.approx(1.5)
    assert len(list((tmp_path / ".costs").iterdir())) == 3


@pytest.mark.parametrize(
    "changes",
    [{"device": "cuda"}, {"precision": "bf16"}, {"task": {"name": "digits"}}],
    ids=["device", "precision", "task"],
)
def test_what_was_measured_elsewhere_is_not_shown(tmp_path: Path, changes: dict[str, object]) -> None:
    store, section, runs = stored(tmp_path)
    save_measurement(tmp_path, replace(measurement(runs, adam=ADAM, lehi=LEHI), **changes))
    assert load_prices(store, section, "adam") is None


def test_an_optimizer_that_could_not_be_measured_says_why(tmp_path: Path) -> None:
    store, section, runs = stored(tmp_path)
    full = measurement(runs, adam=ADAM, lehi=[])
    failed = [full.optimizers[0], replace(full.optimizers[1], passes_per_step=None, peak_bytes=None, note="why")]
    save_measurement(tmp_path, replace(full, optimizers=failed))
    lehi = by_label(load_prices(store, section, "adam"))["lehi"]
    assert (lehi.note, lehi.rounds, lehi.peak_bytes) == ("why", 0, None)
    assert math.isnan(lehi.ms_per_step)
    assert math.isnan(lehi.passes_per_step)


DAMAGE = {
    "no JSON": lambda _: "{",
    "no object": lambda _: "[]",
    "another version": lambda content: json.dumps(content | {"schema": 99}),
    "a field is missing": lambda content: json.dumps({k: v for k, v in content.items() if k != "threads"}),
    "an unknown field": lambda content: json.dumps(content | {"colour": "red"}),
    "a time of zero": lambda content: json.dumps(content).replace("12.4", "0.0"),
    "a time in words": lambda content: json.dumps(content).replace("12.4", '"long"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_named_and_no_crash(tmp_path: Path, damage: object) -> None:
    store, section, runs = stored(tmp_path)
    path = save_measurement(tmp_path, measurement(runs, adam=ADAM, lehi=LEHI))
    path.write_text(damage(json.loads(path.read_text())))  # type: ignore[operator]
    assert load_prices(store, section, "adam") is None
    assert load_prices(store, section, "lehi") is None
    (notice,) = store.notices
    assert str(path) in notice.message
    assert "--cost" in notice.hint
