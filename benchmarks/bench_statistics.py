"""How often verdicts are wrong, intervals cover, differences are found, and how many seeds stopping early saves.

    python benchmarks/bench_statistics.py

Simulated results of known distribution; nothing is trained. Takes about two minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from measure import save
from simulated import ALPHA, in_a_hurry

from lehi_cli.experiment.contests import FIRST
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.paired import median_interval, t_interval
from lehi_cli.stats.power import seeds_for_difference, t_power
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.sequential import settled
from lehi_cli.stats.tuning_curve import METHODS, cdf_band, tuning_curve
from lehi_cli.stats.verdict import FIRST_SHARE, judge_pairs

REPEATS = 4000
LEVEL = FIRST_SHARE * ALPHA  # of a verdict at a fixed number of seeds
MOST_SEEDS = 60
CAPS = (20, 60)  # of seeds that are added; the first is what `--seeds auto` has by default
ADDING, CANDIDATES = 900, 3  # comparisons that add seeds, and what is compared with the reference in each
MEAN = 10.0  # of the reference, in standard deviations of the difference

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NOISE: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
    "exponential, centred": lambda rng, shape: rng.exponential(size=shape) - 1,
    "normal, 10 % diverge": lambda rng, shape: diverging(rng.normal(size=shape), rng),
}


def diverging(d: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Differences of which one in ten is infinite, to either side."""
    return np.where(rng.random(d.shape) < 0.1, np.sign(d) * math.inf, d)


def by_seed(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


def words(d: np.ndarray, margin: float) -> list[str]:
    """Verdicts on candidates that differ by d [candidates, seeds] from references; -inf: the reference diverged."""
    contests = {}
    for i, row in enumerate(d):
        own = np.where(row == -math.inf, MEAN, MEAN + row)
        other = np.where(row == -math.inf, math.inf, MEAN)
        contests[i] = Contest(by_seed(own), by_seed(other), Scale(floor=0.0), margin)
    return [verdict.word for verdict in judge_pairs(contests).values()]


def first_decision(d: list[float], margin: float = 0.0, alpha: float = ALPHA, first: int = 2) -> tuple[str | None, int]:
    """The sequential rule's decision when asked after every seed, from the first look on, and after how many."""
    for n in range(first, len(d) + 1):
        decision = settled(d[:n], margin, alpha)
        if decision:
            return decision, n
    return None, len(d)


def false_verdicts(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of families with any `better` or `worse` where nothing differs: 1 and 3 candidates, a fixed n."""
    rows = []
    for name, draw in NOISE.items():
        for n, candidates in ((5, 1), (5, 3), (10, 1), (10, 3)):
            wrong = sum(
                not {"better", "worse"}.isdisjoint(words(draw(rng, (candidates, n)), 0.0)) for _ in range(REPEATS)
            )
            rows.append({"noise": name, "seeds": n, "candidates": candidates, "false": wrong / REPEATS})
    return rows


def false_equivalence(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of `equivalent` where the true difference is the margin."""
    rows = []
    for n in (5, 10, 20):
        wrong = sum(words(rng.normal(1.0, 1, (1, n)), 1.0 / MEAN) == ["equivalent"] for _ in range(REPEATS))
        peeking = sum(first_decision(row, 1.0)[0] == "equivalent" for row in rng.normal(1.0, 1, (REPEATS, n)).tolist())
        rows.append({"seeds": n, "false": wrong / REPEATS, "peeking": peeking / REPEATS})
    return rows


def peeking(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of wrong decisions when looking after each of up to 60 seeds: our rule, and a 95 % interval by t."""
    rows = []
    for name, draw in NOISE.items():
        d = draw(rng, (REPEATS, MOST_SEEDS))
        ours = np.mean([first_decision(row)[0] is not None for row in d.tolist()])
        naive = math.nan
        if np.isfinite(d).all():
            naive = np.mean([any(not low <= 0 <= high for low, high in looks(row)) for row in d[: REPEATS // 4]])
        rows.append({"noise": name, "most seeds": MOST_SEEDS, "false": float(ours), "interval by t": float(naive)})
    return rows


def looks(d: np.ndarray) -> list[tuple[float, float]]:
    return [t_interval(d[:n]) for n in range(2, len(d) + 1)]


def coverage(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of 95 % intervals that hold the mean (by t) and the median (by order statistics)."""
    rows = []
    for name, draw in NOISE.items():
        middle = math.log(2) - 1 if name.startswith("exponential") else 0.0
        for n in (3, 5, 10, 20):
            d = draw(rng, (REPEATS, n))
            mean = np.mean([low <= 0 <= high for low, high in map(t_interval, d)]) if np.isfinite(d).all() else math.nan
            median = np.mean([low <= middle <= high for low, high in map(median_interval, d)])
            rows.append({"noise": name, "seeds": n, "mean": float(mean), "median": float(median)})
    return rows


def power(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of `better` where the candidate is better, against the prediction."""
    rows = []
    for effect in (0.5, 1.0, 2.0):
        for n in (3, 5, 10, 20):
            found = sum(words(rng.normal(-effect, 1, (1, n)), 0.0) == ["better"] for _ in range(REPEATS))
            rows.append(
                {"effect": effect, "seeds": n, "found": found / REPEATS, "predicted": t_power(effect, n, LEVEL)}
            )
    return rows


def saving(rng: np.random.Generator) -> list[dict[str, object]]:
    """Seeds of one comparison by `--seeds auto` against fixed numbers, which are judged at their own level.

    `80 % power`: the fixed number that finds the effect with that power; `same power`: the one that finds it as often
    as adding seeds does; `planned`: the one for an effect of 0.8 with 95 % power, a plan for when the effect is
    unknown.
    """
    rows = []
    planned = seeds_for_difference(0.8, LEVEL, power=0.95)
    for effect in (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0):
        found = [first_decision(row, first=FIRST) for row in rng.normal(-effect, 1, (REPEATS, MOST_SEEDS)).tolist()]
        for most in CAPS:
            share = float(np.mean([word == "better" and n <= most for word, n in found]))
            used = np.array([min(n, most) for _, n in found])
            rows.append(
                {
                    "effect": effect,
                    "most seeds": most,
                    "found": share,
                    "mean seeds": float(used.mean()),
                    "median": float(np.median(used)),
                    "90 %": float(np.percentile(used, 90)),
                    "80 % power": seeds_for_difference(effect, LEVEL),
                    "same power": seeds_for_difference(effect, LEVEL, power=min(share, 1 - 1 / REPEATS)),
                    "planned": planned,
                }
            )
    return rows


def adding_seeds(rng: np.random.Generator) -> list[dict[str, object]]:
    """Whole comparisons by `lehi compare --seeds auto`: how often wrong, how much found, and for how many runs.

    Three candidates against a reference, effects drawn anew from a normal distribution for each comparison, and 0 for
    each in one comparison of three. `found by all` is what a fixed number of seeds, the most there are, finds by t and
    Holm's method, and `saved` the share of its runs that adding seeds does without. `as many found` is the smallest
    fixed number that finds as many as adding seeds does, which nobody knows beforehand: such effects as are easy to
    find it finds with fewer runs, because it never tries for the others.
    """
    rows = []
    for spread, most in ((1.0, 20), (2.0, 20), (4.0, 20), (2.0, 60)):
        effects = rng.normal(0, spread, (ADDING, CANDIDATES)) * (np.arange(ADDING) % 3 > 0)[:, None]
        d = rng.normal(size=(ADDING, CANDIDATES, most)) + effects[:, :, None]
        found = [[first_decision(row, 0.0, ALPHA / CANDIDATES, FIRST) for row in each] for each in d.tolist()]
        decided = np.array([[word or "inconclusive" for word, _ in each] for each in found])
        used = np.array([[n for _, n in each] for each in found])
        wrong, share = errors(decided, effects)
        runs = float(np.mean(used.sum(axis=1) + used.max(axis=1)))  # the reference runs at every seed that any runs at
        all_wrong, all_found = errors(np.array([words(each, 0.0) for each in d]), effects)
        count = CANDIDATES + 1
        rows.append(
            {
                "spread of effects": spread,
                "most seeds": most,
                "false": wrong,
                "found": share,
                "mean runs": runs,
                "runs of all": count * most,
                "false by all": all_wrong,
                "found by all": all_found,
                "saved": 1 - runs / (count * most),
                "as many found": count * as_many(d, effects, share),
            }
        )
    return rows


def errors(decided: np.ndarray, effects: np.ndarray) -> tuple[float, float]:
    """Share of comparisons without differences in which one is said to be, and of differences found as they are."""
    right = np.where(effects < 0, "better", "worse")
    is_null = ~effects.any(axis=1)
    wrong = np.isin(decided, ("better", "worse"))[is_null].any(axis=1).mean()
    return float(wrong), float((decided == right)[~is_null].mean())


def as_many(d: np.ndarray, effects: np.ndarray, share: float) -> int:
    """The smallest fixed number of seeds that finds that share of the differences."""
    numbers = range(FIRST, d.shape[2] + 1)
    return next(n for n in numbers if errors(np.array([words(each[:, :n], 0.0) for each in d]), effects)[1] >= share)


def tuning_bands(rng: np.random.Generator) -> list[dict[str, object]]:
    """Share of 95 % bands that hold the distribution, and the median tuning curve, everywhere at once."""
    rows = []
    for method in METHODS:
        for n in (8, 24):
            levels = 1 - 0.5 ** (1 / np.arange(1, n + 1))  # the curve of uniform values
            lower, upper = map(np.array, cdf_band(n, 0.95, method))
            whole = curve = 0
            for _ in range(REPEATS):
                u = np.sort(rng.random(n))
                whole += bool(np.all(lower[1:] <= u) and np.all(u <= upper[:-1]))
                band = tuning_curve(u.tolist(), method=method)
                curve += bool(np.all(band.low <= levels) and np.all(levels <= band.high))
            rows.append({"band": method, "trials": n, "distribution": whole / REPEATS, "curve": curve / REPEATS})
    return rows


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Print rows under their keys."""
    print(f"\n{title}")
    widths = {key: max(len(key), *(len(shown(row[key])) for row in rows)) for key in rows[0]}
    print("  " + "  ".join(key.rjust(width) for key, width in widths.items()))
    for row in rows:
        print("  " + "  ".join(shown(row[key]).rjust(width) for key, width in widths.items()))


def shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def plain(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows as JSON has them: without NaN."""
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


def main() -> None:
    """Simulate, print, save."""
    in_a_hurry()
    parts = {
        "false better or worse, fixed seeds": false_verdicts,
        "false equivalence at the margin": false_equivalence,
        "false decisions under peeking": peeking,
        "coverage of 95 % intervals": coverage,
        "power": power,
        "seeds used by stopping early": saving,
        "coverage of 95 % bands of tuning curves": tuning_bands,
        "runs of comparisons that add seeds": adding_seeds,
    }
    results = {}
    for i, (title, simulate) in enumerate(parts.items()):
        rows = simulate(np.random.default_rng(i))
        show(title, rows)
        results[title] = plain(rows)
    save("statistics", {"comparisons": REPEATS, **results})


if __name__ == "__main__":
    main()
