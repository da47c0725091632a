"""The critical-difference diagram and what is said of it."""

from __future__ import annotations

import json

from lehi_cli.render.critical_difference import critical_difference, groups_content, groups_sentence
from lehi_cli.render.plot import draw
from lehi_cli.render.svg import figure_to_svg
from lehi_cli.stats.groups import Groups

MEAN = {"lehi": 1.0, "adam": 2.25, "sgd": 2.5, "lion": 4.0}
NEMENYI = Groups("nemenyi", (("lehi", "adam"), ("adam", "sgd")), 0.05, distance=1.3)
WILCOXON = Groups("wilcoxon", (("adam", "sgd", "lion"),), 0.05, {("lehi", "adam"): 0.01, ("lehi", "sgd"): 0.02})


def test_a_row_per_optimizer_and_a_bar_per_group() -> None:
    figure = critical_difference(NEMENYI, list(MEAN), MEAN, 9)
    assert figure.rows == ["lehi", "adam", "sgd", "lion", "not told apart", "not told apart"]
    assert [(list(trace.xs), list(trace.ys)) for trace in figure.traces] == [
        ([1.0], [0]), ([2.25], [1]), ([2.5], [2]), ([4.0], [3]), ([1.0, 2.25], [4, 4]), ([2.25, 2.5], [5, 5]),
    ]  # fmt: skip
    bar = figure.traces[4]
    assert (bar.low[0], bar.high[0], bar.label) == (1.0, 2.25, "lehi, adam")
    assert (figure.title, figure.x_label) == ("critical-difference diagram", "mean rank")
    assert figure.caption == (
        "mean rank over 9 tasks, 1 is best; a bar joins those that are not told apart by Nemenyi's test: "
        "mean ranks less than 1.3 apart, 5 %"
    )


def test_both_writers_draw_it() -> None:
    figure = critical_difference(WILCOXON, list(MEAN), MEAN, 9)
    drawn = draw(figure, 80, colored=False).splitlines()
    assert sum("●" in line for line in drawn) == 5
    (bar,) = (line for line in drawn if line.startswith("not told apart"))
    assert bar.count("●") == 3
    assert "──" in bar
    svg = figure_to_svg(figure, "cd")
    assert svg.startswith("<svg")
    assert "not told apart" in svg


def test_the_groups_in_a_sentence() -> None:
    assert groups_sentence(NEMENYI) == (
        "not told apart: lehi, adam; adam, sgd (by Nemenyi's test: mean ranks less than 1.3 apart, 5 %)"
    )
    assert groups_sentence(WILCOXON) == (
        "not told apart: adam, sgd, lion (by Wilcoxon's signed-rank tests over the tasks, 5 % for all 2 pairs (Holm))"
    )
    assert groups_sentence(Groups("nemenyi", (), 0.05, distance=1.0)).startswith("all are told apart from each other (")


def test_the_groups_as_numbers() -> None:
    assert json.loads(json.dumps(groups_content(WILCOXON), allow_nan=False)) == {
        "method": "wilcoxon",
        "groups": [["adam", "sgd", "lion"]],
        "alpha": 0.05,
        "critical_distance": None,
        "p_adjusted": [{"labels": ["lehi", "adam"], "p": 0.01}, {"labels": ["lehi", "sgd"], "p": 0.02}],
    }
    assert groups_content(NEMENYI)["critical_distance"] == 1.3
