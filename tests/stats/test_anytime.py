"""Verdicts under peeking: against their definition, and how often they are wrong however long one goes on."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy import special, stats

from lehi_cli.errors import UsageError
from lehi_cli.stats.anytime import CONTRADICTED, SKEW_SHARE, after_first_look, judge_anytime, median_sequence
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.sequential import (
    FAILURE_SHARE,
    SIGN_SHARE,
    T_SHARE,
    confidence_sequence,
    seeds_to_settle,
    settled,
    sign_evidence,
)
from lehi_cli.stats.shape import skewed_paired_p
from lehi_cli.stats.verdict import CONTRADICTION, LATER_SHARE, REAL_BUT_WITHIN, Verdict, judge_pairs

INF, NAN = math.inf, math.nan
PLAIN = Scale(floor=0.0)  # values as they are; a margin is a share of the reference's mean
LATER = "the later seeds do not bear out what the first ones settled"
JITTER = np.array([0.010, -0.020, 0.005, 0.000, -0.010, 0.015, -0.005, 0.012])
REFERENCE = np.array([1.0, 1.2, 0.9, 1.1, 1.05, 0.95, 1.15, 1.0])


def by_seed(values: object) -> dict[int, float]:
    return dict(enumerate(np.asarray(values, dtype=float).tolist()))


def judge(own: object, other: object, margin: float = 0.01, scale: Scale = PLAIN, **options: float) -> Verdict:
    return judge_anytime({0: Contest(by_seed(own), by_seed(other), scale, margin)}, **options)[0]


def shifted(by: float) -> np.ndarray:
    return REFERENCE + by + JITTER


@pytest.mark.parametrize(
    ("shift", "margin", "scale", "word"),
    [
        (-0.2, 0.01, PLAIN, "better"),
        (-0.2, 0.01, Scale(best=2.0), "worse"),
        (0.2, 0.01, PLAIN, "worse"),
        (0.2, 0.01, Scale(best=2.0), "better"),
        (0.001, 0.05, PLAIN, "equivalent"),
        (0.001, 0.0, PLAIN, "inconclusive"),
        (0.005, 0.001, PLAIN, "inconclusive"),
    ],
)
def test_the_word(shift: float, margin: float, scale: Scale, word: str) -> None:
    found = judge(shifted(shift), REFERENCE, margin, scale)
    sign, mean = (-1, 2.0 - REFERENCE.mean()) if scale.best else (1, REFERENCE.mean())
    assert (found.word, found.method, found.n) == (word, "anytime", 8)
    assert found.difference == pytest.approx(sign * (shift + JITTER.mean()))
    assert found.margin == pytest.approx(margin * mean)
    assert found.effect_size == pytest.approx(found.difference / (shift + JITTER).std(ddof=1))


def test_how_many_seeds_would_settle_it() -> None:
    found = judge(shifted(0.005), REFERENCE, 0.001)
    sd = (0.005 + JITTER).std(ddof=1)
    assert found.word == "inconclusive"
    assert found.seeds_needed == seeds_to_settle(found.effect_size, found.margin / sd, 8)
    assert judge(shifted(-0.2), REFERENCE).seeds_needed == 8


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
    assert found.p_adjusted == pytest.approx(min(1.0, 3 / (T_SHARE * max(evidence))))
    assert found.p_skewed == pytest.approx(min(1.0, 3 * skewed_paired_p(d) / SKEW_SHARE))


def test_a_finding_that_rests_on_symmetry_says_so() -> None:
    d = JITTER + 0.019
    found = judge(REFERENCE + d, REFERENCE, 0.0)
    assert found.word == "worse"
    assert found.p_skewed > 0.05
    assert not found.stands_if_skewed()
    assert found.note == "rests on near-symmetric differences: would not stand if they were strongly skewed"
    assert judge(shifted(0.2), REFERENCE).stands_if_skewed()


def test_what_was_settled_stays_settled() -> None:
    d = [*(JITTER + 0.06), -0.3, 0.3, -0.4]  # clear at first, then noise
    own = np.array(d)
    assert settled(d[:8], 0.0) == "worse"
    assert settled(d, 0.0) is None
    found = judge(1 + own, np.ones(11), margin=0.0)
    assert (found.word, found.n) == ("worse", 11)
    assert found.p_adjusted <= 0.05
    assert found.interval == pytest.approx(confidence_sequence(d[:8], T_SHARE * 0.05))
    assert found.note.startswith(LATER)


def test_more_seeds_may_show_a_real_difference_to_lie_within_the_margin() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(0.03, 0.01, 40)
    few, many = (judge(1 + d[:n], np.ones(n), margin=0.036) for n in (8, 40))
    assert (few.word, many.word) == ("worse", "equivalent")
    assert few.note == ""
    assert many.note == "the difference is significant, but within the margin"


def test_what_looks_contradict_is_told() -> None:
    rng = np.random.default_rng(0)
    d = np.concatenate([rng.normal(-1, 0.01, 8), rng.normal(10, 0.1, 30)])
    found = judge(20 + d, np.full(38, 20.0))
    assert (found.word, found.note) == ("better", LATER)


def test_where_signs_settled_it_the_interval_is_on_their_side() -> None:
    # After a run that diverges signs count: sixteen in favour of the candidate, then forty against it.
    own = [INF, *(9 - 0.01 * i for i in range(16)), *(12 + 0.01 * i for i in range(40))]
    found = judge(own, [10.0] * 57)
    assert found.word == "better"
    assert (found.interval.high, found.difference > 0) == (0, True)
    assert LATER in found.note


def test_the_family_shares_the_level() -> None:
    alone = judge(shifted(-0.2), REFERENCE)
    contests = {i: Contest(by_seed(shifted(-0.2)), by_seed(REFERENCE), PLAIN) for i in range(4)}
    one_of_four = judge_anytime(contests)[2]
    assert one_of_four.p_adjusted == pytest.approx(4 * alone.p_adjusted)
    assert one_of_four.interval.low < alone.interval.low
    assert judge(shifted(-0.2), REFERENCE, family=4) == one_of_four
    assert judge_anytime({}) == {}


def test_what_comes_after_a_fixed_look_has_a_share_of_the_level() -> None:
    contest = Contest(by_seed(shifted(-0.2)), by_seed(REFERENCE), PLAIN)
    alone, later = judge_anytime({0: contest})[0], judge_anytime({0: contest}, shares={0: LATER_SHARE})[0]
    assert later.p_adjusted == pytest.approx(alone.p_adjusted / LATER_SHARE)
    assert later.interval.low < alone.interval.low < alone.interval.high < later.interval.high


def in_two_looks(first: np.ndarray, d: np.ndarray, margin: float = 0.01) -> Verdict:
    """A fixed look at the first of some differences, and all that follow."""

    def contest(values: np.ndarray) -> Contest:
        return Contest(by_seed(1 + values), by_seed(np.ones(len(values))), PLAIN, margin)

    later = judge_anytime({0: contest(d)}, shares={0: LATER_SHARE})[0]
    return after_first_look(judge_pairs({0: contest(first)})[0], later)


def noise(n: int, sd: float) -> np.ndarray:
    """Differences of mean exactly 0."""
    draws = np.random.default_rng(n).normal(0, sd, n)
    return draws - draws.mean()


FIVE = np.array([-1.0, 0.5, 0.8, -0.7, 0.4])
LOOKS = {
    "neither settled it": (0.1 * FIVE, noise(10, 0.1), "inconclusive", ""),
    "the later settled it": (0.1 * FIVE, 0.1 + noise(40, 0.05), "worse", ""),
    "the first settled it": (0.01 * FIVE - 0.1, np.r_[0.01 * FIVE - 0.1, 0.5, -0.5, 0.2], "better", ""),
    "both settled it": (0.01 * FIVE - 0.1, noise(20, 0.01) - 0.1, "better", ""),
    "it is equivalent after all": (0.0005 * FIVE - 0.004, noise(60, 0.002) - 0.003, "equivalent", REAL_BUT_WITHIN),
    "it was equivalent, and is real": (0.002 * FIVE + 0.001, noise(8, 0.003) + 0.007, "equivalent", REAL_BUT_WITHIN),
    "they contradict each other": (0.01 * FIVE - 0.1, np.r_[noise(60, 0.1) + 0.3], "inconclusive", CONTRADICTED),
    "the later do not bear it out": (0.01 * FIVE - 0.1, noise(30, 0.3) + 0.05, "better", LATER),
}


@pytest.mark.parametrize("case", LOOKS)
def test_a_first_look_and_those_after_it(case: str) -> None:
    first, d, word, note = LOOKS[case]
    found = in_two_looks(first, d)
    low, high = found.interval
    assert (found.word, found.method, found.n) == (word, "anytime", len(d))
    assert note in found.note
    if word in ("better", "worse"):
        assert (high <= 0) if word == "better" else (low >= 0)
    elif word == "equivalent":
        assert -found.margin < low <= high < found.margin
    else:
        assert low <= 0 <= high
    assert found.seeds_needed == found.n or word == "inconclusive"


@pytest.mark.parametrize(("seeds", "word"), [(11, "inconclusive"), (12, "worse")])
def test_a_candidate_that_always_diverges_is_judged_by_signs(seeds: int, word: str) -> None:
    found = judge([INF] * seeds, [1.0] * seeds, family=2)
    evidence = 2**seeds * special.beta(seeds + 0.5, 0.5) / special.beta(0.5, 0.5)
    assert found.p_failures == pytest.approx(2 / (0.1 * evidence))
    assert math.isnan(found.p_adjusted)  # no values to compare
    assert found.word == word
    assert found.note == "by signs, as runs without a value count as worst"


def test_evidence_beyond_every_float_settles_it() -> None:
    found = judge([INF] * 1100, [1.0] * 1100)
    assert (found.word, found.p_failures) == ("worse", 0.0)
    assert median_sequence([INF] * 1100, 0.05) == (INF, INF)


def test_who_fails_alone_more_often_is_worse_although_values_show_nothing() -> None:
    rng = np.random.default_rng(3)
    own, other = rng.normal(10, 1, (2, 30))
    own[::2] = INF
    found = judge(own, other, 0.0)
    assert found.word == "worse"
    assert found.p_adjusted > 0.05
    assert found.p_failures == pytest.approx(1 / (FAILURE_SHARE * sign_evidence(15, 0)))
    assert judge(other, own, 0.0).word == "better"


def test_who_is_better_where_runs_end_but_fails_more_often_is_neither() -> None:
    own = np.array([*(1 - np.arange(50) / 1000), *[INF] * 12])
    found = judge(own, np.full(62, 1.1))
    assert (found.word, found.note.count(CONTRADICTION[0])) == ("inconclusive", 1)
    turned = judge(np.full(62, 1.1), own)
    assert (turned.word, turned.note.count(CONTRADICTION[1])) == ("inconclusive", 1)


def test_failures_settled_once_stay_settled() -> None:
    own, other = [INF] * 14 + [1.0] * 14, [1.0] * 14 + [INF] * 14
    found = judge(own, other)
    assert (found.word, found.failures.excess) == ("worse", 0)
    assert LATER in found.note


def test_failures_at_the_same_seeds_are_not_tested() -> None:
    found = judge([INF, *shifted(0.001)], [INF, *REFERENCE], 0.05)
    assert found.word == "equivalent"
    assert math.isnan(found.p_failures)


def test_one_failure_alone_is_no_part_of_equivalence() -> None:
    own, other = np.full(40, 1.001), np.full(40, 1.0)
    assert judge(own, other).word == "equivalent"
    own[3] = INF
    assert judge(own, other).word == "inconclusive"


def test_one_run_that_diverges_ends_the_time_of_t() -> None:
    own = shifted(-0.2)
    assert judge(own, REFERENCE).word == "better"
    own[7] = NAN
    found = judge(own, REFERENCE)
    assert (found.word, found.center, found.interval) == ("inconclusive", "median", (-INF, INF))
    assert (found.failures.own, found.failures.n) == (1, 8)


UNCLEAR = {
    "no seed": ([], [], "inconclusive", NAN, "no pair of runs"),
    "one seed": ([0.5], [1.0], "inconclusive", 1.0, "one pair has no spread"),
    "both diverge at every seed": ([INF] * 30, [NAN] * 30, "inconclusive", NAN, "no run of either ended with a value"),
    "identical, few": ([1.0, 2.0], [1.0, 2.0], "inconclusive", 1.0, "identical at every seed"),
    "identical, ten": ([1.0, 2.0] * 5, [1.0, 2.0] * 5, "inconclusive", 1.0, "identical at every seed"),
    "identical, enough": ([1.0, 2.0] * 6, [1.0, 2.0] * 6, "equivalent", 1.0, "identical at every seed"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_said(case: str) -> None:
    own, other, word, p, note = UNCLEAR[case]
    found = judge(own, other)
    assert found.word == word
    assert found.p_adjusted == pytest.approx(p, nan_ok=True)
    assert note in found.note


def test_seeds_that_only_one_has_are_no_matter() -> None:
    own, other = by_seed(shifted(-0.2)), by_seed(REFERENCE)
    more = other | {20: 5.0, 21: 6.0}
    assert judge_anytime({0: Contest(own, more)}) == judge_anytime({0: Contest(own, other)})


def test_the_order_of_the_looks_is_that_of_the_seeds() -> None:
    own, other = by_seed(shifted(0.02)), by_seed(REFERENCE)
    turned = dict(reversed(own.items()))
    assert judge_anytime({0: Contest(turned, other)}) == judge_anytime({0: Contest(own, other)})


def test_seeds_that_were_looked_at_before_come_first() -> None:
    d = np.array([*(JITTER + 0.06), -0.3, 0.3, -0.4])
    own, other = by_seed(1 + d), by_seed(np.ones(11))
    assert judge_anytime({0: Contest(own, other, PLAIN, 0.0)})[0].word == "worse"
    late = Contest(own, other, PLAIN, 0.0, first=[8, 9, 10])
    assert judge_anytime({0: late})[0].word == "inconclusive"


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
        judge([], [], **options)  # type: ignore[arg-type]


def test_thousands_of_seeds_overflow_nothing() -> None:
    d = np.random.default_rng(1).normal(5.0, 1.0, 400)
    assert judge(10 + d, np.full(400, 10.0)).p_adjusted == pytest.approx(0.0, abs=1e-200)


def test_false_verdicts_stay_rare_over_all_looks_and_intervals_hold_together() -> None:
    # 400 families of three without a difference, looked at up to 20 times: 5 % and two standard errors.
    rng = np.random.default_rng(20)
    wrong = missed = 0
    for _ in range(400):
        values = rng.normal(10, 1, (6, 20))
        contests = {i: Contest(by_seed(values[i]), by_seed(values[i + 3]), PLAIN, 0.0) for i in range(3)}
        found = judge_anytime(contests).values()
        wrong += any(verdict.word in ("better", "worse") for verdict in found)
        missed += any(not verdict.interval.low <= 0 <= verdict.interval.high for verdict in found)
        assert all((verdict.p_adjusted <= 0.05) == (verdict.word != "inconclusive") for verdict in found)
    assert wrong / 400 <= 0.05 + 2 * 0.0109
    assert missed / 400 <= 0.05 + 2 * 0.0109


def test_false_verdicts_stay_rare_where_both_sides_fail() -> None:
    rng = np.random.default_rng(22)
    wrong = 0
    for _ in range(300):
        values = np.where(rng.random((2, 30)) < 0.2, INF, rng.normal(10, 1, (2, 30)))
        wrong += judge(values[0], values[1], 0.0).word in ("better", "worse")
    assert wrong / 300 <= 0.05


def test_a_first_look_and_all_that_follow_are_rarely_wrong_together() -> None:
    # Five seeds as fixed; where they do not settle it up to fifteen more, judged with what is left of the level.
    rng = np.random.default_rng(23)
    wrong = 0
    for _ in range(600):
        own, other = rng.normal(10, 1, (2, 20))
        first = Contest(by_seed(own[:5]), by_seed(other[:5]), PLAIN, 0.0)
        word = judge_pairs({0: first})[0].word
        if word == "inconclusive":
            later = Contest(by_seed(own), by_seed(other), PLAIN, 0.0)
            word = judge_anytime({0: later}, shares={0: LATER_SHARE})[0].word
        wrong += word in ("better", "worse")
    assert wrong / 600 <= 0.05 + 2 * 0.0089


def test_the_interval_excludes_0_exactly_where_values_decide() -> None:
    rng = np.random.default_rng(24)
    words = Counter()
    for _ in range(400):
        n, effect = int(rng.integers(1, 25)), rng.choice([0.0, 1.0, -1.0, 3.0, -3.0])
        own, other = rng.normal(10 + effect, 1, n), rng.normal(10, 1, n)
        for side in (own, other):
            side[rng.random(n) < rng.choice([0.0, 0.0, 0.1, 0.5])] = INF
        margin = float(rng.choice([0.0, 0.1, 0.3]))
        found = judge(own, other, margin, family=int(rng.integers(1, 4)))
        low, high = found.interval
        by_failures = found.p_failures <= 0.05
        words[found.word, by_failures] += 1
        if found.word in ("better", "worse") and not by_failures:
            assert (high <= 0) if found.word == "better" else (low >= 0)
            assert found.p_adjusted <= 0.05
        elif found.word == "equivalent":
            assert -found.margin < low <= high < found.margin
        elif not by_failures:
            assert low <= 0 <= high
    assert min(words[word, False] for word in ("better", "worse", "inconclusive")) > 20
    assert words["equivalent", False] > 5
    assert words["better", True] + words["worse", True] > 5


def test_a_clear_difference_is_found_with_few_seeds() -> None:
    rng = np.random.default_rng(21)
    found = [judge(rng.normal(8, 1, 20), np.full(20, 10.0), margin=0.0).word for _ in range(200)]
    assert found.count("better") >= 198
    assert "worse" not in found


def test_all_ways_share_the_level() -> None:
    assert pytest.approx(1.0) == T_SHARE + SIGN_SHARE + FAILURE_SHARE
