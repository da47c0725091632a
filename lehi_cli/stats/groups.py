"""Which pairs of methods several tasks do not tell apart: what the bars of a critical-difference diagram join.

Friedman's test says that some methods differ; the tests here say which. There are two:

- Wilcoxon's signed-rank test on the differences of each pair of methods over the tasks, adjusted for all pairs by
  Holm's method. Whether two methods are told apart does not depend on which others are looked at, except for the number
  of pairs (Benavoli, Corani, Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 2016).
  Differences on different tasks must have the same unit, and a few tasks cannot reach the level.
- Nemenyi's test, which tells apart mean ranks that differ by the critical distance or more, and needs only ranks
  (Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006).

A group is a maximal set of methods no two of which are told apart; a method may be in several. The methods of a group
are not shown to be equal: more tasks may tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from .paired import holm, smallest_wilcoxon_p, wilcoxon
from .ranks import RankTable

HALVINGS = 60
WIDEST_RANGE = 50.0  # standard deviations: no quantile of the range of normal values is beyond

Pair = tuple[str, str]


@dataclass(frozen=True)
class Groups:
    """Methods that are not told apart.

    Attributes:
        method: which tests were used.
        groups: sets of two or more methods, by mean rank; a method in none is told apart from all others.
        alpha: level of the tests, for all pairs together.
        p: p-value of each pair, adjusted by Holm's method; empty for Nemenyi's test.
        distance: Nemenyi's critical distance of mean ranks; NaN for Wilcoxon's test.
    """

    method: Literal["wilcoxon", "nemenyi"]
    groups: tuple[tuple[str, ...], ...]
    alpha: float
    p: Mapping[Pair, float] = field(default_factory=dict)
    distance: float = math.nan


def wilcoxon_can_tell(methods: int, tasks: int, alpha: float = 0.05) -> bool:
    """Whether this many tasks, if they all agreed, could tell two of this many methods apart."""
    return methods * (methods - 1) / 2 * smallest_wilcoxon_p(tasks) <= alpha


def groups_by_wilcoxon(
    differences: Mapping[Pair, Sequence[float]], labels: Sequence[str], alpha: float = 0.05
) -> Groups:
    """Groups by signed-rank tests of all pairs.

    Args:
        differences: those of each pair of methods, over the tasks, in one unit; 0 says nothing.
        labels: the methods by mean rank.
        alpha: level, for all pairs together.
    """
    import numpy as np

    found = holm([wilcoxon(np.array(own)) for own in differences.values()])
    p = dict(zip(differences, found, strict=True))
    joined = {pair for pair, adjusted in p.items() if adjusted > alpha}
    return Groups("wilcoxon", _groups(labels, joined), alpha, p)


def groups_by_nemenyi(table: RankTable, labels: Sequence[str], alpha: float = 0.05) -> Groups:
    """Groups by mean ranks: two methods whose mean ranks differ by less than the critical distance are joined.

    Args:
        table: the ranks.
        labels: the methods by mean rank.
        alpha: level, for all pairs together.
    """
    distance = nemenyi_distance(len(labels), len(table.tasks), alpha)
    joined = {(a, b) for a in labels for b in labels if a != b and abs(table.mean[a] - table.mean[b]) < distance}
    return Groups("nemenyi", _groups(labels, joined), alpha, distance=distance)


def nemenyi_distance(methods: int, tasks: int, alpha: float = 0.05) -> float:
    """Critical distance of mean ranks: q √(k (k + 1) / (12 n)) for k methods and n tasks.

    q is the 1 - alpha quantile of the range of k standard normal values; tables often give q / √2 instead.
    """
    return range_quantile(methods, 1 - alpha) * math.sqrt(methods * (methods + 1) / (12 * tasks))


@lru_cache(maxsize=64)
def range_quantile(k: int, probability: float) -> float:
    """Quantile of the range of k standard normal values: Tukey's studentized range for infinite degrees of freedom.

        P(range <= q) = k ∫ φ(z) (Φ(z) - Φ(z - q))ᵏ⁻¹ dz

    The trapezoidal rule is exact to rounding for such an integrand, and spares the import of scipy.stats.
    """
    import numpy as np
    from scipy import special

    z = np.linspace(-9.0, 9.0, 1441)
    density = np.exp(-z * z / 2) * ((z[1] - z[0]) / math.sqrt(2 * math.pi))
    low, high = 0.0, WIDEST_RANGE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = k * float((density * (special.ndtr(z) - special.ndtr(z - middle)) ** (k - 1)).sum())
        low, high = (middle, high) if reached < probability else (low, middle)
    return (low + high) / 2


def _groups(labels: Sequence[str], joined: set[Pair]) -> tuple[tuple[str, ...], ...]:
    """The maximal sets of two or more methods that are all joined to each other, those of the best methods first."""
    beside = {a: {b for b in labels if (a, b) in joined or (b, a) in joined} for a in labels}
    place = {label: i for i, label in enumerate(labels)}
    found = [sorted(clique, key=place.__getitem__) for clique in _cliques(set(), set(labels), set(), beside)]
    ordered = sorted((group for group in found if len(group) > 1), key=lambda group: [place[one] for one in group])
    return tuple(map(tuple, ordered))


def _cliques(inside: set[str], open_: set[str], done: set[str], beside: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """All maximal cliques with all of `inside`, any of `open_` and none of `done` (Bron and Kerbosch 1973)."""
    if not open_ and not done:
        yield inside
    for one in sorted(open_):
        yield from _cliques(inside | {one}, open_ & beside[one], done & beside[one], beside)
        open_, done = open_ - {one}, done | {one}
