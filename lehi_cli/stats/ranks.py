"""Several methods on several tasks, by rank: values of different tasks cannot be averaged, ranks can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .paired import doubled_ranks

LEAST_METHODS, LEAST_TASKS = 3, 5

Scores = Mapping[str, Mapping[str, float]]  # per method, the score on each task


@dataclass(frozen=True)
class RankTable:
    """Ranks of methods on the tasks that all of them have.

    Attributes:
        tasks: the tasks, by name.
        ranks: per method, its rank on each task: 1 is best, ties share their mean rank.
        mean: per method, its mean rank; NaN without tasks.
        left_out: tasks that some method lacks.
    """

    tasks: tuple[str, ...]
    ranks: Mapping[str, tuple[float, ...]]
    mean: Mapping[str, float]
    left_out: tuple[str, ...]


class Record(NamedTuple):
    """Tasks on which a method beat another, was level with it, was beaten by it."""

    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Friedman:
    """Whether the methods differ at all over the tasks.

    Attributes:
        statistic: chi-square with one degree of freedom less than methods; NaN when there is no test.
        p: p-value; NaN when there is no test.
        note: why there is none; empty when there is.
    """

    statistic: float
    p: float
    note: str = ""


def rank_table(scores: Scores, *, minimize: bool = True) -> RankTable:
    """Rank of each method on each task that all methods have; scores that are not finite share the last ranks.

    Tasks stay in the order in which they come.
    """
    tasks = list(dict.fromkeys(task for by_task in scores.values() for task in by_task))
    common = [task for task in tasks if all(task in by_task for by_task in scores.values())]
    ranks: dict[str, list[float]] = {method: [] for method in scores}
    for task in common:
        values = [_loss(by_task[task], minimize) for by_task in scores.values()]
        for method, doubled in zip(scores, doubled_ranks(values), strict=True):
            ranks[method].append(doubled / 2)
    return RankTable(
        tuple(common),
        {method: tuple(own) for method, own in ranks.items()},
        {method: math.fsum(own) / len(own) if own else math.nan for method, own in ranks.items()},
        tuple(task for task in tasks if task not in common),
    )


def records(scores: Scores, *, minimize: bool = True, tolerance: float = 0.0) -> dict[tuple[str, str], Record]:
    """Wins, ties and losses of each method against each other, over the tasks that both have.

    Args:
        scores: per method and task.
        minimize: whether lower is better.
        tolerance: scores that differ by no more than this share of the larger magnitude are level.
    """
    table = {}
    for one in scores:
        for other in scores:
            if one != other:
                signs = [
                    _sign(_loss(scores[one][task], minimize), _loss(scores[other][task], minimize), tolerance)
                    for task in scores[one].keys() & scores[other].keys()
                ]
                table[one, other] = Record(signs.count(-1), signs.count(0), signs.count(1))
    return table


def friedman(scores: Scores, *, minimize: bool = True) -> Friedman:
    """Friedman's test that all methods have the same mean rank, on the tasks that all have.

        Q = (k - 1) (Σⱼ Rⱼ² - n C) / (Σᵢⱼ rᵢⱼ² - C),  C = n k (k + 1)² / 4

    over n tasks and k methods, Rⱼ the sum of a method's ranks: the form that holds with ties (Conover, Practical
    Nonparametric Statistics, 1999, section 5.8). Q is compared with chi-square of k - 1 degrees of freedom.

    The chi-square approximation needs at least 3 methods and 5 tasks; with fewer the note says so.
    """
    table = rank_table(scores, minimize=minimize)
    methods, tasks = len(scores), len(table.tasks)
    if methods < LEAST_METHODS or tasks < LEAST_TASKS:
        needs = f"Friedman's test needs {LEAST_METHODS} methods and {LEAST_TASKS} tasks that all of them have"
        return Friedman(math.nan, math.nan, f"{needs}: here are {methods} and {tasks}")
    if all(len({own[i] for own in table.ranks.values()}) == 1 for i in range(tasks)):
        return Friedman(math.nan, math.nan, "all methods are level on every task")
    from scipy import special  # scipy.stats has the test too, and takes ten times as long to import

    level = tasks * methods * (methods + 1) ** 2 / 4
    between = sum(sum(own) ** 2 for own in table.ranks.values()) - tasks * level
    within = sum(rank**2 for own in table.ranks.values() for rank in own) - level
    statistic = (methods - 1) * between / within
    return Friedman(statistic, float(special.chdtrc(methods - 1, statistic)))


def _loss(score: float, minimize: bool) -> float:
    if not math.isfinite(score):
        return math.inf
    return score if minimize else -score


def _sign(own: float, other: float, tolerance: float) -> int:
    if own == other or (
        math.isfinite(own) and math.isfinite(other) and abs(own - other) <= tolerance * max(abs(own), abs(other))
    ):
        return 0
    return -1 if own < other else 1
