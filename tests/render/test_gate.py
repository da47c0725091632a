"""The gate as it is shown, to the letter, and on the page of a CI run."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lehi_cli.gate import Check, parse
from lehi_cli.render.gate import gate_data, gate_part, in_one_line
from lehi_cli.render.step_summary import append_step_summary
from lehi_cli.render.terminal import print_parts
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.verdict import judge_pairs

INFINITE = Interval(-math.inf, math.inf)
SHOWN = Check(
    parse("lehi < adam @ val_loss"), "digits", "true", 6, "mean", -0.0074, Interval(-0.01, -0.0048), 0.00041,
    "shown over 6 seeds (t test, p = 0.00041)",
)  # fmt: skip
COUNTED = Check(
    parse("lehi.passes_per_step < 1.2*adam"), "digits", "false", 6, "mean", 0.05, Interval(0.05, 0.05), math.nan,
    "counted, and the same in every run",
)  # fmt: skip
SINGLE = Check(
    parse("sgd > adam"), "moons", "inconclusive", 1, "mean", 0.25, INFINITE, math.nan,
    "one seed cannot tell a difference from chance; 5 are a start",
)  # fmt: skip
WORST = Check(
    parse("sgd > adam"), "digits", "true", 8, "median", math.inf, Interval(0.3, math.inf), 0.00002, "shown over 8 seeds"
)
RATIO = Check(
    parse("lehi < adam*1.05"), "digits", "true", 6, "mean", -0.0513, Interval(-0.0834, -0.0192), 0.03,
    "shown over 6 seeds (t test, p = 0.03, one-sided; 0.12 if differences were strongly skewed)",
    is_ratio=True, price="lehi at 1.67 times adam's price",
)  # fmt: skip
NONE = Check(
    parse("sgd > adam"), "iris", "inconclusive", 0, "median", math.nan, INFINITE, math.nan,
    "no seed has anything to compare",
)  # fmt: skip


def printed(*checks: Check, width: int, terminal: bool = True) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    print_parts(console, [gate_part(checks)])
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def test_a_terminal_of_120_columns() -> None:
    assert printed(SHOWN, COUNTED, SINGLE, WORST, NONE, width=120) == WIDE


WIDE = """\
assertions  2 true, 1 false, 2 inconclusive

assertion                         task     outcome             difference [interval]   n         p
──────────────────────────────────────────────────────────────────────────────────────────────────
lehi < adam @ val_loss            digits   true           -0.0074 [-0.0100, -0.0048]   6   0.00041
lehi.passes_per_step < 1.2*adam   digits   false                                0.05   6         -
sgd > adam                        moons    inconclusive             0.25 [-inf, inf]   1         -
sgd > adam                        digits   true                       inf [0.3, inf]   8   <0.0001
sgd > adam                        iris     inconclusive                            -   0         -
difference: left side minus right, in % where the verdict is on a ratio, mean over the seeds (median where a run has no
value), with its 90 % interval, 95 % where seeds were added after a look; p: one-sided, in the direction of the
difference, so it asks for less than the two-sided verdict
lehi.passes_per_step < 1.2*adam on digits is false: counted, and the same in every run
sgd > adam on moons is inconclusive: one seed cannot tell a difference from chance; 5 are a start
sgd > adam on iris is inconclusive: no seed has anything to compare
"""


def test_a_pipe_gets_markdown() -> None:
    lines = printed(SHOWN, width=20, terminal=False).splitlines()
    assert lines[0] == "assertions  1 true"
    assert lines[4].split("|")[1:-1] == [
        " lehi < adam @ val_loss ", " digits ", " true      ", " -0.0074 [-0.0100, -0.0048] ", "   6 ", " 0.00041 "
    ]  # fmt: skip
    assert len(gate_part([SHOWN]).blocks) == 1  # nothing to say of what is true


def test_a_ratio_is_shown_in_percent_with_its_price_and_what_it_rests_on() -> None:
    (table, lines) = gate_part([RATIO]).blocks
    assert table.rows == [["lehi < adam*1.05", "digits", "true", "-5.0 % [-8.0, -1.9]", "6", "0.03"]]
    assert lines.lines == [f"lehi < adam*1.05 on digits, lehi at 1.67 times adam's price, is true: {RATIO.reason}"]


def test_a_factor_is_shown_as_one() -> None:
    (table,) = gate_part([replace(RATIO, difference=1.5, interval=Interval(1.25, 1.75), price="", reason="")]).blocks
    assert table.rows[0][3] == "x4.48 [3.49, 5.75]"


def test_the_caption_says_that_one_side_is_tested_where_the_verdict_asks_for_both() -> None:
    # Six seeds that a one-sided test finds lower and a two-sided verdict does not: both are right, each by its caption.
    shift, noise = -0.026, np.array([0.02, -0.03, 0.01, 0.0, 0.04, -0.04])
    own, other = (dict(enumerate(values)) for values in (np.exp(shift + noise), np.ones(6)))
    verdict = judge_pairs({0: Contest(own, other, Scale("ratio"))})[0]
    assert verdict.word == "inconclusive"
    assert verdict.p_adjusted / 2 < 0.05
    check = replace(RATIO, difference=verdict.difference, p=verdict.p_adjusted / 2, price="")
    (table, _) = gate_part([check]).blocks
    assert "p: one-sided" in table.caption
    assert "asks for less than the two-sided verdict" in table.caption


def test_what_is_equal_in_price_has_no_price_to_speak_of() -> None:
    assert in_one_line(replace(RATIO, price="at equal price")) == "lehi < adam*1.05 on digits is true"
    assert in_one_line(RATIO) == "lehi < adam*1.05 on digits, lehi at 1.67 times adam's price, is true"


def test_a_document_gets_all_numbers_it_can_hold() -> None:
    shown, worst = json.loads(json.dumps(gate_data([SHOWN, WORST]), allow_nan=False))
    assert shown == {
        "assertion": "lehi < adam @ val_loss",
        "task": "digits",
        "outcome": "true",
        "n": 6,
        "center": "mean",
        "difference": -0.0074,
        "interval": [-0.01, -0.0048],
        "price": "",
        "is_ratio": False,
        "p": 0.00041,
        "reason": "shown over 6 seeds (t test, p = 0.00041)",
    }
    assert (worst["difference"], worst["interval"]) == (None, [0.3, None])


def test_the_step_summary_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert append_step_summary(lambda: "## ±0") is None
    assert append_step_summary(lambda: "more\n") is None
    assert path.read_text(encoding="utf-8") == "before\n## ±0\nmore\n"


def test_without_a_file_for_the_step_summary_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert append_step_summary(lambda: "text") is None
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    assert append_step_summary(lambda: "text") is None
    assert not list(tmp_path.iterdir())


def test_a_step_summary_that_cannot_be_written_is_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "missing" / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    notice = append_step_summary(lambda: "text")
    assert notice is not None
    assert str(path) in notice.message
    assert "No such file or directory" in notice.message
    assert "GITHUB_STEP_SUMMARY" in notice.hint
