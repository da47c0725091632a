"""Verdicts: what they say where it is clear, where it is not, and how often they are wrong."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from lehi_cli.errors import UsageError
from lehi_cli.stats.contest import BySeed, Contest
from lehi_cli.stats.failures import failure_p
from lehi_cli.stats.paired import holm, t_interval, t_test
from lehi_cli.stats.power import t_power
from lehi_cli.stats.scale import Scale, scale_of
from lehi_cli.stats.verdict import (
    CONTRADICTION,
    FIRST_SHARE,
    OTHER_SEEDS,
    REAL_BUT_WITHIN,
    UNBOUNDED,
    Verdict,
    family_size,
    judge_pairs,
    without_word,
)

INF, NAN = math.inf, math.nan
PLAIN = Scale(floor=0.0)  # values as they are; a margin is a share of the reference's mean
REFERENCE = [1.0, 1.2, 0.9, 1.1, 1.05, 0.95, 1.15, 1.0]
JITTER = np.array([0.01, -0.02, 0.005, 0.0, -0.01, 0.015, -0.005, 0.012])


def by_seed(values: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(map(float, values)))


def judge(
    candidate: BySeed, reference: BySeed, scale: Scale = PLAIN, margin: float = 0.01, **options: float
) -> Verdict:
    return judge_pairs({"": Contest(candidate, reference, scale, margin)}, **options)[""]


def judge_all(
    candidates: Mapping[object, BySeed], reference: BySeed, margin: float = 0.01, **options: float
) -> dict[object, Verdict]:
    return judge_pairs({label: Contest(own, reference, PLAIN, margin) for label, own in candidates.items()}, **options)


def shifted(by: float) -> dict[int, float]:
    return by_seed(np.array(REFERENCE) + by + JITTER)


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
    found = judge(shifted(shift), by_seed(REFERENCE), scale, margin)
    mean = np.mean(REFERENCE)
    assert found.word == word
    assert found.difference == pytest.approx((shift + JITTER.mean()) * (-1 if scale.best else 1))
    assert found.interval.low < found.difference < found.interval.high
    assert found.margin == pytest.approx(margin * (scale.best - mean if scale.best else mean))
    assert found.seeds_needed is None or found.seeds_needed >= found.n
    assert (found.method, found.scale, found.note) == ("fixed", scale, "")


def test_a_real_difference_within_the_margin_is_equivalent_and_said_to_be_real() -> None:
    found = judge(shifted(0.03), by_seed(REFERENCE), margin=0.1)
    assert (found.word, found.note) == ("equivalent", "the difference is significant, but within the margin")
    assert found.p_adjusted < 0.05
    assert 0 < found.interval.low < found.interval.high < found.margin


# --- the scale, and what a share of the reference means on it --------------------------------------------------------


def test_an_accuracy_is_judged_by_its_errors() -> None:
    # 0.3 % of the accuracy is 8 % of the errors.
    noise = [0.0004, -0.0003, 0.0001, -0.0002, 0.0002]
    own, other = (by_seed([center + by for by in own]) for center, own in ((0.9550, noise), (0.9513, noise[::-1])))
    found = judge(own, other, scale_of([*own.values(), *other.values()], best=1.0))
    assert found.word == "better"
    assert found.difference == pytest.approx(-0.0037)
    assert found.interval.high < 0
    assert judge(own, other).word == "equivalent"  # on a scale that takes a share of the accuracy itself


def test_a_loss_is_judged_by_its_distance_to_the_floor() -> None:
    # 2.7 times the distance, although the losses themselves differ by 0.2 %.
    own, other = by_seed([1.0027, 1.0028, 1.0026, 1.0029, 1.0027]), by_seed([1.0010, 1.0011, 1.0010, 1.0009, 1.0010])
    scale = scale_of([*own.values(), *other.values()], 1.0)
    found = judge(own, other, scale)
    assert found.word == "worse"
    assert math.exp(found.difference) == pytest.approx(2.7, rel=0.05)
    assert judge(own, other).word == "equivalent"  # on a scale that does not know the floor


@pytest.mark.parametrize(("center", "spread"), [(0.0, 0.1), (-2.0, 0.001)])
def test_where_the_reference_may_be_0_or_negative_there_is_no_margin(center: float, spread: float) -> None:
    noise = np.random.default_rng(5).normal(0, spread, (2, 8))
    own, other = by_seed(center + noise[0]), by_seed(center + noise[1])
    scale = scale_of([*own.values(), *other.values()])
    found = judge(own, other, scale)
    assert (found.word, found.margin, scale.has_margin) == ("inconclusive", 0.0, False)


# --- what is unclear -------------------------------------------------------------------------------------------------

UNCLEAR = {
    "one seed": ([0.5], [1.0], "inconclusive", None, "one pair has no spread"),
    "no seed": ([], [], "inconclusive", None, "no pair of runs"),
    "one seed, diverged": ([NAN], [1.0], "inconclusive", None, "by ranks, as runs without a value count as worst"),
    "both diverge at every seed": ([INF] * 8, [NAN] * 8, "inconclusive", None, "no run of either ended with a value"),
    "candidate diverges at every seed": (
        [INF] * 8,
        [1.0] * 8,
        "worse",
        8,
        "by ranks, as runs without a value count as worst",
    ),
    "reference diverges at every seed": (
        [1.0] * 8,
        [NAN] * 8,
        "better",
        8,
        "by ranks, as runs without a value count as worst",
    ),
    "diverges at three of three seeds": (
        [INF] * 3,
        [1.0] * 3,
        "worse",
        3,
        "by ranks, as runs without a value count as worst",
    ),
    "diverges at two of two seeds": (
        [INF] * 2,
        [1.0] * 2,
        "inconclusive",
        None,
        "by ranks, as runs without a value count as worst",
    ),
    "identical, few": ([1.0, 2.0], [1.0, 2.0], "inconclusive", None, "by ranks 2 seeds cannot decide this, 5 can"),
    "identical, enough": ([1.0, 2.0, 3.0] * 2, [1.0, 2.0, 3.0] * 2, "equivalent", 6, "identical at every seed"),
    "same difference, few": ([0.5] * 3, [1.0] * 3, "inconclusive", None, "by ranks 3 seeds cannot decide this, 6 can"),
    "same difference, enough": ([0.5] * 6, [1.0] * 6, "better", 6, "the same difference at every seed"),
    "by t, few": ([0.5, 0.62, 0.39], [1.0, 1.0, 1.0], "better", 3, "rests on near-symmetric differences: p = "),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_said(case: str) -> None:
    candidate, reference, word, seeds, note = UNCLEAR[case]
    found = judge(by_seed(candidate), by_seed(reference))
    assert (found.word, found.seeds_needed) == (word, seeds)
    assert note in found.note


def test_what_is_decided_is_not_said_to_be_undecidable() -> None:
    for own, other, word in (
        ([1.0, 2.0, 3.0, 1.5, 2.5], [1.0, 2.0, 3.0, 1.5, 2.5], "equivalent"),
        ([INF] * 5 + [1.0], [1.0, 1.1, 1.2, 1.3, 0.9, 1.0], "worse"),
    ):
        found = judge(by_seed(own), by_seed(other))
        assert found.word == word
        assert "cannot decide" not in found.note


def test_one_diverged_run_is_counted_against_the_candidate() -> None:
    candidate = shifted(-0.2)
    found = judge(candidate, by_seed(REFERENCE))
    candidate[3] = INF
    with_failure = judge(candidate, by_seed(REFERENCE))
    assert (found.word, with_failure.word) == ("better", "inconclusive")
    assert with_failure.center == "median"
    assert (with_failure.failures.own, with_failure.failures.n) == (1, 8)


def test_an_outlier_is_named() -> None:
    candidate = shifted(-0.2)
    candidate[5] = 9.0
    found = judge(candidate, by_seed(REFERENCE))
    assert "seed 5 lies far from the others, so the t test may mislead" in found.note


def test_only_seeds_of_both_are_compared_and_the_rest_named() -> None:
    found = judge({1: 0.5, 2: 0.6, 3: 0.4, 9: 7.0}, {1: 1.0, 2: 1.3, 3: 1.1, 4: 5.0})
    assert found.n == 3
    assert found.note.startswith("seeds 4, 9 are not in both and left out")


def test_seeds_that_were_looked_at_come_first() -> None:
    contest = Contest({1: 0.1, 2: 0.2, 3: 0.3, 9: 0.9}, {1: 1.0, 2: 2.0, 3: 3.0, 5: 5.0}, PLAIN, first=[3, 7, 1])
    assert (contest.seeds, contest.own, contest.left_out) == ([3, 1, 2], [0.3, 0.1, 0.2], [5, 9])
    assert contest.within(1) == pytest.approx(0.03)


def test_inconclusive_says_what_could_be_seen_and_how_many_seeds_would_do() -> None:
    rng = np.random.default_rng(0)
    found = judge(by_seed(rng.normal(0.3, 1, 6) + 10), by_seed([10.0] * 6))
    assert found.word == "inconclusive"
    assert found.seeds_needed is not None
    assert found.seeds_needed > 6
    sd = found.difference / found.effect_size
    assert t_power(found.detectable / sd, 6, FIRST_SHARE * 0.05) == pytest.approx(0.8, abs=1e-6)


def test_what_pairing_gained_is_told() -> None:
    found = judge(shifted(-0.2), by_seed(REFERENCE))
    own, other = (np.array(list(values.values())) for values in (shifted(-0.2), by_seed(REFERENCE)))
    assert found.correlation == pytest.approx(np.corrcoef(own, other)[0, 1])
    assert found.variance_ratio == pytest.approx(np.var(own - other) / (np.var(own) + np.var(other)))
    assert found.variance_ratio < 0.05


# --- runs that fail --------------------------------------------------------------------------------------------------


def test_three_failures_of_three_are_worse() -> None:
    found = judge(by_seed([INF] * 3), by_seed([0.5, 0.52, 0.51]))
    assert found.word == "worse"
    assert found.failures.p == pytest.approx(1 / 32)
    assert found.p_failures == pytest.approx(1 / 32 / FIRST_SHARE)
    assert math.isnan(found.p_adjusted)
    assert found.interval == UNBOUNDED


def twenty(center: float, lost: int = 0) -> dict[int, float]:
    """Values around a center, of which the last ones are lost."""
    noise = np.random.default_rng(lost).normal(0, 0.002, 20)
    return by_seed([*(center + noise)[: 20 - lost], *[INF] * lost])


def test_failures_of_one_side_alone_are_no_part_of_equivalence() -> None:
    whole, losing, other = twenty(1.0), twenty(1.0, lost=2), twenty(1.0)
    assert judge(whole, other).word == "equivalent"
    found = judge(losing, other)
    assert found.word == "inconclusive"
    assert (found.failures.own, found.failures.other, found.failures.n) == (2, 0, 20)
    assert found.p_failures == pytest.approx(failure_p(2, 0, 20) / FIRST_SHARE)
    assert (found.failures.own, found.failures.n) == (2, 20)


def test_failures_at_the_same_seeds_leave_equivalence() -> None:
    found = judge(twenty(1.0, lost=2), twenty(1.0, lost=2) | {0: 1.0001})
    assert found.word == "equivalent"
    assert math.isnan(found.p_failures)


def test_who_is_better_where_runs_end_but_fails_more_often_is_neither() -> None:
    own, other = by_seed([*(1 - np.arange(53) / 1000), *[INF] * 7]), by_seed([1.1] * 60)
    found = judge(own, other)
    assert (found.word, found.note.count(CONTRADICTION[0])) == ("inconclusive", 1)
    turned = judge(other, own)
    assert (turned.word, turned.note.count(CONTRADICTION[1])) == ("inconclusive", 1)


def test_ranks_that_only_count_failures_say_nothing_about_values() -> None:
    # Where both end the candidate is slightly worse; by ranks it is better, because the reference fails so often.
    own, other = by_seed([*(1.001 + np.arange(21) / 10000), *[0.9] * 19]), by_seed([*[1.0] * 21, *[INF] * 19])
    found = judge(own, other)
    assert (found.word, found.p_failures < 1e-4) == ("better", True)
    assert found.difference > 0
    assert found.interval.low <= 0 <= found.difference <= found.interval.high
    assert math.isnan(found.p_skewed)
    assert "symmetric" not in found.note


def test_failures_are_tested_once_for_contests_of_the_same_runs() -> None:
    loss = Contest(by_seed([INF] * 4), by_seed([0.5] * 4), PLAIN, runs="lehi")
    accuracy = Contest(by_seed([INF] * 4), by_seed([0.9] * 4), Scale(best=1.0), runs="lehi")
    apart = dataclasses.replace(accuracy, runs=None)
    assert family_size([loss, accuracy]) == 1
    assert family_size([loss, apart]) == 2
    together, separate = judge_pairs({0: loss, 1: accuracy}), judge_pairs({0: loss, 1: apart})
    assert together[0].p_failures == together[1].p_failures == pytest.approx(loss.failures.p / FIRST_SHARE)
    assert separate[0].p_failures == pytest.approx(2 * loss.failures.p / FIRST_SHARE)


# --- families --------------------------------------------------------------------------------------------------------


def test_several_candidates_share_the_level() -> None:
    alone = judge(shifted(-0.2), by_seed(REFERENCE), margin=0.0)
    found = judge_all({"a": shifted(-0.2), "b": shifted(0.001), "c": shifted(0.2)}, by_seed(REFERENCE), margin=0.0)
    assert {key: verdict.word for key, verdict in found.items()} == {"a": "better", "b": "inconclusive", "c": "worse"}
    by_hand = holm([found[key].p_t / FIRST_SHARE for key in "abc"])
    assert [found[key].p_adjusted for key in "abc"] == pytest.approx(by_hand)
    assert found["a"].p_t == alone.p_t
    assert found["a"].detectable > alone.detectable
    assert judge_all({}, by_seed(REFERENCE)) == {}


def test_intervals_are_at_the_level_of_the_family() -> None:
    d = np.array(list(shifted(-0.2).values())) - np.array(REFERENCE)
    for family in (1, 4):
        found = judge(shifted(-0.2), by_seed(REFERENCE), family=family)
        assert found.interval == pytest.approx(t_interval(d, 1 - FIRST_SHARE * 0.05 / family))


def test_an_interval_ends_at_0_where_the_family_finds_what_it_alone_would_not() -> None:
    strong, weak = shifted(-0.2), by_seed(np.array(REFERENCE) - 0.012 + JITTER)
    both = judge_all({"strong": strong, "weak": weak}, by_seed(REFERENCE), margin=0.0)
    assert both["weak"].word == "better"
    assert (both["weak"].interval.high, math.copysign(1, both["weak"].interval.high)) == (0, -1)
    d = np.array(list(weak.values())) - np.array(REFERENCE)
    assert t_interval(d, 1 - FIRST_SHARE * 0.05 / 2).high > 0


def test_a_contest_in_which_nothing_can_be_found_takes_no_level() -> None:
    nothing = {"one seed": {0: 1.0}, "no seed": {}, "lost": by_seed([INF] * 8)}
    reference = by_seed(REFERENCE)
    assert family_size([Contest(own, reference) for own in nothing.values()]) == 1  # that all were lost
    assert family_size([Contest({0: 1.0}, reference), Contest({}, reference)]) == 0
    alone = judge(shifted(-0.2), reference)
    found = judge_all({"a": shifted(-0.2), "one seed": {0: 1.0}, "no seed": {}}, reference)
    assert found["a"] == alone


def test_pairs_with_references_of_their_own() -> None:
    found = judge_pairs(
        {
            ("digits", "a"): Contest(shifted(-0.2), by_seed(REFERENCE), PLAIN),
            ("ptb", "a"): Contest(shifted(0.2), {}, PLAIN),
        }
    )
    assert found["digits", "a"].word == "better"
    assert found["ptb", "a"].n == 0


def test_a_verdict_is_frozen_and_plain_data() -> None:
    found = judge(shifted(-0.2), by_seed(REFERENCE))
    assert dataclasses.asdict(found)["word"] == "better"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.word = "worse"  # type: ignore[misc]


def test_without_a_rule_only_what_was_measured_is_left() -> None:
    whole = judge(shifted(0.03) | {9: 1.0}, by_seed(REFERENCE), margin=0.1)
    assert REAL_BUT_WITHIN in whole.note
    found = without_word(whole, OTHER_SEEDS)
    assert (found.word, found.method, found.interval) == ("inconclusive", "refused", UNBOUNDED)
    assert (found.difference, found.n, found.seeds_needed) == (whole.difference, 8, None)
    assert all(math.isnan(p) for p in (found.p_t, found.p_adjusted, found.p_equivalent, found.p_skewed))
    assert found.note == f"{OTHER_SEEDS}; seed 9 is not in both and left out"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"margin": -0.1}, "margin is -0.1"), ({"margin": NAN}, "margin is nan"), ({"alpha": 5}, "alpha is 5")],
)
def test_bad_arguments_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judge({}, {}, **options)


# --- under chance ----------------------------------------------------------------------------------------------------


def drawn(rng: np.random.Generator) -> dict[int, Contest]:
    """A family of contests of every kind: effects of any size, runs that fail, scales, margins, few and many seeds."""
    contests = {}
    for i in range(rng.integers(1, 6)):
        n = int(rng.integers(2, 16))
        common, effect = rng.normal(0, 1, n), rng.choice([0.0, 0.5, 1.5, -1.5, 4.0, -4.0])
        logs = [common, common + rng.normal(0.2 * effect, 0.2, n)]
        own, other = (10 * np.exp(0.1 * side) for side in logs)
        for side in (own, other):
            side[rng.random(n) < rng.choice([0.0, 0.0, 0.1, 0.5])] = INF
        scale = [Scale("ratio"), PLAIN, Scale("difference"), Scale(best=30.0)][rng.integers(4)]
        contests[i] = Contest(by_seed(own), by_seed(other), scale, float(rng.choice([0.0, 0.01, 0.1])))
    return contests


def test_the_interval_excludes_0_exactly_where_values_decide() -> None:
    rng, words = np.random.default_rng(13), Counter()
    for _ in range(1500):
        for contest, found in (
            (contests[i], found) for contests in [drawn(rng)] for i, found in judge_pairs(contests).items()
        ):
            low, high = found.interval
            by_failures = found.p_failures <= 0.05
            words[found.word, by_failures] += 1
            if found.word in ("better", "worse") and not by_failures:
                assert (high <= 0) if found.word == "better" else (low >= 0)
                assert (found.difference < 0) == (found.word == "better")
                assert found.p_adjusted <= 0.05
            elif found.word == "equivalent":
                is_identical = contest.own == contest.other
                assert is_identical or -found.margin < low <= found.difference <= high < found.margin
            elif found.word == "inconclusive" and not by_failures:
                assert low <= 0 <= high
                assert not found.p_adjusted <= 0.05
            if low > 0 or high < 0:
                assert found.p_adjusted <= 0.05
            assert math.isnan(found.difference) or low <= found.difference <= high or low == -INF
    assert min(words[word, False] for word in ("better", "worse", "equivalent", "inconclusive")) > 50
    assert min(words[word, True] for word in ("better", "worse")) > 10


def words(rng: np.random.Generator, repeats: int, effect: float, n: int, candidates: int = 1, **options) -> list:
    """Verdicts on candidates that differ from the reference by `effect` standard deviations of the difference."""
    found: list[list[Verdict]] = []
    for _ in range(repeats):
        reference = rng.normal(10, 1, n)
        series = {i: by_seed(reference + rng.normal(effect, 1, n)) for i in range(candidates)}
        found.append(list(judge_all(series, by_seed(reference), **options).values()))
    return found


def test_false_verdicts_are_as_rare_as_they_say() -> None:
    # 1,000 families of three without any difference: 5 % and two standard errors.
    found = words(np.random.default_rng(10), 1000, 0.0, 5, 3, margin=0.0)
    assert np.mean([any(v.word in ("better", "worse") for v in family) for family in found]) <= 0.05 + 2 * 0.0069
    assert np.mean([any(v.interval.low > 0 or v.interval.high < 0 for v in family) for family in found]) <= 0.064


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_false_verdicts_are_rare_where_both_sides_fail(rate: float) -> None:
    rng, wrong = np.random.default_rng(14), 0
    for _ in range(600):
        values = np.where(rng.random((3, 8)) < rate, INF, rng.normal(10, 1, (3, 8)))
        found = judge_all({i: by_seed(values[i]) for i in (1, 2)}, by_seed(values[0]), margin=0.0)
        wrong += any(verdict.word in ("better", "worse") for verdict in found.values())
    assert wrong / 600 <= 0.05 + 2 * 0.0089


def test_differences_are_found_as_often_as_predicted() -> None:
    found = words(np.random.default_rng(11), 500, -1.0, 10, margin=0.0)
    predicted = t_power(1.0, 10, FIRST_SHARE * 0.05)
    assert np.mean([v.word == "better" for (v,) in found]) == pytest.approx(predicted, abs=0.05)
    assert not any(v.word == "worse" for (v,) in found)


def test_intervals_of_a_family_hold_together() -> None:
    found = words(np.random.default_rng(15), 1000, 0.7, 8, 3, margin=0.0)
    missed = [any(not v.interval.low <= 0.7 <= v.interval.high for v in family) for family in found]
    assert np.mean(missed) <= 0.05 + 2 * 0.0069


def test_differences_at_the_margin_are_rarely_called_equivalent() -> None:
    found = words(np.random.default_rng(12), 500, 1.0, 12, margin=0.1)  # the mean is 10, so the margin is 1
    assert np.mean([v.word == "equivalent" for (v,) in found]) <= 0.05 + 2 * 0.0097


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_few_runs_that_agree_do_not_show_equivalence(n: int) -> None:
    # Differences of which most are small and a few are large: their mean lies at the margin, not within it.
    rng, called, by_t = np.random.default_rng(16), 0, 0
    for _ in range(800):
        d = 0.1 * rng.exponential(size=n)
        found = judge(by_seed(10.0 + d), by_seed([10.0] * n))
        called += found.word == "equivalent"
        by_t += max(t_test(d, "less", 0.1), t_test(d, "greater", -0.1)) <= 0.05
    assert called / 800 <= 0.05 + 2 * 0.0077
    assert by_t / 800 > 0.1
