"""The view across tasks: losses of different tasks cannot be averaged; ranks, wins and ratios can.

It rests on what the verdicts rest on: final values on each task's own scale, seeds that both have, one margin.
Optimizers that are level within the margin share a rank, and a win is a verdict.

Optimizers and tasks rarely form a full rectangle. Ranks need one, so the optimizers that share the most tasks are
chosen: of all the sets of optimizers with runs on at least some number of tasks, the one with the most results.
Whatever is left out is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lehi_cli.stats.groups import Groups, groups_by_nemenyi, groups_by_wilcoxon, wilcoxon_can_tell
from lehi_cli.stats.ranks import (
    Duels,
    Friedman,
    RankTable,
    Record,
    friedman,
    rank_table,
    records,
    score_differences,
)
from lehi_cli.stats.targets import Profile, performance_profile

from .arrivals import Arrivals
from .comparison import MOST_SERIES
from .duels import duels
from .finals import Column
from .results import Section
from .standings import Standings, standings
from .task_scores import TaskScores, listed, task_scores

LEAST = 2  # optimizers, and tasks: with fewer there is nothing to look across
ALPHA = 0.05


@dataclass(frozen=True)
class Across:
    """Optimizers over several tasks.

    Attributes:
        labels: the optimizers, lowest mean rank first.
        ranks: their ranks by mean final value on each task's scale, on the tasks that all of them have.
        records: wins, ties and losses of each against each other one, on the tasks that both have.
        tolerance: share of the better one within which two are level.
        friedman: whether they differ at all.
        profile: profile of the median times to the tasks' targets; None where fewer than two tasks have one.
        unit: unit of those times.
        notes: what was left out, and why.
        column: the column of the final values, as (split, metric).
        groups: the optimizers that are not told apart; None where `friedman` finds no difference.
        standings: each against the reference; None if that is not among `labels`.
        price: at what price they were compared, in words.
    """

    labels: tuple[str, ...]
    ranks: RankTable
    records: Mapping[tuple[str, str], Record]
    tolerance: float
    friedman: Friedman
    profile: Profile | None
    unit: str
    notes: tuple[str, ...]
    column: Column = ("val", "loss")
    groups: Groups | None = None
    standings: Standings | None = None
    price: str = ""


def across(
    sections: Sequence[Section],
    arrivals: Sequence[Arrivals | None],
    x: str,
    tolerance: float,
    *,
    column: Column = ("val", "loss"),
    words: Sequence[Duels] | None = None,
    reference: str | None = None,
) -> Across | None:
    """The view across the tasks of these sections.

    None when no two optimizers have two tasks in common, or when more than `MOST_SERIES` do: that many are settings, of
    which the best wins by chance.

    Args:
        sections: one per task and budget; sections with the same title are told apart by their budget.
        arrivals: the arrivals of each section.
        x: unit of the times to target, one of `lehi_cli.analysis.arrivals.UNITS`.
        tolerance: share of the better one, or of the reference, within which a difference does not matter.
        column: the column to look at, as (split, metric).
        words: for each section the word of the first label against the second, for pairs that were judged; the others
            are judged here.
        reference: label that the others are measured against; None for the first of those looked at.
    """
    names = _names(sections)
    by_task = {name: task_scores(section, column) for name, section in zip(names, sections, strict=True)}
    labels = _chosen(by_task)
    if not labels:
        return None
    scores = {label: _on_tasks(by_task, label, TaskScores.score) for label in labels}
    margins = {label: _on_tasks(by_task, label, partial(TaskScores.margin, share=tolerance)) for label in labels}
    table = rank_table(scores, margins)
    ordered = tuple(sorted(labels, key=lambda label: table.mean[label]))
    test = friedman(table)
    profile, notes = _profile(ordered, table.tasks, dict(zip(names, arrivals, strict=True)), x)
    return Across(
        ordered,
        table,
        records(duels(list(by_task.values()), labels, words, tolerance), labels),
        tolerance,
        test,
        profile,
        x,
        (*_left_out(by_task, ordered, table), *notes),
        column,
        _groups(test, table, ordered, score_differences(scores, margins, table.tasks), by_task),
        _standings(by_task, table.tasks, labels, reference),
    )


def _on_tasks(
    by_task: Mapping[str, TaskScores], label: str, number: Callable[[TaskScores, str], float]
) -> dict[str, float]:
    """A number of an optimizer on each task on which it has runs."""
    return {name: number(task, label) for name, task in by_task.items() if label in task.finals}


def _groups(
    test: Friedman,
    table: RankTable,
    labels: Sequence[str],
    differences: Mapping[tuple[str, str], Sequence[float]],
    by_task: Mapping[str, TaskScores],
) -> Groups | None:
    """Groups by signed-rank tests if differences have one unit and the tasks can reach the level, else by ranks."""
    if not test.p <= ALPHA:
        return None
    if all(by_task[task].is_ratio for task in table.tasks) and wilcoxon_can_tell(len(labels), len(table.tasks), ALPHA):
        return groups_by_wilcoxon(differences, labels, ALPHA)
    return groups_by_nemenyi(table, labels, ALPHA)


def _standings(
    by_task: Mapping[str, TaskScores], tasks: Sequence[str], labels: Sequence[str], reference: str | None
) -> Standings | None:
    against = labels[0] if reference is None else reference
    return standings({task: by_task[task] for task in tasks}, labels, against) if against in labels else None


def _chosen(by_task: Mapping[str, TaskScores]) -> list[str]:
    """The optimizers to look at, in order of appearance; none when no two share two tasks."""
    counts = Counter(label for own in by_task.values() for label in own.finals)
    best: list[str] = []
    most = 0
    for least in sorted(set(counts.values())):
        labels = [label for label, count in counts.items() if count >= least]
        tasks = sum(all(label in own.finals for label in labels) for own in by_task.values())
        if LEAST <= len(labels) <= MOST_SERIES and tasks >= LEAST and len(labels) * tasks > most:
            best, most = labels, len(labels) * tasks
    return best


def _names(sections: Sequence[Section]) -> list[str]:
    """Titles, with the budget where several have the same title, and a number where that is the same too."""
    names = [section.title for section in sections]
    names = [
        f"{name}, {section.runs[0].budget}" if names.count(name) > 1 else name
        for name, section in zip(names, sections, strict=True)
    ]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _left_out(by_task: Mapping[str, TaskScores], labels: Sequence[str], table: RankTable) -> list[str]:
    """Notes on tasks without ranks, grouped by the optimizers they lack, and on optimizers that are not looked at."""
    lacking: dict[str, list[str]] = {}
    for task in [task for task in by_task if task not in table.tasks]:
        lacking.setdefault(", ".join(label for label in labels if label not in by_task[task].finals), []).append(task)
    notes = [f"{listed(tasks)}: left out of the ranks, without a result of {who}" for who, tasks in lacking.items()]
    others = list(dict.fromkeys(label for own in by_task.values() for label in own.finals if label not in labels))
    return [*notes, *([f"{listed(others)}: left out, on too few of the tasks"] if others else [])]


def _profile(
    labels: Sequence[str], tasks: Sequence[str], arrivals: Mapping[str, Arrivals | None], x: str
) -> tuple[Profile | None, list[str]]:
    """The profile of the median times to target, and notes on the tasks that are not in it."""
    costs = {task: _costs(found, labels, x) for task in tasks if (found := arrivals[task]) is not None}
    if not costs:
        return None, []
    # A ratio to a cost of zero says nothing.
    free = [task for task, own in costs.items() if 0.0 in own.values()]
    without = [task for task in tasks if task not in costs]
    notes = [f"{listed(without)}: not in the profile, without a target"] if without else []
    notes += [f"{listed(free)}: not in the profile, at the target from the start"] if free else []
    timed = [task for task in costs if task not in free]
    if len(timed) < LEAST:
        return None, [*notes, f"no profile of times to target: it takes {LEAST} tasks"]
    profile = performance_profile({label: {task: costs[task][label] for task in timed} for label in labels})
    unsolved = profile.unsolved
    notes += [f"{listed(unsolved)}: no optimizer gets to the target in half of its runs"] if unsolved else []
    if len(timed) - len(unsolved) < LEAST:
        return None, [*notes, f"no profile of times to target: it takes {LEAST} tasks on which one does"]
    return profile, notes


def _costs(arrivals: Arrivals, labels: Sequence[str], x: str) -> dict[str, float | None]:
    medians = {series.label: series.summary[x].median for series in arrivals.series}
    return {label: medians[label] for label in labels}
