"""The answer of a comparison, to the letter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from judged import compared

from lehi_cli.render.answer import answer_lines, failures_in_words, p_in_words
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.failures import Failures
from lehi_cli.stats.verdict import OTHER_SEEDS, Verdict, judge_pairs, without_word

INF = math.inf
LEHI = [0.1420, 0.1446, 0.1402, 0.1371, 0.1467, 0.1415]
ADAM = [0.1344, 0.1325, 0.1340, 0.1297, 0.1420, 0.1351]
TWIN = [0.1421, 0.1445, 0.1403, 0.1370, 0.1466, 0.1417]
NEAR = [0.1425, 0.1430, 0.1400, 0.1381, 0.1455, 0.1414]


@pytest.fixture(autouse=True)
def _one_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of alpha a first look has is not the matter here, but every number depends on it."""
    monkeypatch.setattr("lehi_cli.stats.verdict.FIRST_SHARE", 0.9)


def answer(values: dict[str, list[float]], tuned: str = "untuned", **options: object) -> str:
    (line,) = answer_lines(compared(values, **options), "digits", tuned)  # type: ignore[arg-type]
    return line


ANSWERS = {
    "better": (
        {"lehi": LEHI, "adam": ADAM}, {},
        "adam is better than lehi on digits: val loss 5.2 % lower [3.3, 7.1], 6 seeds, at equal price, untuned",
    ),
    "worse": (
        {"adam": ADAM, "lehi": LEHI}, {},
        "lehi is worse than adam on digits: val loss 5.5 % higher [3.4, 7.7], 6 seeds, at equal price, untuned",
    ),
    "equivalent": (
        {"lehi": LEHI, "twin": TWIN}, {},
        "twin and lehi are equivalent on digits: "
        "val loss 0.01 % higher [-0.09, 0.11], 6 seeds, at equal price, untuned",
    ),
    "not decided": (
        {"lehi": LEHI, "near": NEAR}, {},
        "not decided between near and lehi on digits: val loss 0.18 % lower [-0.58, 0.93], 6 seeds, at equal price, "
        "untuned; about 16 seeds would settle it",
    ),
    "at another price": (
        {"lehi": LEHI, "adam": ADAM}, {"prices": {"adam": 5 / 3}},
        "adam is better than lehi on digits: "
        "val loss 5.2 % lower [3.3, 7.1], 6 seeds, at 1.67 times lehi's price, untuned",
    ),
    "at a price nobody knows": (
        {"lehi": LEHI, "adam": ADAM}, {"prices": {"adam": math.nan}},
        "adam is better than lehi on digits: val loss 5.2 % lower [3.3, 7.1], 6 seeds, at an unknown price, untuned",
    ),
    "all lost": (
        {"adam": ADAM, "wild": [INF] * 6}, {},
        "wild is worse than adam on digits: val loss by ranks, because some runs have no value, "
        "6 of 6 runs of wild failed (adam: 0), 6 seeds, at equal price, untuned",
    ),
    "three of three": (
        {"adam": ADAM[:3], "wild": [INF] * 3}, {},
        "wild is worse than adam on digits: val loss by ranks, because some runs have no value, "
        "3 of 3 runs of wild failed (adam: 0), 3 seeds, at equal price, untuned",
    ),
    "both lost": (
        {"adam": [INF] * 6, "wild": [INF] * 6}, {},
        "not decided between wild and adam on digits: no values to compare, "
        "6 of 6 runs of wild failed (adam: 6), 6 seeds, at equal price, untuned",
    ),
    "an accuracy": (
        {"adam": [0.9511, 0.9514, 0.9513, 0.9512, 0.9515], "lehi": [0.9550, 0.9548, 0.9551, 0.9552, 0.9549]},
        {"metric": "accuracy", "split": "test"},
        "lehi is better than adam on digits: test error rate 0.00370 lower [0.00334, 0.00406], 5 seeds, "
        "at equal price, untuned",
    ),
    "a distance to a floor": (
        {"adam": [1.0010, 1.0011, 1.0010, 1.0009, 1.0010], "lehi": [1.0027, 1.0028, 1.0026, 1.0029, 1.0027]},
        {"floor": 1.0},
        "lehi is worse than adam on digits: val loss above its floor 2.74 times as high [2.43, 3.09], 5 seeds, "
        "at equal price, untuned",
    ),
    "many": (
        {"lehi": LEHI, "adam": ADAM, "wild": [INF] * 6, "twin": TWIN, "near": NEAR}, {},
        "against lehi on digits: better adam (-5.2 %); worse wild (6 of 6 runs failed); equivalent twin (0.01 %); "
        "not decided near (-0.2 %); val loss, 6 seeds, all at equal price, untuned",
    ),
    "many at several prices": (
        {"lehi": LEHI, "adam": ADAM, "big": [10 * value for value in NEAR]}, {"prices": {"big": 2.0}},
        "against lehi on digits: better adam (-5.2 %); worse big (x9.98); "
        "val loss, 6 seeds, big at 2 times lehi's price, untuned",
    ),
    "one seed": (
        {"lehi": LEHI[:1], "adam": ADAM[:1]}, {},
        "no verdict: one seed cannot tell a difference from chance; 5 are a start (--seeds 5)",
    ),
    "no seed": (
        {"lehi": [], "adam": []}, {},
        "no verdict: no other optimizer has a seed in common with lehi",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer(case: str) -> None:
    values, options, expected = ANSWERS[case]
    assert answer(values, **options) == expected


def test_how_settings_were_come_by_is_told() -> None:
    assert answer({"lehi": LEHI, "adam": ADAM}, "each tuned with 16 trials").endswith(
        "at equal price, each tuned with 16 trials"
    )


def twenty(center: float, lost: int = 0) -> list[float]:
    draws = np.random.default_rng(lost).normal(0, 0.002, 20)
    return [*(center + draws)[: 20 - lost].tolist(), *[INF] * lost]


@pytest.mark.parametrize(("center", "others"), [(0.5, {}), (0.4, {}), (0.5, {"sgd": 0.6}), (0.4, {"sgd": 0.6})])
def test_two_of_twenty_that_diverge_are_never_passed_over(center: float, others: dict[str, float]) -> None:
    values = {"adam": twenty(0.5), "lehi": twenty(center, lost=2), **{key: twenty(own) for key, own in others.items()}}
    comparison = compared(values)
    verdict = comparison.by_label()["lehi"][0].verdict
    (line,) = answer_lines(comparison, "digits", "untuned")
    assert verdict.word != "equivalent"
    assert "2 of 20 runs" in line
    assert verdict.word == ("better" if center < 0.5 else "inconclusive")
    assert ("not decided" in line) == (center == 0.5)


def test_earlier_looks_at_other_seeds_are_told() -> None:
    def refused(contests: dict[str, Contest]) -> dict[str, Verdict]:
        return {key: without_word(verdict, OTHER_SEEDS) for key, verdict in judge_pairs(contests).items()}

    assert answer({"lehi": LEHI, "adam": ADAM}, judge=refused) == (
        "not decided between adam and lehi on digits: "
        "val loss 5.22 % lower, 6 seeds, at equal price, untuned; looked at before with other seeds"
    )


def test_failures_in_words() -> None:
    assert failures_in_words(Failures(2, 0, 20, 2, 0), "lehi", "adam") == "2 of 20 runs of lehi failed (adam: 0)"
    assert failures_in_words(Failures(0, 0, 20, 0, 0), "lehi", "adam") == ""


@pytest.mark.parametrize(("p", "expected"), [(0.012, "p = 0.012"), (1e-9, "p < 0.0001"), (1.0, "p = 1")])
def test_p_in_words(p: float, expected: str) -> None:
    assert p_in_words(p) == expected
