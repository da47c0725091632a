"""How many seeds would settle it: against the rule itself, on samples that go on like the first."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lehi_cli.stats.power import seeds_for_difference
from lehi_cli.stats.sequential import MOST_TO_SETTLE, seeds_to_settle, settled


def sample(effect: float, n: int) -> list[float]:
    """Differences of exactly this mean and standard deviation 1."""
    d = np.random.default_rng(n).normal(size=n)
    return (effect + (d - d.mean()) / d.std(ddof=1)).tolist()


CASES = {
    "a clear difference": (2.0, 0.0, 3, 0.05),
    "the other way": (-1.2, 0.0, 5, 0.05),
    "a small one": (0.4, 0.0, 5, 0.05),
    "in a family": (0.8, 0.0, 4, 0.05 / 6),
    "within the margin": (0.1, 0.9, 4, 0.05),
    "at 0 within the margin": (0.0, 0.5, 10, 0.05),
    "real or within the margin, whichever comes first": (0.7, 2.0, 3, 0.05),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_first_number_at_which_the_rule_settles_it(case: str) -> None:
    effect, margin, n, alpha = CASES[case]
    found = seeds_to_settle(effect, margin, n, alpha)
    assert found is not None
    assert found > n
    assert settled(sample(effect, found), margin, alpha) is not None
    assert all(settled(sample(effect, count), margin, alpha) is None for count in range(n + 1, found))


@pytest.mark.parametrize(
    ("effect", "margin"),
    [(math.nan, 1.0), (0.0, 0.0), (0.001, 0.0), (0.001, 0.0015)],
)
def test_what_these_seeds_do_not_tell_has_no_number(effect: float, margin: float) -> None:
    assert seeds_to_settle(effect, margin, 5) is None


def test_it_lies_above_the_seeds_there_are_and_not_beyond_the_most() -> None:
    assert seeds_to_settle(5.0, 0.0, 50) == 51
    assert seeds_to_settle(5.0, 0.0, MOST_TO_SETTLE) is None


def test_the_sign_of_the_effect_is_no_matter_and_more_noise_takes_more_seeds() -> None:
    found = [seeds_to_settle(effect, 0.0, 3) for effect in (2.0, 1.0, 0.5, 0.25)]
    assert found == [seeds_to_settle(-effect, 0.0, 3) for effect in (2.0, 1.0, 0.5, 0.25)]
    assert found == sorted(found, key=lambda count: count or 0)


@pytest.mark.parametrize("effect", [0.4, 0.8])
def test_a_rule_that_may_be_asked_at_every_seed_takes_more_of_them_than_one_look_of_even_odds(effect: float) -> None:
    found, once = seeds_to_settle(effect, 0.0, 3), seeds_for_difference(effect, power=0.5)
    assert found is not None
    assert once is not None
    assert once < found < 4 * once
