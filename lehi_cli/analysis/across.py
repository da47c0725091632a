"""The view across tasks: losses of different tasks cannot be averaged; ranks, wins and ratios of costs can.

Optimizers and tasks rarely make a full rectangle. Ranks need one, so the optimizers are chosen that are on the most
tasks together: of all ways to take those that are on at least so many tasks, the one with the most results. What is
left out is named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lehi_cli.stats.ranks import Friedman, RankTable, Record, friedman, rank_table, records
from lehi_cli.stats.targets import Profile, performance_profile

from .arrivals import Arrivals
from .comparison import MOST_SERIES, UNFINISHED
from .results import WORST, Section, Series

MOST_NAMES = 6  # in one note
LEAST = 2  # optimizers, and tasks, without which there is nothing to look across

Scores = dict[str, dict[str, float]]  # by task, then by label


@dataclass(frozen=True)
class Across:
    """Optimizers over several tasks.

    Attributes:
        labels: the optimizers, the one of the lowest mean rank first.
        ranks: their ranks by mean final validation loss, on the tasks that all of them have.
        records: wins, ties and losses of each against each other, on the tasks that both have.
        tolerance: share of the larger loss within which two are level in `records`.
        friedman: whether they differ at all.
        profile: of the median times to the tasks' targets; None where fewer than two tasks have one.
        unit: of those times.
        notes: what was left out, and why.
    """

    labels: tuple[str, ...]
    ranks: RankTable
    records: Mapping[tuple[str, str], Record]
    tolerance: float
    friedman: Friedman
    profile: Profile | None
    unit: str
    notes: tuple[str, ...]


def across(sections: Sequence[Section], arrivals: Sequence[Arrivals | None], x: str, tolerance: float) -> Across | None:
    """The view across the tasks of these sections.

    None when no two optimizers have two tasks in common, or when those that have are more than `MOST_SERIES`: many are
    settings, of which the best wins by chance.

    Args:
        sections: one per task and budget; those of the same title are told apart by their budget.
        arrivals: of each section.
        x: unit of the times to target, one of `lehi_cli.analysis.arrivals.UNITS`.
        tolerance: share of the larger loss within which two optimizers are level.
    """
    names = _names(sections)
    by_task = {name: _scores(section) for name, section in zip(names, sections, strict=True)}
    labels = _chosen(by_task)
    if not labels:
        return None
    scores = {label: {task: own[label] for task, own in by_task.items() if label in own} for label in labels}
    table = rank_table(scores)
    ordered = tuple(sorted(labels, key=lambda label: table.mean[label]))
    profile, notes = _profile(ordered, table.tasks, dict(zip(names, arrivals, strict=True)), x)
    return Across(
        ordered,
        table,
        records(scores, tolerance=tolerance),
        tolerance,
        friedman(scores),
        profile,
        x,
        (*_left_out(by_task, ordered, table), *notes),
    )


def _scores(section: Section) -> dict[str, float]:
    """Mean final validation loss of each optimizer; infinite with a run that diverged or failed.

    An optimizer none of whose runs has ended has no score.
    """
    scores = {series.label: _score(series) for series in section.series}
    return {label: score for label, score in scores.items() if not math.isnan(score)}


def _score(series: Series) -> float:
    if any(run.status != "ok" and run.status not in UNFINISHED for run in series.runs):
        return WORST
    return series.final("val", "loss").mean


def _chosen(by_task: Scores) -> list[str]:
    """The optimizers to look at, in the order they come; none when no two share two tasks."""
    counts = Counter(label for own in by_task.values() for label in own)
    best: list[str] = []
    most = 0
    for least in sorted(set(counts.values())):
        labels = [label for label, count in counts.items() if count >= least]
        tasks = sum(all(label in own for label in labels) for own in by_task.values())
        if LEAST <= len(labels) <= MOST_SERIES and tasks >= LEAST and len(labels) * tasks > most:
            best, most = labels, len(labels) * tasks
    return best


def _names(sections: Sequence[Section]) -> list[str]:
    """Titles; with the budget where several have one title, and a number where that is the same too."""
    names = [section.title for section in sections]
    names = [
        f"{name}, {section.runs[0].budget}" if names.count(name) > 1 else name
        for name, section in zip(names, sections, strict=True)
    ]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _left_out(by_task: Scores, labels: Sequence[str], table: RankTable) -> list[str]:
    """Tasks that have no rank, those that lack the same optimizers together, and optimizers that are not looked at."""
    lacking: dict[str, list[str]] = {}
    for task in [task for task in by_task if task not in table.tasks]:
        lacking.setdefault(", ".join(label for label in labels if label not in by_task[task]), []).append(task)
    notes = [f"{_listed(tasks)}: left out of the ranks, without a result of {who}" for who, tasks in lacking.items()]
    others = list(dict.fromkeys(label for own in by_task.values() for label in own if label not in labels))
    return [*notes, *([f"{_listed(others)}: left out, on too few of the tasks"] if others else [])]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _profile(
    labels: Sequence[str], tasks: Sequence[str], arrivals: Mapping[str, Arrivals | None], x: str
) -> tuple[Profile | None, list[str]]:
    """The profile of the median times to target, and which tasks are not in it."""
    costs = {task: _costs(found, labels, x) for task in tasks if (found := arrivals[task]) is not None}
    if not costs:
        return None, []
    # A ratio to a cost of nothing says nothing.
    free = [task for task, own in costs.items() if 0.0 in own.values()]
    without = [task for task in tasks if task not in costs]
    notes = [f"{_listed(without)}: not in the profile, without a target"] if without else []
    notes += [f"{_listed(free)}: not in the profile, at the target from the start"] if free else []
    timed = [task for task in costs if task not in free]
    if len(timed) < LEAST:
        return None, [*notes, f"no profile of times to target: it takes {LEAST} tasks"]
    profile = performance_profile({label: {task: costs[task][label] for task in timed} for label in labels})
    unsolved = profile.unsolved
    notes += [f"{_listed(unsolved)}: no optimizer gets to the target in half of its runs"] if unsolved else []
    if len(timed) - len(unsolved) < LEAST:
        return None, [*notes, f"no profile of times to target: it takes {LEAST} tasks on which one does"]
    return profile, notes


def _costs(arrivals: Arrivals, labels: Sequence[str], x: str) -> dict[str, float | None]:
    medians = {series.label: series.summary[x].median for series in arrivals.series}
    return {label: medians[label] for label in labels}
