"""Each optimizer against the reference over all tasks: how often its runs end below, and by how much.

As in the verdicts, only seeds that both have count. A task on which they have none in common is not left out: all its
runs count, unpaired. Changes are averaged over the tasks whose values are compared by ratio; a difference of losses on
one task and a ratio on another have no mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lehi_cli.stats.aggregate import (
    LEAST_RUNS,
    Aggregate,
    Matchup,
    interquartile_change,
    probability_of_improvement,
)

from .task_scores import TaskScores, listed

FEW = 3  # with fewer runs on a task, the intervals are far too narrow


@dataclass(frozen=True)
class Standing:
    """An optimizer against the reference, over several tasks.

    Attributes:
        label: label of the optimizer.
        improvement: probability that one of its runs ends below one of the reference, averaged over the tasks.
        change: interquartile mean of the logarithm of a run's value over the reference's mean; None if no task is
            compared by ratio.
        fewest: number of runs of the optimizer or the reference on the task that has the fewest.
    """

    label: str
    improvement: Aggregate
    change: Aggregate | None
    fewest: int


@dataclass(frozen=True)
class Standings:
    """The optimizers against one of them.

    Attributes:
        reference: label of that one.
        tasks: the tasks of `improvement`.
        ratio_tasks: the tasks of `change`.
        rows: one per other optimizer, in the order in which they were named.
        notes: the tasks that `change` leaves out, and what weakens it and the intervals.
    """

    reference: str
    tasks: tuple[str, ...]
    ratio_tasks: tuple[str, ...]
    rows: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


def standings(tasks: Mapping[str, TaskScores], labels: Sequence[str], reference: str) -> Standings:
    """Each of `labels` except the reference against it, over tasks that have runs of all of them."""
    ratio_tasks = tuple(task for task, scores in tasks.items() if scores.is_ratio)
    rows = tuple(_standing(tasks, ratio_tasks, label, reference) for label in labels if label != reference)
    notes = [*_about_change(tasks, ratio_tasks, reference), *_about_intervals(rows, reference)]
    return Standings(reference, tuple(tasks), ratio_tasks, rows, tuple(notes))


def _standing(tasks: Mapping[str, TaskScores], ratio_tasks: Sequence[str], label: str, reference: str) -> Standing:
    matchups = {task: _matchup(scores, label, reference) for task, scores in tasks.items()}
    ratios = [matchups[task] for task in ratio_tasks]
    return Standing(
        label,
        probability_of_improvement(list(matchups.values())),
        interquartile_change(ratios) if ratios else None,
        min(len(runs) for matchup in matchups.values() for runs in (matchup.own, matchup.other)),
    )


def _matchup(scores: TaskScores, label: str, reference: str) -> Matchup:
    own, other = scores.on_scale(label), scores.on_scale(reference)
    shared = sorted(own.keys() & other.keys())
    if shared:
        return Matchup([own[seed] for seed in shared], [other[seed] for seed in shared])
    return Matchup(list(own.values()), list(other.values()), paired=False)


def _about_change(tasks: Mapping[str, TaskScores], ratio_tasks: Sequence[str], reference: str) -> Iterator[str]:
    """Notes on the change; a mean over the runs that ended flatters a reference of which some did not."""
    others = [task for task in tasks if task not in ratio_tasks]
    above = [task for task in ratio_tasks if tasks[task].scale.floor is not None]
    lost = [task for task in ratio_tasks if math.isinf(tasks[task].score(reference))]
    if others:
        yield f"{listed(others)}: not in the change, as values there are not compared by ratio"
    if above:
        yield f"{listed(above)}: the change is of what lies above the floor"
    if lost:
        yield f"{listed(lost)}: the change is against the runs of {reference} that ended with a value"


def _about_intervals(rows: Sequence[Standing], reference: str) -> Iterator[str]:
    fewest = min((row.fewest for row in rows), default=FEW)
    if fewest < LEAST_RUNS:
        yield f"no intervals against {reference}: on some task a single run says nothing about others"
    elif fewest < FEW:
        yield f"the intervals against {reference} are too narrow: on some task there are only {fewest} runs"
    if any(row.improvement.interval.low == row.improvement.interval.high for row in rows):
        yield "an interval of zero length means that all these runs agree, which others need not"
