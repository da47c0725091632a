"""Optimizers over several tasks: ranks, wins and losses, Friedman's test, and a profile of the times to target."""

from __future__ import annotations

from typing import Any

from lehi_cli.analysis.across import Across
from lehi_cli.stats.targets import Profile

from .content import Block, Column, Figure, Lines, Part, Table, Trace
from .numbers import compact, finite

WIDEST = 12  # tasks as columns; more of them become rows


def across_part(across: Across) -> Part:
    """Everything there is to say across the tasks."""
    blocks: list[Block] = [_ranks(across), _records(across), Lines([_friedman(across), *across.notes])]
    if across.profile and any(shares[-1] for shares in across.profile.shares.values()):
        blocks.append(_profile(across.profile, across.unit))
    subtitle = f"{len(across.labels)} optimizers · by mean final validation loss"
    return Part(f"across {len(across.ranks.tasks)} tasks", subtitle, blocks)


def _ranks(across: Across) -> Table:
    tasks, ranks = across.ranks.tasks, across.ranks.ranks
    caption = "rank by mean final validation loss, equal ones share their mean rank, an optimizer with a run that "
    caption += "diverged or failed is worst"
    if len(tasks) > WIDEST:
        columns = [Column("task", right=False), *(Column(label, 1) for label in across.labels)]
        rows = [["mean rank", *(f"{across.ranks.mean[label]:.2f}" for label in across.labels)]]
        rows += [[task, *(compact(ranks[label][i]) for label in across.labels)] for i, task in enumerate(tasks)]
        return Table(columns, rows, caption)
    columns = [Column("optimizer", right=False), Column("mean rank"), *(Column(task, 1) for task in tasks)]
    lowest = min(across.ranks.mean.values())
    first = [min(own[i] for own in ranks.values()) for i in range(len(tasks))]
    rows = [
        [
            label,
            _marked(f"{across.ranks.mean[label]:.2f}", across.ranks.mean[label] == lowest),
            *(_marked(compact(rank), rank == best) for rank, best in zip(ranks[label], first, strict=True)),
        ]
        for label in across.labels
    ]
    return Table(columns, rows, f"{caption}, * first")


def _marked(text: str, is_best: bool) -> str:
    return f"{text}*" if is_best else text


def _records(across: Across) -> Table:
    columns = [Column("row against column", right=False), *(Column(label) for label in across.labels)]
    rows = [[one, *(_record(across, one, other) for other in across.labels)] for one in across.labels]
    level = f", level within {compact(100 * across.tolerance)} % of the larger loss" if across.tolerance else ""
    return Table(columns, rows, f"wins/ties/losses of row against column on the tasks that both have{level}")


def _record(across: Across, one: str, other: str) -> str:
    return "-" if one == other else "/".join(map(str, across.records[one, other]))


def _friedman(across: Across) -> str:
    test = across.friedman
    if test.note:
        return f"no test of the ranks: {test.note}"
    p = "p < 0.0001" if test.p < 1e-4 else f"p = {test.p:.2g}"
    found = "differ in mean rank" if test.p < 0.05 else "are not seen to differ in mean rank"
    freedom = len(across.labels) - 1
    return (
        f"the optimizers {found} over {len(across.ranks.tasks)} tasks "
        f"(Friedman's test, {p}, chi-square {test.statistic:.3g} of {freedom} degrees of freedom)"
    )


def _profile(profile: Profile, unit: str) -> Figure:
    end = max(2.0, 1.25 * profile.ratios[-1])  # beyond the last step, so that it is seen
    traces = [
        Trace(label, [*profile.ratios, end], [*shares, shares[-1]], style=style, kind="steps")
        for style, (label, shares) in enumerate(profile.shares.items())
    ]
    caption = (
        "share of tasks on which an optimizer gets to the target for at most so many times the cost of the best there, "
        "by median over its runs: at 1 how often it is the best, at the right end how often it gets there "
        "(Dolan and Moré, 2002)"
    )
    title, x_label = "performance profile of the time to target", f"cost in {unit} over that of the best"
    return Figure(title, x_label, traces, caption, log_x=True, log_y=False)


def across_content(across: Across) -> dict[str, Any]:
    """All numbers, for the JSON document.

        {"tasks", "ranks": [{"label", "mean", "ranks"}], "tolerance",
         "records": [{"label", "against", "wins", "ties", "losses"}], "friedman": {"statistic", "p", "note"},
         "profile": {"unit", "ratios", "shares": {label: [...]}, "unsolved"} or null, "notes"}

    "ranks" are in the order of "tasks", the optimizer of the lowest mean rank comes first.
    """
    profile = across.profile
    return {
        "tasks": list(across.ranks.tasks),
        "ranks": [
            {"label": label, "mean": across.ranks.mean[label], "ranks": list(across.ranks.ranks[label])}
            for label in across.labels
        ],
        "tolerance": across.tolerance,
        "records": [
            {"label": one, "against": other, **record._asdict()} for (one, other), record in across.records.items()
        ],
        "friedman": {
            "statistic": finite(across.friedman.statistic),
            "p": finite(across.friedman.p),
            "note": across.friedman.note,
        },
        "profile": profile
        and {
            "unit": across.unit,
            "ratios": list(profile.ratios),
            "shares": {label: list(shares) for label, shares in profile.shares.items()},
            "unsolved": list(profile.unsolved),
        },
        "notes": list(across.notes),
    }
