"""Optimizers over several tasks: ranks, wins and losses, which differ, and a profile of the times to target."""

from __future__ import annotations

from typing import Any

from lehi_cli.analysis.across import Across
from lehi_cli.stats.targets import Profile

from .critical_difference import critical_difference, groups_content, groups_sentence
from .document import Block, Column, Figure, Lines, Part, Table, Trace
from .numbers import compact, finite_or_none
from .standings import standings_content, standings_table

WIDEST = 12  # tasks as columns; more of them become rows
SPLIT_WORDS = {"val": "validation"}


def across_part(across: Across) -> Part:
    """Everything that is known across the tasks."""
    blocks: list[Block] = [_ranks(across), _records(across)]
    if across.standings:
        blocks.append(standings_table(across.standings, f"final {_name(across)}"))
    blocks.append(Lines(_sentences(across)))
    if across.groups:
        blocks.append(critical_difference(across.groups, across.labels, across.ranks.mean, len(across.ranks.tasks)))
    if across.profile and any(shares[-1] for shares in across.profile.shares.values()):
        blocks.append(_profile(across.profile, across.unit))
    subtitle = " · ".join(
        filter(None, (f"{len(across.labels)} optimizers", f"by mean final {_name(across)}", across.price))
    )
    return Part(f"across {len(across.ranks.tasks)} tasks", subtitle, blocks)


def _name(across: Across) -> str:
    split, metric = across.column
    return f"{SPLIT_WORDS.get(split, split)} {metric}"


def _sentences(across: Across) -> list[str]:
    lines = [_friedman(across)]
    lines += [groups_sentence(across.groups)] if across.groups else []
    return [*lines, *(across.standings.notes if across.standings else ()), *across.notes]


def _ranks(across: Across) -> Table:
    tasks, ranks = across.ranks.tasks, across.ranks.ranks
    level = "equal ones share their rank"
    if across.tolerance:
        level = f"those within {compact(100 * across.tolerance)} % of the better one share their rank"
    caption = f"rank by mean final {_name(across)} on the task's scale, {level}, an optimizer with a run that diverged "
    caption += "or failed is worst"
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
    caption = (
        "wins/ties/losses of row against column on the tasks that both have: the verdict there is better, neither, "
    )
    return Table(columns, rows, f"{caption}worse")


def _record(across: Across, one: str, other: str) -> str:
    return "-" if one == other else "/".join(map(str, across.records[one, other]))


def _friedman(across: Across) -> str:
    test = across.friedman
    if test.note:
        return f"no test of the ranks: {test.note}"
    p = "p < 0.0001" if test.p < 1e-4 else f"p = {test.p:.2g}"
    found = "differ in mean rank" if test.p < 0.05 else "show no difference in mean rank"
    freedom = len(across.labels) - 1
    return (
        f"the optimizers {found} over {len(across.ranks.tasks)} tasks "
        f"(Friedman's test, {p}, chi-square {test.statistic:.3g} of {freedom} degrees of freedom)"
    )


def _profile(profile: Profile, unit: str) -> Figure:
    end = max(2.0, 1.25 * profile.ratios[-1])  # beyond the last step, so that it is visible
    traces = [
        Trace(label, [*profile.ratios, end], [*shares, shares[-1]], style=style, kind="steps")
        for style, (label, shares) in enumerate(profile.shares.items())
    ]
    caption = (
        "share of tasks on which an optimizer reaches the target at no more than so many times the cost of the best "
        "there, by median over its runs: at 1 how often it is the best, at the right end how often it gets there "
        "(Dolan and Moré, 2002)"
    )
    title, x_label = "performance profile of the time to target", f"cost in {unit} over that of the best"
    return Figure(title, x_label, traces, caption, log_x=True, log_y=False)


def across_content(across: Across) -> dict[str, Any]:
    """All numbers, for the JSON document.

        {"tasks", "column", "ranks": [{"label", "mean", "ranks"}], "tolerance",
         "records": [{"label", "against", "wins", "ties", "losses"}], "friedman": {"statistic", "p", "note"},
         "groups": {"method", "groups": [[label, ...]], "alpha", "critical_distance",
                    "p_adjusted": [{"labels", "p"}]} or null,
         "standings": {"reference", "tasks", "change_tasks", "rows": [{"label",
                       "probability": {"value", "interval": [low, high]},
                       "change_percent": {"value", "interval"} or null}]} or null,
         "profile": {"unit", "ratios", "shares": {label: [...]}, "unsolved"} or null, "notes"}

    "column" is what is ranked, such as "val_loss". "ranks" are in the order of "tasks"; the optimizer with the lowest
    mean rank comes first, and those within "tolerance" of the better one share their rank. "groups" holds the
    optimizers that are not told apart, by "method" wilcoxon (then with "p_adjusted") or nemenyi (then with
    "critical_distance"); it is null if no difference is found. "standings" compares runs with those of "reference":
    "probability" that one ends below one of the reference, over all "tasks"; "change_percent" is the interquartile
    mean over "change_tasks".
    """
    profile = across.profile
    return {
        "tasks": list(across.ranks.tasks),
        "column": "_".join(across.column),
        "ranks": [
            {"label": label, "mean": across.ranks.mean[label], "ranks": list(across.ranks.ranks[label])}
            for label in across.labels
        ],
        "tolerance": across.tolerance,
        "records": [
            {"label": one, "against": other, **record._asdict()} for (one, other), record in across.records.items()
        ],
        "friedman": {
            "statistic": finite_or_none(across.friedman.statistic),
            "p": finite_or_none(across.friedman.p),
            "note": across.friedman.note,
        },
        "groups": across.groups and groups_content(across.groups),
        "standings": across.standings and standings_content(across.standings),
        "profile": profile
        and {
            "unit": across.unit,
            "ratios": list(profile.ratios),
            "shares": {label: list(shares) for label, shares in profile.shares.items()},
            "unsolved": list(profile.unsolved),
        },
        "notes": list(across.notes),
    }
