"""The table of metrics, and what is not in it."""

from __future__ import annotations

import math

import pytest

from lehi_cli.errors import UnknownNameError
from lehi_cli.registry.built_in.losses import LOSSES
from lehi_cli.runs.metrics import METRICS, Metric, known_metrics, metric_named


def test_more_accuracy_and_less_of_the_others_is_better() -> None:
    assert {metric.name for metric in METRICS.values() if metric.higher_is_better} == {"accuracy"}
    assert METRICS["accuracy"].is_better(0.9, 0.8)
    assert not METRICS["accuracy"].is_better(0.8, 0.8)
    assert METRICS["loss"].is_better(0.8, 0.9)
    assert (METRICS["accuracy"].worst, METRICS["mae"].worst) == (-math.inf, math.inf)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_row_is_whole(metric: Metric) -> None:
    assert metric.summary
    assert (metric.best is not None) == metric.higher_is_better  # compared by what is missing to the best
    assert set(metric.derived_from) <= LOSSES.keys()


def test_what_is_not_in_the_table_has_no_direction() -> None:
    assert known_metrics(["f1", "rmse", "accuracy"]) == ["rmse", "accuracy"]
    with pytest.raises(UnknownNameError, match="unknown direction of metric 'f1'") as caught:
        metric_named("f1")
    assert caught.value.hint == "the direction is known for loss, accuracy, mae, perplexity, rmse"
