"""Curves: legible without colour, in few columns, and with points that are no numbers."""

from __future__ import annotations

import math
import re

import pytest

from lehi_cli.render.curves import draw
from lehi_cli.render.plot import nice_ticks

STEPS = [float(step) for step in range(0, 101, 10)]
CURVES = [
    ("lehi", STEPS, [2.0 * math.exp(-step / 20) + 0.05 for step in STEPS]),
    ("adam", STEPS, [2.0 * math.exp(-step / 40) + 0.05 for step in STEPS]),
]


def test_without_colour_each_curve_has_its_character() -> None:
    drawing = draw(CURVES, "digits: training loss", "steps", 60, colored=False, floor=0.04)
    lines = [line.rstrip() for line in drawing.splitlines()]
    assert "\n".join(lines) == GOLDEN


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
    plain = draw(CURVES, "t", "steps", 60, colored=False)
    colored = draw(CURVES, "t", "steps", 60, colored=True)
    assert "\x1b" not in plain
    assert "\x1b[38;5;33m" in colored
    assert "\x1b[107m" not in colored  # no background of its own: the terminal may be dark


@pytest.mark.parametrize(("asked", "drawn"), [(20, 40), (60, 60), (80, 80), (300, 110)])
def test_the_width_is_kept_within_reason(asked: int, drawn: int) -> None:
    assert {len(line) for line in draw(CURVES, "t", "steps", asked, colored=False).splitlines()} == {drawn}


def test_points_that_are_no_numbers_are_left_out() -> None:
    broken = [("wild", [0.0, 1.0, 2.0], [1.0, math.nan, math.inf]), ("empty", [], []), ("nan", [1.0], [math.nan])]
    assert "●" in draw(broken, "t", "steps", 60, colored=False)
    assert draw(broken[1:], "t", "steps", 60, colored=False) == ""


def test_one_point_and_one_value_can_be_drawn() -> None:
    assert "●" in draw([("one", [5.0], [1.0])], "t", "steps", 60, colored=False)
    assert "●" in draw([("flat", [0.0, 5.0], [1.0, 1.0])], "t", "steps", 60, colored=False)
    assert "●" in draw([("zero", [0.0, 0.0], [0.0, 1.0])], "t", "seconds", 60, colored=False)


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0, 600, 5, [0, 200, 400, 600]),
        (0, 1000, 5, [0, 200, 400, 600, 800, 1000]),
        (0.4, 1.3, 5, [0.4, 0.6, 0.8, 1.0, 1.2]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, 5, [3]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert nice_ticks(low, high, count) == pytest.approx(ticks)


def test_a_log_axis_reads_in_ones_twos_and_fives() -> None:
    drawing = draw([("a", [0.0, 1.0], [0.01, 1.0])], "t", "steps", 60, colored=False)
    labels = re.findall(r"^ *([\d.]+)┤", drawing, re.MULTILINE)
    assert labels == ["1", "0.5", "0.2", "0.1", "0.05", "0.02", "0.01"]
