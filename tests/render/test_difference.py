"""Differences as text: the same number, sign and interval wherever they are told."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from judged import compared

from lehi_cli.render.difference import shown_difference, size_in_words, what_is_compared
from lehi_cli.render.verdict import verdict_table
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.verdict import UNBOUNDED, Verdict, judge_pairs

RATIO, ERRORS, PLAIN = Scale("ratio"), Scale(best=1.0), Scale("difference")
FLOOR = Scale("ratio", 0.01)


def log(*ratios: float) -> tuple[float, ...]:
    return tuple(map(math.log, ratios))


SHOWN = {
    "lower": (RATIO, log(0.944, 0.922, 0.967), "-5.6 % [-7.8, -3.3]", "5.6 % lower [3.3, 7.8]"),
    "higher": (RATIO, log(1.056, 1.033, 1.078), "5.6 % [3.3, 7.8]", "5.6 % higher [3.3, 7.8]"),
    "across 0": (RATIO, log(0.99, 0.97, 1.01), "-1.0 % [-3.0, 1.0]", "1.0 % lower [-1.0, 3.0]"),
    "many times": (RATIO, log(16.1, 15.2, 17.0), "x16.1 [15.2, 17]", "16.1 times as high [15.2, 17]"),
    "a small part": (RATIO, log(0.05, 0.04, 0.06), "-95.0 % [-96.0, -94.0]", "95.0 % lower [94.0, 96.0]"),
    "ends at 0": (RATIO, (math.log(0.97), math.log(0.94), -0.0), "-3.0 % [-6.0, 0.0]", "3.0 % lower [0.0, 6.0]"),
    "errors": (ERRORS, (-0.0037, -0.0059, -0.0015), "-0.0037 [-0.0059, -0.0015]", "0.0037 lower [0.0015, 0.0059]"),
    "values": (PLAIN, (0.25, 0.05, 0.45), "0.25 [0.05, 0.45]", "0.25 higher [0.05, 0.45]"),
    "no end": (RATIO, (math.log(0.944), *UNBOUNDED), "-5.6 %", "5.6 % lower"),
    "one end": (PLAIN, (0.5, 0.1, math.inf), "0.5", "0.5 higher"),
    "no difference": (RATIO, (0.0, 0.0, 0.0), "0 % [0, 0]", "no different"),
    "no value": (RATIO, (math.nan, *UNBOUNDED), "-", ""),
    "infinite": (RATIO, (math.inf, 0.1, math.inf), "-", ""),
}


def verdict_of(scale: Scale, difference: float, interval: Interval, center: str = "mean") -> Verdict:
    nothing = math.nan
    return Verdict(
        "inconclusive", 5, center, difference, interval, 0.0, nothing, nothing, nothing, nothing, nothing, nothing,  # type: ignore[arg-type]
        None, "", scale=scale,
    )  # fmt: skip


@pytest.mark.parametrize("case", SHOWN)
def test_tables_and_sentences_tell_the_same(case: str) -> None:
    scale, (difference, low, high), table, sentence = SHOWN[case]
    assert shown_difference(scale, difference, Interval(low, high)) == table
    assert size_in_words(verdict_of(scale, difference, Interval(low, high))) == sentence


def test_a_median_is_named() -> None:
    verdict = verdict_of(PLAIN, -0.5, Interval(-0.9, -0.1), "median")
    assert size_in_words(verdict) == "0.50 lower in the median [0.10, 0.90]"


@pytest.mark.parametrize(
    ("scale", "metric", "expected"),
    [
        (RATIO, "loss", "val loss"),
        (FLOOR, "loss", "val loss above its floor"),
        (ERRORS, "accuracy", "val error rate"),
        (Scale(best=100.0), "score", "val score missing to 100"),
        (PLAIN, "loss", "val loss"),
    ],
)
def test_what_is_compared_is_named_as_it_is_compared(scale: Scale, metric: str, expected: str) -> None:
    assert what_is_compared(scale, "val", metric) == expected


@pytest.mark.parametrize(
    ("metric", "center", "floor"), [("loss", 0.5, None), ("loss", 1.01, 1.0), ("accuracy", 0.9, None)]
)
def test_the_sign_is_that_of_the_word(metric: str, center: float, floor: float | None) -> None:
    # Negative in the table, lower in the sentence and better are one and the same, whichever way is better.
    rng, words = np.random.default_rng(8), set()
    for shift in np.linspace(-0.008, 0.008, 8):
        noise = rng.normal(0, 0.0005, (2, 6))
        comparison = compared(
            {"adam": center + noise[0], "lehi": center + shift + noise[1]},
            metric=metric,
            floor=floor,
            judge=judge_pairs,
        )
        (judgement,) = comparison.judgements
        cell, sentence = verdict_table(comparison).rows[0][2], size_in_words(judgement.verdict)
        is_lower = cell.startswith("-")
        word = judgement.verdict.word
        words.add(word)
        assert ("lower" in sentence) == is_lower
        if word in ("better", "worse"):
            assert (word == "better") == is_lower
            assert (shift > 0) == ((word == "better") == (metric == "accuracy"))
        if "lower" in sentence or "higher" in sentence:
            numbers = [set(re.findall(r"\d+(?:\.\d+)?", text)) for text in (cell, sentence)]
            assert numbers[0] == numbers[1]
    assert {"better", "worse"} <= words


def test_an_interval_that_reaches_far_is_told_in_factors() -> None:
    wide = Interval(math.log(0.01), math.log(488))
    assert shown_difference(Scale("ratio"), math.log(1.19), wide) == "x1.19 [0.01, 488]"
    narrow = Interval(math.log(0.9), math.log(1.6))
    assert shown_difference(Scale("ratio"), math.log(1.19), narrow) == "19 % [-10, 60]"
