"""Verdicts under peeking: against their definition, and how often they are wrong however long one goes on."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import special, stats

from lehi_cli.errors import UsageError
from lehi_cli.stats.anytime import judge_anytime, median_sequence
from lehi_cli.stats.sequential import T_SHARE, confidence_sequence, settled
from lehi_cli.stats.verdict import Verdict

INF, NAN = math.inf, math.nan
JITTER = np.array([0.010, -0.020, 0.005, 0.000, -0.010, 0.015, -0.005, 0.012])
REFERENCE = np.array([1.0, 1.2, 0.9, 1.1, 1.05, 0.95, 1.15, 1.0])


def by_seed(values: object) -> dict[int, float]:
    return dict(enumerate(np.asarray(values, dtype=float).tolist()))


def judge(own: object, other: object, **options: object) -> Verdict:
    return judge_anytime({0: (by_seed(own), by_seed(other))}, **options)[0]  # type: ignore[arg-type]


def shifted(by: float) -> np.ndarray:
    return REFERENCE + by + JITTER


@pytest.mark.parametrize(
    ("shift", "margin", "minimize", "word"),
    [
        (-0.2, 0.01, True, "better"),
        (-0.2, 0.01, False, "worse"),
        (0.2, 0.01, True, "worse"),
        (0.2, 0.01, False, "better"),
        (0.001, 0.05, True, "equivalent"),
        (0.001, 0.0, True, "inconclusive"),
        (0.005, 0.001, True, "inconclusive"),
    ],
)
def test_the_word(shift: float, margin: float, minimize: bool, word: str) -> None:
    found = judge(shifted(shift), REFERENCE, margin=margin, minimize=minimize)
    assert (found.word, found.method, found.n) == (word, "anytime", 8)
    assert found.seeds_needed == (None if word == "inconclusive" else 8)
    assert found.difference == pytest.approx(shift + JITTER.mean())
    assert found.margin == pytest.approx(margin * REFERENCE.mean())
    assert found.effect_size == pytest.approx(found.difference / (shift + JITTER).std(ddof=1))


def test_what_holds_for_one_look_is_not_given() -> None:
    found = judge(shifted(-0.2), REFERENCE)
    assert all(math.isnan(value) for value in (found.p_t, found.p_wilcoxon, found.p_equivalent, found.detectable))


def test_the_p_value_is_the_smallest_of_the_looks_times_the_family() -> None:
    d = JITTER + 0.02
    d[7] = -0.01  # the last look has less evidence than the one before
    evidence = []
    for n in range(2, 9):
        t = stats.ttest_1samp(d[:n], 0.0).statistic
        r = 1 + 2.0 * n
        ratio = (1 + t**2 / (n - 1)) / (1 + t**2 / ((n - 1) * r))
        evidence.append(ratio ** (n / 2) / math.sqrt(r))
    assert max(evidence) == evidence[-2]
    found = judge(REFERENCE + d, REFERENCE, margin=0.0, family=3)
    assert found.p_adjusted == pytest.approx(min(1.0, 3 / (0.8 * max(evidence))))


def test_what_was_settled_stays_settled() -> None:
    d = [*(JITTER + 0.06), -0.3, 0.3, -0.4]  # clear at first, then noise
    own = np.array(d)
    assert settled(d[:8], 0.0) == "worse"
    assert settled(d, 0.0) is None
    found = judge(1 + own, np.ones(11), margin=0.0)
    assert (found.word, found.n) == ("worse", 11)
    assert found.p_adjusted <= 0.05
    assert found.interval == pytest.approx(confidence_sequence(d[:8], T_SHARE * 0.05))
    assert found.note == "the later seeds do not bear out what the first ones settled"


def test_more_seeds_may_show_a_real_difference_to_lie_within_the_margin() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(0.03, 0.01, 40)
    few, many = (judge(1 + d[:n], np.ones(n), margin=0.036) for n in (8, 40))
    assert (few.word, many.word) == ("worse", "equivalent")
    assert few.note == ""
    assert many.note == "the difference is significant, but within the margin"


def test_the_family_shares_the_level() -> None:
    alone = judge(shifted(-0.2), REFERENCE)
    pairs = {i: (by_seed(shifted(-0.2)), by_seed(REFERENCE)) for i in range(4)}
    one_of_four = judge_anytime(pairs)[2]
    assert one_of_four.p_adjusted == pytest.approx(4 * alone.p_adjusted)
    assert one_of_four.interval.low < alone.interval.low
    assert judge(shifted(-0.2), REFERENCE, family=4) == one_of_four
    assert judge_anytime({}) == {}


@pytest.mark.parametrize("seeds", [8, 11])
def test_a_candidate_that_always_diverges_is_judged_by_signs(seeds: int) -> None:
    found = judge([INF] * seeds, [1.0] * seeds, family=2)
    evidence = 2**seeds * special.beta(seeds + 0.5, 0.5) / special.beta(0.5, 0.5)
    assert found.p_adjusted == pytest.approx(2 / (0.2 * evidence))
    assert found.word == ("worse" if seeds == 11 else "inconclusive")
    assert found.interval == ((INF, INF) if seeds == 11 else (-INF, INF))
    assert found.note.endswith("worst; by signs, not means")


def test_one_run_that_diverges_ends_the_time_of_t() -> None:
    own = shifted(-0.2)
    assert judge(own, REFERENCE).word == "better"
    own[7] = NAN
    found = judge(own, REFERENCE)
    assert (found.word, found.center, found.interval) == ("inconclusive", "median", (-INF, INF))
    assert "1 of 8 candidate" in found.note


UNCLEAR = {
    "no seed": ([], [], "inconclusive", 1.0, "no pair of runs"),
    "one seed": ([0.5], [1.0], "inconclusive", 1.0, "one pair has no spread"),
    "both diverge at every seed": ([INF] * 30, [NAN] * 30, "inconclusive", 1.0, "no run of either ended with a value"),
    "identical, few": ([1.0, 2.0], [1.0, 2.0], "inconclusive", 1.0, "identical at every seed"),
    "identical, enough": ([1.0, 2.0] * 5, [1.0, 2.0] * 5, "equivalent", 1.0, "identical at every seed"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_said(case: str) -> None:
    own, other, word, p, note = UNCLEAR[case]
    found = judge(own, other)
    assert (found.word, found.p_adjusted) == (word, p)
    assert note in found.note


def test_seeds_that_only_one_has_are_no_matter() -> None:
    own, other = by_seed(shifted(-0.2)), by_seed(REFERENCE)
    assert judge_anytime({0: (own, other | {20: 5.0, 21: 6.0})}) == judge_anytime({0: (own, other)})


def test_the_order_of_the_looks_is_that_of_the_seeds() -> None:
    own, other = by_seed(shifted(0.02)), by_seed(REFERENCE)
    turned = dict(reversed(own.items()))
    assert judge_anytime({0: (turned, other)}) == judge_anytime({0: (own, other)})


@pytest.mark.parametrize("n", [4, 9, 10, 25])
def test_the_interval_of_the_median_is_where_signs_do_not_speak_against_it(n: int) -> None:
    d = np.random.default_rng(n).normal(size=n).tolist()
    low, high = median_sequence(d, 0.05)
    edges = sorted(d)
    for center in [edges[0] - 1, *((a + b) / 2 for a, b in pairwise(edges)), edges[-1] + 1]:
        above = sum(x > center for x in d)
        evidence = 2**n * special.beta(above + 0.5, n - above + 0.5) / math.pi
        assert (low < center < high) == (evidence < 20)


@pytest.mark.parametrize(
    ("options", "message"), [({"margin": -0.1}, "margin is -0.1"), ({"alpha": 0.0}, "alpha is 0.0")]
)
def test_bad_arguments_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judge([], [], **options)


def test_thousands_of_seeds_overflow_nothing() -> None:
    d = np.random.default_rng(1).normal(5.0, 1.0, 400)
    assert judge(10 + d, np.full(400, 10.0)).p_adjusted == pytest.approx(0.0, abs=1e-200)


def test_false_verdicts_stay_rare_over_all_looks_and_intervals_hold_together() -> None:
    # 400 families of three without a difference, looked at up to 20 times: 5 % and two standard errors.
    rng = np.random.default_rng(20)
    wrong = missed = 0
    for _ in range(400):
        pairs = {i: (by_seed(rng.normal(10, 1, 20)), by_seed(rng.normal(10, 1, 20))) for i in range(3)}
        found = judge_anytime(pairs, margin=0.0).values()
        wrong += any(verdict.word in ("better", "worse") for verdict in found)
        missed += any(not verdict.interval.low <= 0 <= verdict.interval.high for verdict in found)
        assert all((verdict.p_adjusted <= 0.05) == (verdict.word != "inconclusive") for verdict in found)
    assert wrong / 400 <= 0.05 + 2 * 0.0109
    assert missed / 400 <= 0.05 + 2 * 0.0109


def test_a_clear_difference_is_found_with_few_seeds() -> None:
    rng = np.random.default_rng(21)
    found = [judge(rng.normal(8, 1, 20), np.full(20, 10.0), margin=0.0).word for _ in range(200)]
    assert found.count("better") >= 198
    assert "worse" not in found
