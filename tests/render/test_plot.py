"""Figures as text: legible without colour, in few columns, and with points that are no numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from lehi_cli.render.document import Figure, Trace
from lehi_cli.render.plot import draw, legend, log_ticks, nice_ticks

STEPS = [float(step) for step in range(0, 101, 10)]
CURVES = [
    Trace("lehi", STEPS, [2.0 * math.exp(-step / 20) + 0.05 for step in STEPS], 0),
    Trace("adam", STEPS, [2.0 * math.exp(-step / 40) + 0.05 for step in STEPS], 1),
]
FLOOR = Trace("floor", [0.0, 100.0], [0.04, 0.04], "auxiliary")


def text(
    *traces: Trace, title: str = "t", x: str = "steps", width: int = 60, colored: bool = False, **more: Any
) -> str:
    return draw(Figure(title, "steps", traces, **more), width, colored)


def stripped(drawing: str) -> str:
    return "\n".join(line.rstrip() for line in drawing.splitlines())


def test_without_colour_each_curve_has_its_character() -> None:
    assert stripped(text(FLOOR, *CURVES, title="digits: training loss")) == GOLDEN


GOLDEN = """\
                    digits: training loss
    ┌──────────────────────────────────────────────────────┐
   2┤+++++                                                 │
    │   ●●+++++++++                                        │
   1┤       ●●●●●  ++++++++                                │
    │            ●●●●      ++++++++++                      │
 0.5┤                ●●●●●           +++++++++             │
    │                     ●●●●●               ++++++++++   │
 0.2┤                          ●●●●●●                   +++│
    │                                ●●●●●●                │
 0.1┤                                      ●●●●●●●●●●●     │
0.05┤                                                 ●●●●●│
    │------------------------------------------------------│
    └┬──────────────────────────┬─────────────────────────┬┘
     0                          50                      100
                            steps"""


def test_colour_is_only_used_when_there_is_some() -> None:
    plain = text(*CURVES)
    colored = text(*CURVES, colored=True)
    assert "\x1b" not in plain
    assert "\x1b[38;5;33m" in colored
    assert "\x1b[107m" not in colored  # no background of its own: the terminal may be dark


@pytest.mark.parametrize(("asked", "drawn"), [(20, 40), (60, 60), (80, 80), (300, 110)])
def test_the_width_is_kept_within_reason(asked: int, drawn: int) -> None:
    assert {len(line) for line in text(*CURVES, width=asked).splitlines()} == {drawn}


def test_points_that_are_no_numbers_are_left_out() -> None:
    empty = [Trace("empty", [], []), Trace("nan", [1.0], [math.nan])]
    assert "●" in text(Trace("wild", [0.0, 1.0, 2.0], [1.0, math.nan, math.inf]), *empty)
    assert text(*empty) == ""


@pytest.mark.parametrize(("xs", "ys"), [([5.0], [1.0]), ([0.0, 5.0], [1.0, 1.0]), ([0.0, 0.0], [0.0, 1.0])])
def test_one_point_and_one_value_can_be_drawn(xs: list[float], ys: list[float]) -> None:
    assert "●" in text(Trace("one", xs, ys))
    assert text(Trace("one", xs, ys, low=ys, high=ys), colored=True)


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0, 600, 5, [0, 200, 400, 600]),
        (0, 1000, 5, [0, 200, 400, 600, 800, 1000]),
        (0.4, 1.3, 5, [0.4, 0.6, 0.8, 1.0, 1.2]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, 5, [3]),
        (1, 8, 3, [2, 4, 6, 8]),
        (0.9, 1.6, 1, [1, 1.5]),
        (1e-13, 5e-13, 2, [2e-13, 4e-13]),
        (5e-324, 1e-323, 5, [5e-324]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert nice_ticks(low, high, count) == pytest.approx(ticks, abs=0)


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0.3, 6, 5, [0.5, 1, 2, 5]),
        (0.3, 60, 5, [1, 10]),
        (2, 6, 1, [2]),
        (3, 4, 5, [3]),
        (1, 1e19, 5, [1, 1e4, 1e8, 1e12, 1e16]),
        (1e-200, 1e308, 2, [1e-200, 1e55]),
    ],
)
def test_ticks_of_a_log_axis_are_equally_apart(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert log_ticks(low, high, count) == pytest.approx(ticks, abs=0)


def test_a_log_axis_reads_in_ones_twos_and_fives() -> None:
    drawing = text(Trace("a", [0.0, 1.0], [0.01, 1.0]))
    labels = re.findall(r"^ *([\d.]+)┤", drawing, re.MULTILINE)
    assert labels == ["1", "0.5", "0.2", "0.1", "0.05", "0.02", "0.01"]


def test_a_band_lies_under_its_line() -> None:
    wide = Trace("a", [0.0, 10.0], [5.0, 5.0], low=[0.0, 4.9], high=[10.0, 5.1])
    rows = text(wide, width=40).splitlines()
    assert rows[1 + 1].count("░") > 0  # the upper end, at the left
    assert all(row.index("░") < 20 for row in rows if "░" in row)  # it narrows to less than a row
    assert any(row.count("●") > 25 and "░" not in row for row in rows)  # the line hides the band


def test_an_infinite_end_of_a_band_is_the_end_of_the_axis() -> None:
    band = Trace("a", [1.0, 2.0, 3.0], [0.3, 0.2, 0.1], low=[-math.inf, 0.1, 0.05], high=[math.inf, 0.4, math.inf])
    assert "░" in text(band)
    assert "░" in text(band, log_y=True)
    assert "●" in text(Trace("a", band.xs, band.ys, kind="points", low=band.low, high=band.high))


def test_rows_stand_from_top_to_bottom_with_intervals_and_single_runs() -> None:
    first = Trace("lehi", [2.0], [0], 0, "points", [1.0], [3.0], [[1.5, 2.5]])
    second = Trace("adam", [8.0], [1], 1, "points", [math.nan], [math.nan], [[8.0]])
    figure = Figure("finals", "val loss", [first, second], rows=["lehi", "adam"])
    assert stripped(draw(figure, 60, colored=False)) == ROWS
    assert not legend(figure, colored=False)


ROWS = """\
                            finals
    ┌──────────────────────────────────────────────────────┐
lehi┤────·───●──·────                                      │
adam┤                                                     ●│
    └────────┬──────────────┬──────────────┬──────────────┬┘
             2              4              6              8
                           val loss"""


def test_steps_hold_their_value() -> None:
    stairs = Trace("a", [0.0, 5.0], [0.0, 1.0], kind="steps")
    rows = text(stairs, Trace("b", [10.0], [0.5], 1), width=40).splitlines()
    low = next(row for row in rows if row.startswith("  0┤"))
    assert low.count("●") > 12


def test_the_legend_names_what_is_drawn() -> None:
    shown = legend(Figure("t", "x", [CURVES[0], FLOOR, Trace("", [1.0], [1.0]), Trace("none", [], [])]), colored=False)
    assert shown.plain == "   ● lehi   - floor"
