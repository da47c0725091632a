"""Several methods on several tasks, by rank: values of different tasks cannot be averaged, ranks can.

Scores within a margin of each other are level, because a difference that does not matter must not make one first and
the other second. A method's rank on a task is

    1 + (methods that are better) + ½ (others that are level with it)

which is the usual mean rank where only equal scores are level. The ranks of k methods always add up to k (k + 1) / 2,
although being level is not transitive: a method may be level with two that are not level with each other, and then lies
between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST_METHODS, LEAST_TASKS = 3, 5

Scores = Mapping[str, Mapping[str, float]]  # per method, the score on each task; less is better
Duels = Mapping[tuple[str, str], str]  # the word for the first of a pair against the second, on one task


@dataclass(frozen=True)
class RankTable:
    """Ranks of methods on the tasks that all of them have.

    Attributes:
        tasks: the tasks, by name.
        ranks: per method, its rank on each task: 1 is best; see the module for methods that are level.
        mean: per method, its mean rank; NaN without tasks.
        left_out: tasks that some method lacks.
    """

    tasks: tuple[str, ...]
    ranks: Mapping[str, tuple[float, ...]]
    mean: Mapping[str, float]
    left_out: tuple[str, ...]


class Record(NamedTuple):
    """Numbers of tasks on which a method was found better than another, not told apart from it, or found worse."""

    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Friedman:
    """Whether the methods differ at all over the tasks.

    Attributes:
        statistic: chi-square with one degree of freedom fewer than methods; NaN when there is no test.
        p: p-value; NaN when there is no test.
        note: why there is no test; empty when there is one.
    """

    statistic: float
    p: float
    note: str = ""


def side(own: float, other: float, margin: float = 0.0) -> int:
    """-1 where `own` is better, 1 where `other` is, 0 where they are level.

    Args:
        own: a score; one that is not finite is worst, and level with another such score.
        other: the score that it is compared with.
        margin: differences up to this count as none.
    """
    own, other = (score if math.isfinite(score) else math.inf for score in (own, other))
    if own == other or abs(own - other) <= margin:
        return 0
    return -1 if own < other else 1


def rank_table(scores: Scores, margins: Scores | None = None) -> RankTable:
    """Rank of each method on each task that all methods have; scores that are not finite share the last ranks.

    Tasks stay in the order in which they come.

    Args:
        scores: per method and task.
        margins: how far behind a method another may be and still be level with it, per method and task; 0 by default.
    """
    tasks = list(dict.fromkeys(task for by_task in scores.values() for task in by_task))
    common = [task for task in tasks if all(task in by_task for by_task in scores.values())]
    ranks = {method: tuple(_rank(scores, margins, method, task) for task in common) for method in scores}
    mean = {method: math.fsum(own) / len(own) if own else math.nan for method, own in ranks.items()}
    return RankTable(tuple(common), ranks, mean, tuple(task for task in tasks if task not in common))


def _rank(scores: Scores, margins: Scores | None, method: str, task: str) -> float:
    sides = [_side_on(scores, margins, method, other, task) for other in scores if other != method]
    return 1 + sides.count(1) + sides.count(0) / 2


def _side_on(scores: Scores, margins: Scores | None, one: str, other: str, task: str) -> int:
    """`side` of one against the other on a task, by the margin of whichever is better."""
    found = side(scores[one][task], scores[other][task])
    if not found or margins is None:
        return found
    return side(scores[one][task], scores[other][task], margins[one if found < 0 else other][task])


def score_differences(
    scores: Scores, margins: Scores | None, tasks: Sequence[str]
) -> dict[tuple[str, str], list[float]]:
    """Score of one minus that of the other on each task, for each pair of methods; 0 where they are level."""
    methods = list(scores)
    return {
        (one, other): [
            _loss(scores[one][task]) - _loss(scores[other][task])
            if _side_on(scores, margins, one, other, task)
            else 0.0
            for task in tasks
        ]
        for i, one in enumerate(methods)
        for other in methods[i + 1 :]
    }


def records(duels: Sequence[Duels], methods: Sequence[str]) -> dict[tuple[str, str], Record]:
    """Wins, ties and losses of each method against each other one, over the tasks that have a word for the two.

    *better* is a win and *worse* a loss. Every other word is a tie: the two were not told apart.
    """
    table = {}
    for one in methods:
        for other in methods:
            if one != other:
                words = [on_task[one, other] for on_task in duels if (one, other) in on_task]
                wins, losses = words.count("better"), words.count("worse")
                table[one, other] = Record(wins, len(words) - wins - losses, losses)
    return table


def friedman(table: RankTable) -> Friedman:
    """Friedman's test that all methods have the same mean rank.

        Q = (k - 1) (Σⱼ Rⱼ² - n C) / (Σᵢⱼ rᵢⱼ² - C),  C = n k (k + 1)² / 4

    over n tasks and k methods, with Rⱼ the sum of a method's ranks: the form that holds with ties (Conover, Practical
    Nonparametric Statistics, 1999, section 5.8), and for any numbers in place of ranks that have the same sum on every
    task. Q is compared with chi-square with k - 1 degrees of freedom.

    The chi-square approximation needs at least 3 methods and 5 tasks; with fewer the note says so.
    """
    methods, tasks = len(table.ranks), len(table.tasks)
    if methods < LEAST_METHODS or tasks < LEAST_TASKS:
        needs = f"Friedman's test needs {LEAST_METHODS} methods and {LEAST_TASKS} tasks that all of them have"
        return Friedman(math.nan, math.nan, f"{needs}: there are {methods} and {tasks}")
    if all(len({own[i] for own in table.ranks.values()}) == 1 for i in range(tasks)):
        return Friedman(math.nan, math.nan, "all methods are level on every task")
    from scipy import special  # scipy.stats has the test too, and takes ten times as long to import

    level = tasks * methods * (methods + 1) ** 2 / 4
    between = sum(sum(own) ** 2 for own in table.ranks.values()) - tasks * level
    within = sum(rank**2 for own in table.ranks.values() for rank in own) - level
    statistic = (methods - 1) * between / within
    return Friedman(statistic, float(special.chdtrc(methods - 1, statistic)))


def _loss(score: float) -> float:
    return score if math.isfinite(score) else math.inf
