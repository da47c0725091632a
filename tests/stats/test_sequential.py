"""The confidence sequence against its definition, and under peeking after every seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special

from lehi_cli.errors import UsageError
from lehi_cli.stats.paired import t_interval
from lehi_cli.stats.sequential import SIGN_SHARE, T_SHARE, confidence_sequence, settled, sign_evidence, t_evidence

INF = math.inf


def first_decision(d: list[float], margin: float = 0.0) -> tuple[str | None, int]:
    """What is decided when asked after every seed, and after how many."""
    for n in range(1, len(d) + 1):
        decision = settled(d[:n], margin)
        if decision:
            return decision, n
    return None, len(d)


@pytest.mark.parametrize("n", [2, 4, 9])
def test_evidence_is_the_ratio_of_the_integrals_that_define_it(n: int) -> None:
    d = np.random.default_rng(n).normal(0.8, 1, n)
    squares, total, g = float((d**2).sum()), float(d.sum()), 2.0

    def density(effect: float) -> float:
        # ∫ Π N(dᵢ; effect σ, σ²) dσ / σ, up to what does not depend on the effect
        def over_precision(u: float) -> float:  # u = 1 / σ
            return u ** (n - 1) * math.exp(-(u * u * squares - 2 * u * effect * total + n * effect**2) / 2)

        return integrate.quad(over_precision, 0, np.inf)[0]

    def prior(effect: float) -> float:
        return math.exp(-(effect**2) / (2 * g)) / math.sqrt(2 * math.pi * g)

    mixture = integrate.quad(lambda effect: prior(effect) * density(effect), -12, 12)[0]
    assert t_evidence(d.tolist(), 0.0, g) == pytest.approx(mixture / density(0.0), rel=1e-6)


def test_the_interval_is_where_the_evidence_stays_below_its_threshold() -> None:
    d = np.random.default_rng(0).normal(0.5, 1, 12).tolist()
    low, high = confidence_sequence(d, 0.1)
    assert t_evidence(d, low) == pytest.approx(10, rel=1e-9)
    assert t_evidence(d, high) == pytest.approx(10, rel=1e-9)
    assert low < np.mean(d) < high


def test_the_interval_does_not_depend_on_scale_and_is_wider_than_that_of_one_look() -> None:
    d = np.random.default_rng(1).normal(0.5, 1, 12)
    low, high = confidence_sequence(d.tolist())
    once = t_interval(d)
    assert low < once.low
    assert high > once.high
    assert confidence_sequence((1e-3 * d).tolist()) == pytest.approx((1e-3 * low, 1e-3 * high))


@pytest.mark.parametrize("d", [[], [1.0], [1.0, 2.0], [1.0, 2.0, INF]])
def test_too_little_excludes_nothing(d: list[float]) -> None:
    assert confidence_sequence(d) == (-INF, INF)
    assert settled(d, 0.1) is None


def test_evidence_of_signs_is_the_mixture_over_their_chance() -> None:
    for positive, negative in ((0, 0), (5, 0), (3, 4)):
        beta = special.beta(positive + 0.5, negative + 0.5) / special.beta(0.5, 0.5)
        assert sign_evidence(positive, negative) == pytest.approx(2 ** (positive + negative) * beta)


@pytest.mark.parametrize(("positive", "negative"), [(1100, 0), (0, 1100), (5000, 100)])
def test_evidence_of_signs_beyond_every_float_is_infinite(positive: int, negative: int) -> None:
    assert sign_evidence(positive, negative) == INF


def test_evidence_of_signs_stays_a_number_as_long_as_a_float_can_hold_it() -> None:
    log2 = 1020 + special.betaln(1020.5, 0.5) / math.log(2) - math.log2(math.pi)
    assert math.log2(sign_evidence(1020, 0)) == pytest.approx(log2, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "margin", "minimize", "expected"),
    [
        ([1.0, 1.1, 0.9, 1.05, 0.95, 1.02], 0.0, True, "worse"),
        ([1.0, 1.1, 0.9, 1.05, 0.95, 1.02], 0.0, False, "better"),
        ([-1.0, -1.1, -0.9, -1.05, -0.95, -1.02], 0.0, True, "better"),
        ([0.1, -0.1, 0.05, -0.05, 0.02, -0.02], 1.0, True, "equivalent"),
        ([1.0, 1.1, 0.9, 1.05, 0.95, 1.02], 5.0, True, "equivalent"),
        ([1.0, -1.0, 0.5, -0.5], 0.1, True, None),
        ([INF] * 10, 0.0, True, None),
        ([INF] * 11, 0.0, True, "worse"),
        ([-INF] * 11, 0.0, False, "worse"),
        ([0.5] * 11, 0.0, True, "worse"),
        ([0.5] * 11, 1.0, True, "equivalent"),
        ([0.0] * 10, 0.1, True, None),
        ([0.0] * 11, 0.0, True, "equivalent"),
        ([0.0] * 1100, 0.0, True, "equivalent"),
        ([0.5] * 1100, 0.0, True, "worse"),
        ([-INF] * 1100, 0.0, True, "better"),
    ],
)
def test_settled(d: list[float], margin: float, minimize: bool, expected: str | None) -> None:
    assert settled(d, margin, minimize=minimize) == expected


def test_without_spread_there_is_no_evidence() -> None:
    assert t_evidence([]) == t_evidence([0.3, 0.3]) == 1.0


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_signs_are_counted_where_differences_cannot_be_squared(scale: float) -> None:
    assert settled([scale * d for d in range(1, 31)], 0.0) == "worse"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: settled([1.0], -1.0), "margin is -1.0"),
        (lambda: settled([1.0], 0.0, alpha=0), "alpha is 0"),
        (lambda: confidence_sequence([1.0], prior_variance=0), "prior variance is 0"),
    ],
)
def test_bad_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def draws(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences of mean (by signs: median) 0, normal or not."""
    if kind == "normal":
        return rng.normal(size=shape)
    if kind == "heavy":
        return rng.standard_t(3, shape)
    if kind == "diverging":
        d = rng.normal(size=shape)
        return np.where(rng.random(shape) < 0.1, np.sign(d) * INF, d)
    return rng.laplace(size=shape)


@pytest.mark.parametrize("kind", ["normal", "heavy", "laplace", "diverging"])
def test_peeking_after_every_seed_is_rarely_wrong(kind: str) -> None:
    d = draws(kind, np.random.default_rng(20), (500, 40))
    wrong = np.mean([first_decision(row.tolist())[0] is not None for row in d])
    assert wrong <= 0.05


def test_a_difference_at_the_margin_is_rarely_called_equivalent_under_peeking() -> None:
    d = np.random.default_rng(21).normal(1.0, 1.0, (300, 40))
    assert np.mean([first_decision(row.tolist(), 1.0)[0] == "equivalent" for row in d]) <= 0.05


def test_the_sequence_covers_at_all_n_at_once() -> None:
    missed = 0
    for row in np.random.default_rng(22).normal(0.4, 2.0, (500, 40)).tolist():
        intervals = [confidence_sequence(row[:n]) for n in range(2, 41)]
        missed += not all(low <= 0.4 <= high for low, high in intervals)
    assert missed / 500 <= 0.05


def test_differences_are_found_and_large_ones_sooner() -> None:
    rng = np.random.default_rng(23)
    used = {}
    for effect in (1.0, 2.0):
        found = [first_decision(row.tolist()) for row in rng.normal(-effect, 1, (200, 60))]
        assert np.mean([word == "better" for word, _ in found]) >= 0.95
        used[effect] = np.mean([n for _, n in found])
    assert used[2.0] < 8 < used[1.0] < 17


def test_signs_settle_it_when_their_share_of_alpha_does() -> None:
    assert sign_evidence(10, 0) < 1 / (SIGN_SHARE * 0.05) <= sign_evidence(11, 0)


def test_most_of_alpha_goes_to_t() -> None:
    assert 0.5 < T_SHARE < 1
    assert T_SHARE + SIGN_SHARE < 1
