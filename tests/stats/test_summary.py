"""Means, spreads and mean curves."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys

from lehi_cli.stats import Estimate, estimate


def test_mean_and_sample_deviation_of_what_is_finite() -> None:
    values = [0.3, 0.5, math.nan, 0.7, math.inf]
    found = estimate(values)
    assert found.n == 3
    assert math.isclose(found.mean, 0.5)
    assert math.isclose(found.sd, statistics.stdev([0.3, 0.5, 0.7]))


def test_one_value_has_no_deviation_and_none_has_no_mean() -> None:
    one = estimate([2.0])
    assert (one.mean, one.n, math.isnan(one.sd)) == (2.0, 1, True)
    none = estimate([])
    assert none.n == 0
    assert math.isnan(none.mean)
    assert isinstance(none, Estimate)


def test_the_deviation_of_huge_values_is_infinite() -> None:
    found = estimate([1e300, 3e300])
    assert (found.mean, found.sd) == (2e300, math.inf)


def test_importing_every_module_loads_neither_numpy_nor_scipy() -> None:
    modules = "summary, tuning_curve, paired, power, verdict, sequential, targets, ranks"
    code = (
        f"import sys; from lehi_cli.stats import {modules}; assert not {{'numpy', 'scipy', 'torch'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
