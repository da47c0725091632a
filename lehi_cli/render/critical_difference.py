"""The critical-difference diagram: mean ranks, and bars that join those that are not told apart (Demšar, 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lehi_cli.stats.groups import Groups

from .document import Figure, Trace
from .numbers import compact, finite_or_none

NOT_APART = "not told apart"


def critical_difference(groups: Groups, labels: Sequence[str], mean: Mapping[str, float], tasks: int) -> Figure:
    """A row per optimizer with its mean rank, then a row per group, with a bar from its first to its last.

    Args:
        groups: the optimizers that are not told apart.
        labels: the optimizers, sorted by mean rank.
        mean: mean rank of each.
        tasks: number of tasks.
    """
    ranks = [Trace(label, [mean[label]], [i], style=i, kind="points") for i, label in enumerate(labels)]
    bars = [_bar(group, mean, len(labels) + i) for i, group in enumerate(groups.groups)]
    rows = [*labels, *([NOT_APART] * len(bars))]
    caption = f"mean rank over {tasks} tasks, 1 is best; a bar joins those that are {NOT_APART} by {_how(groups)}"
    return Figure("critical-difference diagram", "mean rank", [*ranks, *bars], caption, log_y=False, rows=rows)


def _bar(group: Sequence[str], mean: Mapping[str, float], row: int) -> Trace:
    """The bar belongs to the first of its points; the others have no length."""
    places = [mean[label] for label in group]
    high = [places[-1], *places[1:]]
    return Trace(", ".join(group), places, [row] * len(places), style=row, kind="points", low=places, high=high)


def groups_sentence(groups: Groups) -> str:
    """The groups by name, and the tests they come from."""
    named = "; ".join(", ".join(group) for group in groups.groups)
    found = f"{NOT_APART}: {named}" if named else "all are told apart from each other"
    return f"{found} (by {_how(groups)})"


def _how(groups: Groups) -> str:
    level = f"{compact(100 * groups.alpha)} %"
    if groups.method == "nemenyi":
        return f"Nemenyi's test: mean ranks less than {groups.distance:.3g} apart, {level}"
    return f"Wilcoxon's signed-rank tests over the tasks, {level} for all {len(groups.p)} pairs (Holm)"


def groups_content(groups: Groups) -> dict[str, Any]:
    """All numbers, for the JSON document; see `across_content`."""
    return {
        "method": groups.method,
        "groups": [list(group) for group in groups.groups],
        "alpha": groups.alpha,
        "critical_distance": finite_or_none(groups.distance),
        "p_adjusted": [{"labels": list(pair), "p": finite_or_none(p)} for pair, p in groups.p.items()],
    }
