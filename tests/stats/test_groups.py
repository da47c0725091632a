"""Who is not told apart: critical distance, signed-rank tests and the groups that come of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from peers import peer
from scipy import stats

from lehi_cli.stats.groups import (
    groups_by_nemenyi,
    groups_by_wilcoxon,
    nemenyi_distance,
    range_quantile,
    wilcoxon_can_tell,
)
from lehi_cli.stats.ranks import RankTable, friedman, rank_table, score_differences


def table(mean: dict[str, float], tasks: int) -> RankTable:
    return RankTable(tuple(f"t{i}" for i in range(tasks)), dict.fromkeys(mean, ()), mean, ())


@pytest.mark.parametrize("k", [2, 3, 5, 10, 12])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.95, 0.99])
def test_the_range_of_normal_values_is_that_of_scipy(k: int, probability: float) -> None:
    theirs = stats.studentized_range.ppf(probability, k, np.inf)
    assert range_quantile(k, probability) == pytest.approx(theirs, rel=1e-8)


def test_the_critical_distance_is_that_of_the_paper() -> None:
    # Demšar (2006), section 3.2.4: q = 2.569 for 4 classifiers, 14 data sets
    assert nemenyi_distance(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=5e-4)


def test_ranks_and_distance_are_those_of_autorank() -> None:
    autorank, pandas = peer("autorank"), peer("pandas")
    values = np.random.default_rng(0).normal(size=(4, 12)) + np.array([0, 0.3, 0.5, 3])[:, None]
    scores = {f"m{i}": {f"t{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(values)}
    ours = rank_table(scores)
    data = pandas.DataFrame({name: list(own.values()) for name, own in scores.items()})
    theirs = autorank.autorank(data, alpha=0.05, order="ascending", force_mode="nonparametric")
    assert theirs.posthoc == "nemenyi"
    assert ours.mean == pytest.approx(dict(theirs.rankdf["meanrank"]), abs=1e-12)
    assert friedman(ours).p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert nemenyi_distance(4, 12) == pytest.approx(theirs.cd, rel=1e-3)  # theirs interpolates in a table


def test_groups_by_distance() -> None:
    mean = {"a": 1.2, "b": 2.0, "c": 2.9, "d": 3.9}
    distance = nemenyi_distance(4, 14)
    assert 0.9 < distance < 1.4
    found = groups_by_nemenyi(table(mean, 14), list(mean))
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"))
    assert (found.method, found.distance, found.p) == ("nemenyi", distance, {})
    apart = groups_by_nemenyi(table({"a": 1.0, "b": 2.5, "c": 4.0}, 14), ["a", "b", "c"])
    assert apart.groups == ()


def test_groups_by_signed_ranks() -> None:
    rising = [float(i) for i in range(1, 9)]
    mixed = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0]
    differences = {("a", "b"): mixed, ("a", "c"): rising, ("b", "c"): mixed, ("a", "d"): rising, ("b", "d"): rising,
                   ("c", "d"): [0.0] * 8}  # fmt: skip
    found = groups_by_wilcoxon(differences, ["a", "b", "c", "d"])
    smallest = 2 / 2**8
    assert found.p["a", "c"] == pytest.approx(6 * smallest)
    assert found.p["c", "d"] == 1.0
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"))
    assert math.isnan(found.distance)


def test_signed_ranks_are_those_of_scipy() -> None:
    scores = {
        name: {f"t{j}": float(v) for j, v in enumerate(row)}
        for name, row in zip("abc", np.random.default_rng(1).normal(size=(3, 9)), strict=True)
    }
    differences = score_differences(scores, None, list(scores["a"]))
    assert list(differences) == [("a", "b"), ("a", "c"), ("b", "c")]
    p = groups_by_wilcoxon(differences, "abc").p
    raw = sorted((float(stats.wilcoxon(own).pvalue), pair) for pair, own in differences.items())
    largest = 0.0
    for factor, (value, pair) in zip((3, 2, 1), raw, strict=True):  # Holm, which scipy lacks
        largest = max(largest, min(1.0, factor * value))
        assert p[pair] == pytest.approx(largest)


def test_how_many_tasks_signed_ranks_need() -> None:
    assert [wilcoxon_can_tell(3, tasks) for tasks in (5, 6, 7)] == [False, False, True]
    assert [wilcoxon_can_tell(12, tasks) for tasks in (11, 12)] == [False, True]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_the_largest(seed: int) -> None:
    labels = [f"m{i}" for i in range(7)]
    draw = np.random.default_rng(seed)
    p = {(a, b): bool(draw.random() < 0.6) for i, a in enumerate(labels) for b in labels[i + 1 :]}
    differences = {pair: [1.0, -1.0] if joined else [float(i) for i in range(1, 15)] for pair, joined in p.items()}
    groups = groups_by_wilcoxon(differences, labels).groups

    def is_joined(group: tuple[str, ...]) -> bool:
        return all(p[a, b] for i, a in enumerate(group) for b in group[i + 1 :])

    assert all(is_joined(group) for group in groups)
    for group in groups:
        rest = [label for label in labels if label not in group]
        assert not any(is_joined(tuple(sorted((*group, label)))) for label in rest)
    assert all(any({a, b} <= set(group) for group in groups) for (a, b), joined in p.items() if joined)
