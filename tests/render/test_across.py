"""The view across tasks as it is shown."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from stored import Curve, sections

from lehi_cli.analysis.across import Across, across
from lehi_cli.analysis.standings import Standing, Standings
from lehi_cli.render.across import across_content, across_part
from lehi_cli.render.document import Document, Figure, Lines, Table
from lehi_cli.render.html import document_to_html
from lehi_cli.render.terminal import print_parts
from lehi_cli.stats.aggregate import Aggregate
from lehi_cli.stats.groups import Groups
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.ranks import Friedman, friedman, rank_table, records
from lehi_cli.stats.targets import Profile, performance_profile

SCORES = {
    "lehi": {"t1": 0.1, "t2": 0.5, "t3": 0.2},
    "adam": {"t1": 0.2, "t2": 0.5, "t3": 0.3},
    "sgd": {"t1": 0.3, "t2": 0.4, "t3": math.inf},
}
COSTS = {"lehi": {"t1": 10.0, "t2": 40.0}, "adam": {"t1": 20.0, "t2": 20.0}, "sgd": {"t1": None, "t2": 100.0}}


def word(own: float, other: float) -> str:
    return "better" if own < other else "worse" if own > other else "inconclusive"


def view(scores: Mapping[str, Mapping[str, float]] = SCORES, profile: Profile | None = None) -> Across:
    table = rank_table(scores)
    duels = [
        {(one, other): word(scores[one][task], scores[other][task]) for one in scores for other in scores}
        for task in table.tasks
    ]
    labels = tuple(sorted(scores, key=lambda label: table.mean[label]))
    return Across(labels, table, records(duels, labels), 0.01, friedman(table), profile, "passes", ("a note",))


def test_the_tables_to_the_letter() -> None:
    part = across_part(view())
    assert (part.title, part.subtitle) == ("across 3 tasks", "3 optimizers · by mean final validation loss")
    ranks, matrix, lines = part.blocks
    assert isinstance(ranks, Table)
    assert [column.heading for column in ranks.columns] == ["optimizer", "mean rank", "t1", "t2", "t3"]
    assert ranks.rows == [
        ["lehi", "1.50*", "1*", "2.5", "1*"],
        ["adam", "2.17", "2", "2.5", "2"],
        ["sgd", "2.33", "3", "1*", "3"],
    ]
    assert isinstance(matrix, Table)
    assert [column.heading for column in matrix.columns] == ["row against column", "lehi", "adam", "sgd"]
    assert matrix.rows == [
        ["lehi", "-", "2/1/0", "2/0/1"],
        ["adam", "0/1/2", "-", "2/0/1"],
        ["sgd", "1/0/2", "1/0/2", "-"],
    ]
    assert matrix.caption == (
        "wins/ties/losses of row against column on the tasks that both have: the verdict there is better, neither, "
        "worse"
    )
    assert ranks.caption == (
        "rank by mean final validation loss on the task's scale, those within 1 % of the better one share their rank, "
        "an optimizer with a run that diverged or failed is worst, * first"
    )
    assert isinstance(lines, Lines)
    assert lines.lines == [
        "no test of the ranks: Friedman's test needs 3 methods and 5 tasks that all of them have: there are 3 and 3",
        "a note",
    ]


def test_more_tasks_than_columns_become_rows() -> None:
    scores = {name: {f"t{i}": loss for i in range(13)} for name, loss in (("adam", 0.2), ("lehi", 0.1))}
    table = across_part(view(scores)).blocks[0]
    assert isinstance(table, Table)
    assert [column.heading for column in table.columns] == ["task", "lehi", "adam"]
    assert table.rows[:2] == [["mean rank", "1.00", "2.00"], ["t0", "1", "2"]]
    assert len(table.rows) == 14


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        (
            Friedman(12.25, 0.00219),
            "the optimizers differ in mean rank over 3 tasks "
            "(Friedman's test, p = 0.0022, chi-square 12.2 of 2 degrees of freedom)",
        ),
        (
            Friedman(1.0, 0.607),
            "the optimizers show no difference in mean rank over 3 tasks "
            "(Friedman's test, p = 0.61, chi-square 1 of 2 degrees of freedom)",
        ),
        (
            Friedman(40.0, 2e-9),
            "the optimizers differ in mean rank over 3 tasks "
            "(Friedman's test, p < 0.0001, chi-square 40 of 2 degrees of freedom)",
        ),
    ],
)
def test_friedman_in_a_sentence(test: Friedman, sentence: str) -> None:
    lines = across_part(replace(view(), friedman=test)).blocks[2]
    assert isinstance(lines, Lines)
    assert lines.lines[0] == sentence


def test_the_profile_has_the_colours_of_the_ranks() -> None:
    figure = across_part(view(profile=performance_profile(COSTS))).blocks[3]
    assert isinstance(figure, Figure)
    assert (figure.log_x, figure.x_label) == (True, "cost in passes over that of the best")
    assert [(trace.label, trace.style, trace.kind) for trace in figure.traces] == [
        ("lehi", 0, "steps"), ("adam", 1, "steps"), ("sgd", 2, "steps"),
    ]  # fmt: skip
    assert [list(trace.xs) for trace in figure.traces] == [[1, 2, 5, 6.25]] * 3
    assert [list(trace.ys) for trace in figure.traces] == [[0.5, 1, 1, 1], [0.5, 1, 1, 1], [0, 0, 0.5, 0.5]]


def test_a_profile_of_nobody_is_not_drawn() -> None:
    nobody = performance_profile({name: {"t1": None, "t2": None} for name in SCORES})
    assert len(across_part(view(profile=nobody)).blocks) == 3


def test_who_is_not_told_apart_and_where_each_stands_is_shown() -> None:
    groups = Groups("nemenyi", (("adam", "sgd"),), 0.05, distance=1.1)
    row = Standing("adam", Aggregate(0.4, Interval(0.3, 0.5)), Aggregate(0.0, Interval(-0.1, 0.1)), 5)
    standings = Standings("lehi", ("t1",), ("t1",), (row,), ("a weakness",))
    shown = replace(view(), groups=groups, standings=standings, column=("test", "loss"))
    part = across_part(shown)
    assert part.subtitle == "3 optimizers · by mean final test loss"
    _, _, table, lines, figure = part.blocks
    assert isinstance(table, Table)
    assert table.rows == [["adam", "0.40 [0.30, 0.50]", "0 [-10, 11]"]]
    assert "change of the final test loss against the mean of lehi" in table.caption
    assert isinstance(lines, Lines)
    assert [line.partition(":")[0] for line in lines.lines[1:]] == ["not told apart", "a weakness", "a note"]
    assert isinstance(figure, Figure)
    assert list(figure.rows) == ["lehi", "adam", "sgd", "not told apart"]
    content = across_content(shown)
    assert (content["column"], content["groups"]["groups"]) == ("test_loss", [["adam", "sgd"]])
    assert content["standings"]["rows"][0]["label"] == "adam"


def test_the_document_has_all_numbers() -> None:
    content = json.loads(json.dumps(across_content(view(profile=performance_profile(COSTS))), allow_nan=False))
    assert content["tasks"] == ["t1", "t2", "t3"]
    assert content["ranks"][0] == {"label": "lehi", "mean": 1.5, "ranks": [1, 2.5, 1]}
    assert {"label": "lehi", "against": "adam", "wins": 2, "ties": 1, "losses": 0} in content["records"]
    assert content["friedman"]["p"] is None
    assert content["profile"]["shares"]["sgd"] == [0, 0, 0.5]
    assert (content["profile"]["unit"], content["profile"]["ratios"]) == ("passes", [1, 2, 5])
    assert (content["tolerance"], content["notes"]) == (0.01, ["a note"])
    assert content["column"] == "val_loss"
    for key in ("profile", "groups", "standings"):
        assert across_content(view())[key] is None


LOST = Curve([1.0, math.nan], "diverged")
FINE = Curve([1.0, 0.3])
BELOW = Curve([1.0, -0.3])


@pytest.mark.parametrize(
    "tasks",
    [
        {"a": {"adam": [FINE], "sgd": [FINE]}, "b": {"adam": [FINE], "sgd": [BELOW]}},
        {"a": {"adam": [LOST], "sgd": [LOST]}, "b": {"adam": [LOST], "sgd": [LOST]}},
        {"a": {"adam": [LOST] * 2, "sgd": [FINE, LOST]}, "b": {"adam": [FINE, LOST], "sgd": [LOST, FINE]}},
        {"a": {"adam": [FINE] * 3, "sgd": [LOST] * 3}, "b": {"adam": [LOST] * 3, "sgd": [FINE] * 3}},
        {"a": {"adam": [FINE], "sgd": [FINE] * 3}, "b": {"adam": [FINE] * 3, "sgd": [FINE]}, "c": {"sgd": [LOST]}},
        {f"t{i}": {"adam": [FINE], "sgd": [LOST], "lion": [LOST]} for i in range(8)},
        {f"t{i}": {"adam": [FINE], "sgd": [Curve([1.0, 0.5])], "lion": [LOST]} for i in range(8)},
    ],
    ids=["single", "all lost", "some lost", "lost by turns", "other seeds", "two lost", "apart"],
)
def test_the_worst_of_cases_is_shown_and_written(tmp_path: Path, tasks: dict[str, dict[str, list[Curve]]]) -> None:
    found = sections(tmp_path, tasks)
    shown = across(found, [None] * len(found), "passes", 0.01)
    assert shown is not None
    json.dumps(across_content(shown), allow_nan=False)
    document = Document([across_part(shown)])
    assert "nan" not in document_to_html(document)
    console = Console(width=100, file=io.StringIO())
    print_parts(console, document.parts)
