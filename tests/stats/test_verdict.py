"""Verdicts: what they say where it is clear, where it is not, and how often they are wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest

from lehi_cli.errors import UsageError
from lehi_cli.stats.power import t_power
from lehi_cli.stats.verdict import BySeed, Verdict, judge_pairs

INF, NAN = math.inf, math.nan
REFERENCE = [1.0, 1.2, 0.9, 1.1, 1.05, 0.95, 1.15, 1.0]
JITTER = np.array([0.01, -0.02, 0.005, 0.0, -0.01, 0.015, -0.005, 0.012])


def by_seed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def judge(candidate: BySeed, reference: BySeed, **options: object) -> Verdict:
    return judge_all({"": candidate}, reference, **options)[""]


def judge_all(candidates: Mapping[str, BySeed], reference: BySeed, **options: object) -> dict[str, Verdict]:
    return judge_pairs({label: (own, reference) for label, own in candidates.items()}, **options)


def shifted(by: float) -> dict[int, float]:
    return by_seed((np.array(REFERENCE) + by + JITTER).tolist())


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
    found = judge(shifted(shift), by_seed(REFERENCE), margin=margin, minimize=minimize)
    assert found.word == word
    assert found.difference == pytest.approx(shift + JITTER.mean())
    assert found.interval.low < found.difference < found.interval.high
    assert found.margin == pytest.approx(margin * np.mean(REFERENCE))
    assert found.seeds_needed is None or found.seeds_needed >= found.n
    assert found.note == ""


def test_a_real_difference_within_the_margin_is_equivalent_and_said_to_be_real() -> None:
    found = judge(shifted(0.03), by_seed(REFERENCE), margin=0.1)
    assert (found.word, found.note) == ("equivalent", "the difference is significant, but within the margin")
    assert found.p_adjusted < 0.05


UNCLEAR = {
    "one seed": (
        [0.5],
        [1.0],
        "inconclusive",
        None,
        "one pair has no spread; by ranks 1 seed cannot go below p = 1, 6 can reach 0.05",
    ),
    "no seed": ([], [], "inconclusive", None, "no pair of runs"),
    "one seed, diverged": ([NAN], [1.0], "inconclusive", 6, "worst; by ranks"),
    "both diverge at every seed": ([INF] * 8, [NAN] * 8, "inconclusive", None, "no run of either ended with a value"),
    "candidate diverges at every seed": ([INF] * 8, [1.0] * 8, "worse", 8, "8 of 8 candidate and 0 of 8 reference"),
    "reference diverges at every seed": ([1.0] * 8, [NAN] * 8, "better", 8, "0 of 8 candidate and 8 of 8 reference"),
    "diverges at three of three seeds": ([INF] * 3, [1.0] * 3, "inconclusive", 6, "cannot go below p = 0.25, 6 can"),
    "identical, few": ([1.0, 2.0], [1.0, 2.0], "inconclusive", 5, "identical at every seed"),
    "identical, enough": ([1.0, 2.0, 3.0] * 2, [1.0, 2.0, 3.0] * 2, "equivalent", 6, "identical at every seed"),
    "same difference, few": ([0.5] * 3, [1.0] * 3, "inconclusive", 6, "the same difference at every seed"),
    "same difference, enough": ([0.5] * 6, [1.0] * 6, "better", 6, "the same difference at every seed"),
    "by t, few": ([0.5, 0.51, 0.49], [1.0, 1.0, 1.0], "better", 3, "rests on the t test"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_said(case: str) -> None:
    candidate, reference, word, seeds, note = UNCLEAR[case]
    found = judge(by_seed(candidate), by_seed(reference))
    assert (found.word, found.seeds_needed) == (word, seeds)
    assert note in found.note


def test_one_diverged_run_is_counted_against_the_candidate() -> None:
    candidate = shifted(-0.2)
    found = judge(candidate, by_seed(REFERENCE))
    candidate[3] = INF
    with_failure = judge(candidate, by_seed(REFERENCE))
    assert (found.word, with_failure.word) == ("better", "inconclusive")
    assert with_failure.center == "median"
    assert with_failure.seeds_needed is not None
    assert with_failure.seeds_needed > 8
    assert "1 of 8 candidate" in with_failure.note


def test_only_seeds_of_both_are_compared_and_the_rest_named() -> None:
    found = judge({1: 0.5, 2: 0.6, 3: 0.4, 9: 7.0}, {1: 1.0, 2: 1.3, 3: 1.1, 4: 5.0})
    assert found.n == 3
    assert found.note.startswith("seeds 4, 9 are not in both and left out")


def test_inconclusive_says_what_could_be_seen_and_how_many_seeds_would_do() -> None:
    rng = np.random.default_rng(0)
    found = judge(by_seed((rng.normal(0.3, 1, 6) + 10).tolist()), by_seed([10.0] * 6))
    assert found.word == "inconclusive"
    assert found.seeds_needed is not None
    sd = found.difference / found.effect_size
    assert t_power(found.detectable / sd, 6) == pytest.approx(0.8, abs=1e-6)
    assert t_power(found.effect_size, found.seeds_needed) >= 0.8


def test_several_candidates_share_the_level() -> None:
    alone = judge(shifted(-0.2), by_seed(REFERENCE))
    found = judge_all({"a": shifted(-0.2), "b": shifted(0.001), "c": shifted(0.2)}, by_seed(REFERENCE), margin=0.0)
    assert {key: verdict.word for key, verdict in found.items()} == {"a": "better", "b": "inconclusive", "c": "worse"}
    assert found["a"].p_adjusted >= 2 * alone.p_adjusted
    assert found["a"].p_t == alone.p_t
    assert found["a"].detectable > alone.detectable
    assert judge_all({}, by_seed(REFERENCE)) == {}


def test_pairs_with_references_of_their_own() -> None:
    found = judge_pairs({("digits", "a"): (shifted(-0.2), by_seed(REFERENCE)), ("ptb", "a"): (shifted(0.2), {})})
    assert found["digits", "a"].word == "better"
    assert found["ptb", "a"].n == 0


def test_a_verdict_is_frozen_and_plain_data() -> None:
    found = judge(shifted(-0.2), by_seed(REFERENCE))
    assert dataclasses.asdict(found)["word"] == "better"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.word = "worse"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"margin": -0.1}, "margin is -0.1"), ({"margin": NAN}, "margin is nan"), ({"alpha": 5}, "alpha is 5")],
)
def test_bad_arguments_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judge({}, {}, **options)


def words(rng: np.random.Generator, repeats: int, effect: float, n: int, candidates: int = 1, **options) -> list:
    """Verdicts on candidates that differ from the reference by `effect` standard deviations of the difference."""
    found: list[list[Verdict]] = []
    for _ in range(repeats):
        reference = rng.normal(10, 1, n)
        series = {i: by_seed((reference + rng.normal(effect, 1, n)).tolist()) for i in range(candidates)}
        found.append(list(judge_all(series, by_seed(reference.tolist()), **options).values()))
    return found


def test_false_verdicts_are_as_rare_as_they_say() -> None:
    # 1,000 families of three without any difference: 5 % and two standard errors.
    found = words(np.random.default_rng(10), 1000, 0.0, 5, 3, margin=0.0)
    assert np.mean([any(v.word in ("better", "worse") for v in family) for family in found]) <= 0.05 + 2 * 0.0069


def test_differences_are_found_as_often_as_predicted() -> None:
    found = words(np.random.default_rng(11), 500, -1.0, 10, margin=0.0)
    assert np.mean([v.word == "better" for (v,) in found]) == pytest.approx(t_power(1.0, 10), abs=0.05)
    assert not any(v.word == "worse" for (v,) in found)


def test_differences_at_the_margin_are_rarely_called_equivalent() -> None:
    found = words(np.random.default_rng(12), 500, 1.0, 12, margin=0.1)  # the mean is 10, so the margin is 1
    assert np.mean([v.word == "equivalent" for (v,) in found]) <= 0.05 + 2 * 0.0097
