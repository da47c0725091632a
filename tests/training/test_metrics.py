"""The functions behind the metrics."""

from __future__ import annotations

from lehi_cli.runs.metrics import LOSS, METRICS
from lehi_cli.training import metrics


def test_every_metric_of_the_table_is_computed_as_it_says() -> None:
    measured = {metric.name for metric in METRICS.values() if not metric.derived_from}
    assert metrics.MEASURED.keys() == measured - {LOSS}
    assert metrics.DERIVED.keys() == METRICS.keys() - measured
