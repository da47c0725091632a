"""The verdict, to the letter."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from judged import compared
from rich.console import Console

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.analysis.margins import Margins, parse_margins
from lehi_cli.render.document import Lines, Part, Table
from lehi_cli.render.terminal import print_parts
from lehi_cli.render.verdict import failure_lines, going_on, notes, verdict_blocks, verdict_table
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.verdict import OTHER_SEEDS, Verdict, judge_pairs, without_word

INF = math.inf
LOSSES = {
    "lehi": [0.1420, 0.1446, 0.1402, 0.1371, 0.1467, 0.1415],
    "adam": [0.1344, 0.1325, 0.1340, 0.1297, 0.1420, 0.1351],
    "twin": [0.1421, 0.1445, 0.1403, 0.1370, 0.1466, 0.1417],
    "near": [0.1425, 0.1430, 0.1400, 0.1381, 0.1455, 0.1414],
    "wild": [INF] * 6,
}
Judge = Callable[..., dict[str, Verdict]]


@pytest.fixture(autouse=True)
def _one_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of alpha a first look has is not the matter here, but every number depends on it."""
    monkeypatch.setattr("lehi_cli.stats.verdict.FIRST_SHARE", 0.9)


def found(labels: Sequence[str], seeds: int = 6, **options: object) -> Comparison:
    """These against lehi."""
    return compared({label: LOSSES[label][:seeds] for label in ("lehi", *labels)}, **options)  # type: ignore[arg-type]


def printed(comparison: Comparison, width: int, full: bool = False, terminal: bool = True) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    print_parts(console, [Part("digits", "", verdict_blocks(comparison, full))])
    _, _, *lines = stream.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def test_a_terminal_of_80_columns() -> None:
    assert printed(found(["adam", "twin", "wild"], notes=["wild, seed 7: pruned; left out of the pairs"]), 80) == NARROW


NARROW = """\
optimizer, metric   verdict      difference [interval]        p   seeds
───────────────────────────────────────────────────────────────────────
adam, val loss      better         -5.2 % [-7.8, -2.6]   0.0019       6
twin, val loss      equivalent    0.01 % [-0.13, 0.15]     0.85       6
wild, val loss      worse                            -        -       6
difference to lehi, negative is better than lehi; interval 95 %, all 3 together;
p: chance of a difference like this where there is none, adjusted for 3
comparisons (Holm) and later looks; equivalent: within 1 % of lehi
wild, seed 7: pruned; left out of the pairs
wild: by ranks, as runs without a value count as worst
wild: 6 of 6 [54 to 100 %] runs failed, lehi: 0 of 6 [0 to 46 %], p = 0.0016
correlation with lehi over the seeds, and what pairing did to the variance: adam
0.79 (variance x0.23), twin 1.00 (variance x0.00079)
"""


def test_a_terminal_of_120_columns_has_one_table_with_all_there_is_to_know() -> None:
    assert printed(found(["adam", "twin", "wild"]), 120, full=True) == WIDE


WIDE = """\
optimizer, metric   verdict      difference [interval]        p   effect   detectable   seeds
─────────────────────────────────────────────────────────────────────────────────────────────
adam, val loss      better         -5.2 % [-7.8, -2.6]   0.0019    -2.90        3.6 %       6
twin, val loss      equivalent    0.01 % [-0.13, 0.15]     0.85     0.13       0.18 %       6
wild, val loss      worse                            -        -        -            -       6
difference to lehi, negative is better than lehi; interval 95 %, all 3 together; p: chance of a difference like this
where there is none, adjusted for 3 comparisons (Holm) and later looks; equivalent: within 1 % of lehi; effect in
standard deviations; detectable: found with probability 80 %
wild: by ranks, as runs without a value count as worst
wild: 6 of 6 [54 to 100 %] runs failed, lehi: 0 of 6 [0 to 46 %], p = 0.0016
correlation with lehi over the seeds, and what pairing did to the variance: adam 0.79 (variance x0.23), twin 1.00
(variance x0.00079)
adam, val loss: unadjusted p by t 0.00086, Wilcoxon 0.031; if strongly skewed 0.046
twin, val loss: unadjusted p by t 0.76, Wilcoxon 0.69; if strongly skewed 1
"""


def test_where_seeds_were_added_nothing_is_said_that_holds_for_one_look() -> None:
    comparison = found(["adam", "twin", "wild"], notes=["seeds were added"], judge=judge_anytime)
    assert printed(comparison, 120) == ADDED


ADDED = """\
optimizer, metric   verdict        difference [interval]       p   seeds
────────────────────────────────────────────────────────────────────────
adam, val loss      inconclusive     -5.2 % [-10.4, 0.2]   0.056       6
twin, val loss      equivalent      0.01 % [-0.27, 0.29]       1       6
wild, val loss      inconclusive                       -       -       6
difference to lehi, negative is better than lehi; interval 95 %, all 3 together, and p, however often one looks;
equivalent: within 1 % of lehi
seeds were added
wild: by signs, as runs without a value count as worst
wild: 6 of 6 [54 to 100 %] runs failed, lehi: 0 of 6 [0 to 46 %], p = 1
not decided: --seeds auto goes on from here, and allows for having looked
correlation with lehi over the seeds, and what pairing did to the variance: adam 0.79 (variance x0.23), twin 1.00
(variance x0.00079)
"""


def with_needed(seeds: int | None, method: str = "fixed", n: int = 6) -> Comparison:
    """Of one that is not decided, and would be at so many seeds."""

    def judge(contests: dict[str, Contest]) -> dict[str, Verdict]:
        return {
            key: replace(verdict, seeds_needed=seeds, method=method, n=n)
            for key, verdict in judge_pairs(contests).items()
        }

    return found(["near"], judge=judge)


@pytest.mark.parametrize(
    ("needed", "n", "flag"),
    [(12, 6, "--seeds auto"), (20, 6, "--seeds auto"), (21, 6, "--seeds auto:21"), (30, 40, "--seeds auto:41")],
)
def test_where_it_is_not_settled_it_is_told_how_to_go_on(needed: int, n: int, flag: str) -> None:
    (line,) = going_on(with_needed(needed, n=n))
    assert line == f"not decided: {flag} goes on from here, and allows for having looked"


def test_where_more_seeds_would_not_help_nothing_is_told_to_go_on() -> None:
    assert going_on(with_needed(None)) == []
    assert going_on(with_needed(12, "refused")) == []
    assert going_on(found(["adam", "twin"])) == []


def test_failures_are_told_with_the_interval_of_their_share() -> None:
    (line,) = failure_lines(compared({"adam": [0.5] * 20, "lehi": [0.5] * 18 + [INF] * 2}))
    assert line.startswith("lehi: 2 of 20 [1 to 32 %] runs failed, adam: 0 of 20 [0 to 17 %], p = ")
    assert failure_lines(found(["adam"])) == []
    (alike,) = failure_lines(compared({"adam": [0.5, 0.6, INF], "lehi": [0.4, 0.5, INF]}))
    assert alike == "lehi: 1 of 3 [1 to 91 %] runs failed, adam: 1 of 3 [1 to 91 %]"


def test_another_split_and_metric_are_named() -> None:
    comparison = compared(
        {"adam": [0.951, 0.952, 0.950], "lehi": [0.955, 0.957, 0.953]}, metric="accuracy", split="test"
    )
    assert verdict_table(comparison).rows[0][0] == "lehi, test error rate"


def test_what_is_not_at_equal_price_says_so_in_a_column_of_its_own() -> None:
    table = verdict_table(found(["adam", "twin"], prices={"adam": 5 / 3}))
    assert [column.heading for column in table.columns][4:] == ["at the price of", "seeds"]
    assert [row[4] for row in table.rows] == ["1.67 lehi", "1 lehi"]
    assert "at the price of" not in [column.heading for column in verdict_table(found(["adam"])).columns]
    unknown = verdict_table(found(["adam"], prices={"adam": math.nan}))
    assert unknown.rows[0][4] == "?"


@pytest.mark.parametrize("center", [0.0, -2.0])
def test_where_a_share_of_the_reference_means_nothing_it_is_told_that_there_is_no_margin(center: float) -> None:
    comparison = compared(
        {"adam": [center + v for v in (0.1, -0.1, 0.02)], "lehi": [center + v for v in (0.2, 0, 0.1)]}
    )
    assert "lehi: no margin: a share of values that may be 0 or negative means nothing" in notes(comparison)
    assert "equivalent" not in verdict_table(comparison).caption
    without = compared({"adam": [-1.0, 1.0, 2.0], "lehi": [0.0, 1.0, 2.5]}, margins=Margins(0.0))
    assert not any("no margin" in note for note in notes(without))


def test_margins_are_told_by_metric_where_they_differ() -> None:
    margins = parse_margins("0.02,accuracy=0.05")
    loss, accuracy = (
        compared({"adam": [0.4, 0.5, 0.45], "lehi": [0.41, 0.5, 0.44]}, metric=metric, margins=margins).judgements[0]
        for metric in ("loss", "accuracy")
    )
    comparison = found(["adam"], margins=margins)
    assert "equivalent: within 2 % of lehi" in verdict_table(comparison).caption
    both = Comparison("adam", margins, 2, [loss, accuracy], [], {"lehi": comparison.prices["adam"]})
    assert "equivalent: within 2 % (loss), 5 % (accuracy) of adam" in verdict_table(both).caption


def test_a_note_is_told_once_of_all_it_is_about() -> None:
    def noted(label: str, metric: str, note: str) -> Judgement:
        (own,) = found(["adam"]).judgements
        return Judgement(label, metric, replace(own.verdict, note=note))

    rows = [
        noted("adam", "loss", "one; two"), noted("adam", "accuracy", "one"),
        noted("sgd", "loss", "two"), noted("sgd", "accuracy", ""),
    ]  # fmt: skip
    comparison = Comparison("lehi", Margins(), 4, rows, ["first of all"])
    assert notes(comparison) == ["first of all", "adam: one", "adam, val loss; sgd, val loss: two"]


def test_a_refused_verdict_says_why() -> None:
    def refused(contests: dict[str, Contest]) -> dict[str, Verdict]:
        return {key: without_word(verdict, OTHER_SEEDS) for key, verdict in judge_pairs(contests).items()}

    comparison = found(["adam"], judge=refused)
    assert verdict_table(comparison).rows[0][1:4] == ["inconclusive", "-5.22 %", "-"]
    assert f"adam: {OTHER_SEEDS}" in notes(comparison)


def test_a_pipe_gets_markdown() -> None:
    lines = printed(found(["adam"]), 20, terminal=False).splitlines()
    header, _, row = (line for line in lines if line.startswith("|"))
    assert [cell.strip() for cell in header.split("|")[1:-1]] == [
        "optimizer, metric", "verdict", "difference [interval]", "p", "seeds"
    ]  # fmt: skip
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "adam, val loss", "better", "-5.2 % [-7.1, -3.3]", "0.00095", "6"
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [0, 1])
def test_a_single_seed_has_no_table(seeds: int) -> None:
    blocks = verdict_blocks(found(["adam", "twin"], seeds, notes=["adam, seed 3: pruned; left out of the pairs"]))
    assert not any(isinstance(block, Table) for block in blocks)
    assert [line for block in blocks if isinstance(block, Lines) for line in block.lines] == [
        "adam, seed 3: pruned; left out of the pairs"
    ]


def test_a_whole_family_shares_the_level() -> None:
    alone, four = verdict_table(found(["adam"])), verdict_table(found(["adam"], judge=partial(judge_pairs, family=4)))
    assert (alone.rows[0][2], four.rows[0][2]) == ("-5.2 % [-7.1, -3.3]", "-5.2 % [-8.0, -2.4]")
