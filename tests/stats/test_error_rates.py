"""How often whole families of verdicts are wrong, on losses of known distribution; more in `bench_verdicts.py`.

Families are drawn as logarithms of losses. The engine is asked about those in which plain tests leave it something to
find: its own p-values are never smaller, which is checked too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest
from scipy import special

from lehi_cli.stats import anytime, skew, verdict
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import scale_of
from lehi_cli.stats.sequential import PRIOR_VARIANCE, T_SHARE
from lehi_cli.stats.verdict import FIRST_SHARE, LATER_SHARE, Verdict, judge_pairs

ALPHA, SLACK, LOST = 0.05, 0.005, 0.03
SD, REFERENCE = 0.05, {"exponential": 0.005}
WARNINGS = ("rests on near-symmetric", "lies far from the others", "by ranks", "by signs")
SLOW_TAILS = skew.skewed_tails
GRID = np.concatenate([[0.0], np.geomspace(0.01, 1e4, 300)])

Family = tuple[np.ndarray, np.ndarray]  # reference [seeds], candidates [candidates, seeds]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return SD * rng.normal(size=shape)


NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": normal,
    "t3": lambda rng, shape: SD / math.sqrt(3) * rng.standard_t(3, shape),
    "wider": lambda rng, shape: 3 * normal(rng, shape),
    "uneven": normal,
    "diverging": normal,
    "exponential": lambda rng, shape: SD * (rng.exponential(size=shape) - 1),
}
SYMMETRIC = [name for name in NOISES if name != "exponential"]


@cache
def table(n: int) -> tuple[np.ndarray, np.ndarray]:
    below, above = np.log(np.maximum([SLOW_TAILS(float(t), n) for t in GRID], 1e-300)).T
    return below, above


def tails_from_table(t: float, n: int) -> tuple[float, float]:
    below, above = table(n)
    return math.exp(np.interp(abs(t), GRID, below)), math.exp(np.interp(abs(t), GRID, above))


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(skew, "skewed_tails", tails_from_table)
    for module in (verdict, anytime):
        monkeypatch.setattr(module, "seeds_to_settle", lambda *arguments, **options: None)
    with np.errstate(invalid="ignore"):  # the difference of two runs that diverged
        yield


def families(name: str, repeats: int, k: int, n: int, seed: int = 0) -> list[Family]:
    rng = np.random.default_rng([seed, k, n, *name.encode()])
    common = 0.1 * rng.normal(size=(repeats, n))
    spread = np.exp(0.7 * rng.normal(size=(repeats, n))) if name == "uneven" else np.ones((repeats, n))
    reference = common + REFERENCE.get(name, SD) * spread * rng.normal(size=(repeats, n))
    own = common[:, None] + spread[:, None] * NOISES[name](rng, (repeats, k, n))
    if name == "diverging":
        reference[rng.random(reference.shape) < 0.1] = math.inf
        own[rng.random(own.shape) < 0.1] = math.inf
    return list(zip(reference, own, strict=True))


def contests(family: Family, margin: float = 0.0, n: int | None = None) -> dict[int, Contest]:
    reference, own = (np.exp(values[..., :n]).tolist() for values in family)
    scale = scale_of([*reference, *(loss for row in own for loss in row)])
    other = dict(enumerate(reference))
    return {i: Contest(dict(enumerate(row)), other, scale, math.expm1(margin), runs=i) for i, row in enumerate(own)}


def t_of(family: Family, shift: float = 0.0, n: int | None = None) -> np.ndarray:
    d = (family[1] - family[0])[:, :n]
    return (d.mean(axis=1) - shift) * math.sqrt(d.shape[1]) / d.std(axis=1, ddof=1)


def p_equal(family: Family, n: int | None = None) -> np.ndarray:
    t = t_of(family, n=n)
    return 2 * special.stdtr(len(family[0][:n]) - 1, -abs(t))


def p_equivalent(family: Family, margin: float) -> np.ndarray:
    degrees = len(family[0]) - 1
    above, below = special.stdtr(degrees, t_of(family, margin)), special.stdtr(degrees, -t_of(family, -margin))
    return np.maximum(above, below)


def may_find(p_values: np.ndarray) -> bool:
    return not p_values.min() * len(p_values) > FIRST_SHARE * ALPHA * (1 + 1e-6)  # so it may where they are NaN


def may_settle(family: Family, share: float = 1.0) -> bool:
    d = family[1] - family[0]
    n = np.arange(2, d.shape[1] + 1)
    sums, squares = d.cumsum(axis=1)[:, 1:] ** 2 / n, (d * d).cumsum(axis=1)[:, 1:]
    y, r = sums / (squares - sums), 1 + PRIOR_VARIANCE * n
    evidence = n / 2 * np.log((1 + y) / (1 + y / r)) - np.log(r) / 2
    return not evidence.max() < math.log(len(d) / (T_SHARE * share * ALPHA)) - 1e-6


def is_false(verdicts: Iterable[Verdict]) -> bool:
    return any(each.word in ("better", "worse") for each in verdicts)


def is_warned(verdicts: Iterable[Verdict]) -> bool:
    return any(warning in each.note for each in verdicts for warning in WARNINGS)


def bound(level: float, repeats: int) -> float:
    return level + 2 * math.sqrt(level * (1 - level) / repeats)


def false_pages(name: str, k: int, n: int, repeats: int) -> list[list[Verdict]]:
    asked = [family for family in families(name, repeats, k, n) if may_find(p_equal(family))]
    pages = [list(judge_pairs(contests(family)).values()) for family in asked]
    return [page for page in pages if is_false(page)]


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", SYMMETRIC)
def test_false_findings_are_as_rare_as_promised(name: str, k: int, n: int) -> None:
    repeats = 2000 if name != "diverging" else 800
    assert len(false_pages(name, k, n, repeats)) / repeats <= bound(ALPHA + SLACK, repeats)


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("k", [1, 4])
def test_of_false_findings_of_skewed_losses_the_page_warns(k: int, n: int) -> None:
    pages, repeats = false_pages("exponential", k, n, 2000), 2000
    assert len(pages) / repeats > bound(ALPHA, repeats)  # they are not rare
    assert sum(not is_warned(page) for page in pages) / repeats <= bound(ALPHA + SLACK, repeats)


@pytest.mark.parametrize("ratio", [4, 1])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", ["normal", "t3", "wider", "uneven", "exponential"])
def test_false_equivalence_at_the_margin_is_as_rare_as_promised(name: str, k: int, ratio: float) -> None:
    repeats, n = 2000, 5
    sd = math.hypot(3 * SD if name == "wider" else SD, REFERENCE.get(name, SD))
    margin = ratio * sd * (math.exp(0.49) if name == "uneven" else 1)
    moved = [(reference, own + margin) for reference, own in families(name, repeats, k, n)]
    asked = [family for family in moved if may_find(p_equivalent(family, margin))]
    pages = [judge_pairs(contests(family, margin)).values() for family in asked]
    wrong = sum(any(each.word == "equivalent" for each in page) for page in pages)
    assert wrong / repeats <= bound(ALPHA + SLACK, repeats)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", ["normal", "t3", "wider", "uneven"])
def test_adding_seeds_one_by_one_is_wrong_as_rarely(name: str, k: int) -> None:
    repeats = 2000
    asked = [family for family in families(name, repeats, k, 20) if may_settle(family)]
    wrong = sum(is_false(judge_anytime(contests(family)).values()) for family in asked)  # what was settled stays so
    assert wrong / repeats <= bound(ALPHA, repeats)


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", ["normal", "t3", "wider", "uneven"])
def test_adding_seeds_after_a_fixed_look_is_wrong_as_rarely(name: str, k: int, n: int) -> None:
    repeats, shares = 2000, dict.fromkeys(range(k), LATER_SHARE)
    wrong = 0
    for family in families(name, repeats, k, 5 * n):
        at_first = may_find(p_equal(family, n)) and is_false(judge_pairs(contests(family, n=n)).values())
        wrong += at_first or (
            may_settle(family, LATER_SHARE) and is_false(judge_anytime(contests(family), shares=shares).values())
        )
    assert wrong / repeats <= bound(ALPHA, repeats)


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize(("k", "different"), [(1, 1), (4, 1), (4, 4)])
@pytest.mark.parametrize("effect", [0.5, 1.0, 1.5, 2.0])
def test_little_power_is_lost_against_plain_t_tests(effect: float, k: int, different: int, n: int) -> None:
    repeats = 600
    shift = np.where(np.arange(k) < different, effect * math.sqrt(2) * SD, 0.0)[:, None]
    plain, lost = 0, np.zeros(repeats)
    for i, (reference, own) in enumerate(families("normal", repeats, k, n)):
        family = (reference, own + shift)
        p_values = p_equal(family)
        if p_values.min() * k > ALPHA:
            continue
        found = holm(p_values) <= ALPHA
        page = judge_pairs(contests(family))
        ours = [page[j].word in ("better", "worse") for j in range(k)]
        assert not any(own and not theirs for own, theirs in zip(ours, found, strict=True))
        plain += found[:different].sum()
        lost[i] = (found[:different].sum() - sum(ours[:different])) / different
    assert plain
    assert lost.mean() <= LOST + 2 * lost.std() / math.sqrt(repeats)


def holm(p_values: np.ndarray) -> np.ndarray:
    order = p_values.argsort()
    rising = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return rising[order.argsort()]


@pytest.mark.parametrize("name", ["normal", "exponential"])
def test_what_is_passed_over_holds_nothing_to_find(name: str) -> None:
    margin = 2 * SD
    for family in families(name, 40, 2, 6):
        page = judge_pairs(contests(family)).values()
        assert is_false(page) == may_find(p_equal(family))
        if not may_find(p_equivalent(family, margin)):
            assert all(each.word != "equivalent" for each in judge_pairs(contests(family, margin)).values())
        for share in (1.0, LATER_SHARE):
            page = judge_anytime(contests(family), shares=dict.fromkeys(range(2), share)).values()
            assert is_false(page) == may_settle(family, share)
