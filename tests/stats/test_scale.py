"""The scale of a comparison: what is compared, and what a share of the reference is on it."""

from __future__ import annotations

import math

import pytest

from lehi_cli.stats.scale import Scale, scale_of

CASES = {
    "a loss": ([0.5, 0.25], {}, Scale("ratio"), math.log(0.5) - math.log(0.25), math.log(1.01)),
    "a loss above its floor": (
        [0.0127, 0.0110], {"floor": 0.01}, Scale("ratio", 0.01), math.log(2.7), math.log(1.01),
    ),
    "a loss below its floor": ([1.25, 0.75], {"floor": 1.0}, Scale("difference", 1.0), 0.5, 0.0),
    "a loss that can be negative": ([-1.0, 2.0], {}, Scale("difference"), -3.0, 0.0),
    "an accuracy": ([0.9513, 0.9550], {"best": 1.0}, Scale(best=1.0), 0.0037, 0.01 * 0.045),
    "an accuracy without errors": ([0.99, 1.0], {"best": 1.0}, Scale(best=1.0), 0.01, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_values_are_compared_where_a_share_means_something(case: str) -> None:
    (own, other), limits, scale, difference, margin = CASES[case]
    found = scale_of([own, other, math.nan, math.inf], **limits)
    assert found == scale
    assert found.of(own) - found.of(other) == pytest.approx(difference)
    assert found.margin(0.01, [other, math.inf]) == pytest.approx(margin)


@pytest.mark.parametrize("scale", [Scale("ratio"), Scale("ratio", 0.1), Scale("difference"), Scale(best=1.0)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_without_a_value_is_worst_on_every_scale(scale: Scale, value: float) -> None:
    assert scale.of(value) == math.inf


def test_a_distance_to_the_floor_gives_a_margin_even_where_some_run_is_below_it() -> None:
    assert Scale("difference", 1.0).margin(0.1, [1.5, 1.3]) == pytest.approx(0.04)
    assert Scale("difference", 1.0).has_margin
    assert not Scale("difference").has_margin
