"""Tables and numbers, to the letter."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from lehi_cli.render.document import Column, Table
from lehi_cli.render.numbers import compact, with_spread
from lehi_cli.render.table import print_table
from lehi_cli.stats import Estimate

TABLE = Table(
    [Column("optimizer", right=False), Column("n"), Column("val loss"), Column("steps", 1), Column("status", 1)],
    [["lehi", "3", "0.0821±0.0032*", "600", "ok"], ["adam:lr=0.01", "2/3", "0.1", "600", "2 ok, 1 diverged"]],
    "mean over n seeds",
)


def printed(width: int, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    print_table(console, TABLE)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def test_a_wide_terminal_gets_one_table() -> None:
    assert printed(80, terminal=True) == (
        """\
optimizer        n         val loss   steps             status
──────────────────────────────────────────────────────────────
lehi             3   0.0821±0.0032*     600                 ok
adam:lr=0.01   2/3              0.1     600   2 ok, 1 diverged
mean over n seeds"""
    )


def test_a_narrow_terminal_gets_the_parts_below_each_other() -> None:
    assert printed(50, terminal=True) == (
        """\
optimizer        n         val loss
───────────────────────────────────
lehi             3   0.0821±0.0032*
adam:lr=0.01   2/3              0.1

optimizer      steps             status
───────────────────────────────────────
lehi             600                 ok
adam:lr=0.01     600   2 ok, 1 diverged
mean over n seeds"""
    )


def test_a_pipe_gets_markdown() -> None:
    assert printed(20, terminal=False) == (
        """\
| optimizer    |   n |       val loss |   steps |           status |
|--------------|-----|----------------|---------|------------------|
| lehi         |   3 | 0.0821±0.0032* |     600 |               ok |
| adam:lr=0.01 | 2/3 |            0.1 |     600 | 2 ok, 1 diverged |
mean over n seeds"""
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Estimate(0.08213, 0.00321, 3), "0.0821±0.0032"),
        (Estimate(2.5, 0.31, 3), "2.50±0.31"),
        (Estimate(150.3, 12.0, 3), "150±12"),
        (Estimate(0.5, 0.0, 3), "0.5±0"),
        (Estimate(0.08213, math.nan, 1), "0.08213"),
        (Estimate(math.nan, math.nan, 0), "-"),
        (Estimate(1.0, 1e-9, 3), "1±1e-09"),
        (Estimate(2.313412341, 3.1e-8, 3), "2.313412341±3.1e-08"),
        (Estimate(2.3e-8, 1.2e-9, 3), "2.3e-08±1.2e-09"),
        (Estimate(0.0, 1.2e-9, 3), "0±1.2e-09"),
        (Estimate(1.5e6, 2.5e6, 3), "1.5e+06±2.5e+06"),
    ],
)
def test_means_have_the_digits_their_spread_allows(value: Estimate, text: str) -> None:
    assert with_spread(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(600.0, "600"), (0.082134, "0.08213"), (1.2e-7, "1.2e-07"), (math.inf, "-"), (1e9, "1e+09")]
)
def test_single_numbers_are_short(value: float, text: str) -> None:
    assert compact(value) == text
