"""How often the words of whole comparisons are wrong, whether the page warns of it, and what that costs in power.

    python benchmarks/bench_verdicts.py

One, two, four or eight candidates share a reference; losses of known distribution (`simulated.py`), nothing is trained.
A page is warned where any of its verdicts says that it rests on near-symmetric differences, that a seed lies far from
the others, or that ranks or signs decide. Takes about eight minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist

import numpy as np
from measure import save
from simulated import (
    ALPHA,
    FAILING,
    FINDINGS,
    NOISES,
    SKEWED,
    Noise,
    at_look,
    family,
    first_settled,
    found_any,
    holm,
    in_a_hurry,
    is_warned,
    may_find,
    may_settle,
    plain_t,
    plain_tost,
)

from lehi_cli.experiment.contests import FIRST
from lehi_cli.stats.verdict import LATER_SHARE, Verdict, judge_pairs

REPEATS = 10_000  # comparisons of which few are looked at closely
FEWER = 2_000  # of which all are
FEWEST = 500  # where little depends on it
SIZES, SEEDS = (1, 2, 4, 8), (3, 5, 10, 20)
MAIN = [(k, n) for k in (1, 4) for n in (5, 10)]
MIXED = (1.0, 0.0, -0.5, 2.0)  # true differences in standard deviations of a difference
EFFECTS = (0.5, 1.0, 1.5, 2.0)
MARGINS = (4, 2, 1)  # in the same unit
MOST_SEEDS = 20  # of --seeds auto
TIMES = 4  # that seeds are added by hand, as many as there were at first

EQUIVALENT = ("equivalent",)

Row = dict[str, object]


def cells() -> Iterator[tuple[int, int]]:
    """Sizes of families and numbers of seeds."""
    return ((k, n) for k in SIZES for n in SEEDS)


def false_findings(rng: np.random.Generator) -> list[Row]:
    """Share of families with any `better` or `worse` where nothing differs; of those without a warning on the page."""
    rows: list[Row] = []
    for name, noise in NOISES.items():
        for k, n in cells():
            repeats = REPEATS if not noise.failing else 2 * FEWER if (k, n) in MAIN else FEWER
            reference, own = noise.families(rng, repeats, k, n)
            with np.errstate(invalid="ignore"):
                asked = np.flatnonzero(may_find(plain_t(own - reference[:, None])))
            pages = [list(judge_pairs(family(reference[i], own[i])).values()) for i in asked]
            rows.append({"noise": name, "candidates": k, "seeds": n, **errors(pages, repeats)})
    return rows


def errors(pages: Sequence[Sequence[Verdict]], repeats: int) -> Row:
    """Shares of `repeats` comparisons; only these pages may hold false findings, and `unwarned` are among the false."""
    wrong = [page for page in pages if found_any(page)]
    unwarned = [page for page in wrong if not is_warned(page)]
    by_itself = [page for page in wrong if any(each.word in FINDINGS and not is_warned([each]) for each in page)]
    return {
        "comparisons": repeats,
        "false": len(wrong) / repeats,
        "unwarned": len(unwarned) / repeats,
        "word without a warning of its own": len(by_itself) / repeats,
    }


def coverage(rng: np.random.Generator) -> list[Row]:
    """Share of families all of whose intervals hold the true difference: where nothing differs, and where some do."""
    rows: list[Row] = []
    for name, noise in NOISES.items():
        for k, n in cells():
            row: Row = {"noise": name, "candidates": k, "seeds": n}
            for title, effects in (("null", np.zeros(k)), ("mixed", np.resize(MIXED, k))):
                repeats = FEWER if (k, n) in MAIN else FEWEST
                reference, own = noise.families(rng, repeats, k, n)
                own += (effects * noise.sd_difference)[:, None]
                held = [all_hold(judge_pairs(family(reference[i], own[i])), noise, effects) for i in range(repeats)]
                row[title] = float(np.mean(held))
            rows.append(row)
    return rows


def all_hold(verdicts: Mapping[int, Verdict], noise: Noise, effects: np.ndarray) -> bool:
    """Whether each interval holds the truth; one that ends at 0 because a difference was found excludes 0."""
    for i, verdict in verdicts.items():
        low, high = verdict.interval
        truth = true_center(noise, effects[i], verdict.center)
        if not low <= truth <= high or (truth == 0 and verdict.p_adjusted <= ALPHA and min(abs(low), abs(high)) == 0):
            return False
    return True


def true_center(noise: Noise, effect: float, center: str) -> float:
    """Mean or median of the difference; where both runs diverge it is 0, where one does it is infinite."""
    shift = effect * noise.sd_difference
    if not noise.failing or not effect:
        return shift
    both, neither = FAILING**2, (1 - FAILING) ** 2
    if center == "mean":  # of samples in which no run diverged alone
        return shift * neither / (neither + both)
    # the normal part has probability `neither`; the tie at 0 lies on one side of the median
    return shift - math.copysign(noise.sd_difference, effect) * NormalDist().inv_cdf(0.5 + both / 2 / neither)


def false_equivalence(rng: np.random.Generator) -> list[Row]:
    """Share of families with any `equivalent` where all true differences are exactly the margin, to either side."""
    rows: list[Row] = []
    for name, noise in NOISES.items():
        for side in (1, -1) if name in SKEWED else (1,):
            for ratio in MARGINS:
                for k, n in ((k, n) for k in (1, 4) for n in SEEDS):
                    repeats = FEWER if noise.failing else REPEATS
                    margin = ratio * noise.sd_difference
                    reference, own = noise.families(rng, repeats, k, n)
                    own += side * margin
                    with np.errstate(invalid="ignore"):
                        asked = np.flatnonzero(may_find(plain_tost(own - reference[:, None], margin)))
                    wrong = sum(
                        found_any(judge_pairs(family(reference[i], own[i], math.expm1(margin))).values(), EQUIVALENT)
                        for i in asked
                    )
                    rows.append(
                        {
                            "noise": name,
                            "side": side,
                            "margin": ratio,
                            "candidates": k,
                            "seeds": n,
                            "comparisons": repeats,
                            "false": wrong / repeats,
                        }
                    )
    return rows


def power(rng: np.random.Generator) -> list[Row]:
    """Share of effects found as they are, normal noise: against t tests at the whole level with Holm's method.

    Either one candidate differs, or all of them do alike.
    """
    noise, rows = NOISES["normal"], []
    for effect in EFFECTS:
        for k, n in cells():
            for different in dict.fromkeys((1, k)):
                repeats = FEWER if k < 8 else FEWEST
                reference, own = noise.families(rng, repeats, k, n)
                own[:, :different] += effect * noise.sd_difference
                d = own - reference[:, None]
                plain = (holm(plain_t(d)) <= ALPHA) & (d.mean(axis=-1) > 0)
                # what Holm's method finds at the whole level holds all that it finds at a share of it
                pages = [judge_pairs(family(reference[i], own[i])) for i in np.flatnonzero(plain.any(axis=1))]
                found = [page[j] for page in pages for j in range(different) if page[j].word == "worse"]
                share = len(found) / (repeats * different)
                known = float(plain[:, :different].mean())
                rows.append(
                    {
                        "effect": effect,
                        "candidates": k,
                        "different": different,
                        "seeds": n,
                        "found": share,
                        "plain t": known,
                        "lost": known - share,
                        "found without a warning": sum(not is_warned([each]) for each in found) / (repeats * different),
                    }
                )
    return rows


def equivalence_power(rng: np.random.Generator) -> list[Row]:
    """Share of `equivalent` where nothing differs, normal noise, against two one-sided t tests with Holm's method."""
    noise, rows = NOISES["normal"], []
    for ratio in MARGINS:
        for k, n in ((k, n) for k in (1, 4) for n in SEEDS):
            margin = ratio * noise.sd_difference
            reference, own = noise.families(rng, FEWER, k, n)
            plain = holm(plain_tost(own - reference[:, None], margin)) <= ALPHA
            pages = [
                judge_pairs(family(reference[i], own[i], math.expm1(margin))) for i in np.flatnonzero(plain.any(axis=1))
            ]
            found = sum(each.word == "equivalent" for page in pages for each in page.values())
            rows.append(
                {
                    "margin": ratio,
                    "candidates": k,
                    "seeds": n,
                    "found": found / (FEWER * k),
                    "plain TOST": float(plain.mean()),
                }
            )
    return rows


def auto(rng: np.random.Generator) -> list[Row]:
    """Share of families with any `better` or `worse` by `--seeds auto`, where nothing differs: 3 seeds to 20."""
    rows: list[Row] = []
    looks = range(FIRST, MOST_SEEDS + 1)
    for name, noise in NOISES.items():
        for k in (1, 4):
            repeats = FEWER if noise.failing else REPEATS
            reference, own = noise.families(rng, repeats, k, MOST_SEEDS)
            with np.errstate(invalid="ignore"):
                asked = np.flatnonzero(may_settle(own - reference[:, None]))
            pages = [[first_settled(reference[i], row, looks, k)[1] for row in own[i]] for i in asked]
            rows.append({"noise": name, "candidates": k, **errors(pages, repeats)})
    return rows


def added_by_hand(rng: np.random.Generator) -> list[Row]:
    """The same by a fixed number of seeds, and as many more up to four times while something is inconclusive."""
    rows: list[Row] = []
    for name, noise in NOISES.items():
        for k in (1, 4):
            for n in (3, 5):
                repeats = FEWER if noise.failing else REPEATS
                reference, own = noise.families(rng, repeats, k, n * (1 + TIMES))
                with np.errstate(invalid="ignore"):
                    d = own - reference[:, None]
                    first = np.flatnonzero(may_find(plain_t(d[..., :n])))
                    later = np.flatnonzero(may_settle(d, LATER_SHARE))
                asked = np.union1d(first, later)
                pages = [list(judge_pairs(family(reference[i, :n], own[i, :, :n])).values()) for i in asked]
                at_first = sum(found_any(page) for page in pages)
                pages = [
                    page if found_any(page) else after_more(reference[i], own[i], n)
                    for i, page in zip(asked, pages, strict=True)
                ]
                rows.append(
                    {
                        "noise": name,
                        "candidates": k,
                        "seeds": n,
                        **errors(pages, repeats),
                        "false at first": at_first / repeats,
                    }
                )
    return rows


def after_more(reference: np.ndarray, own: np.ndarray, n: int) -> list[Verdict]:
    """The first page with a finding once seeds are added, else the last; all candidates have all seeds."""
    k, looks = len(own), range(2 * n, n * (1 + TIMES) + 1, n)
    settled = [first_settled(reference, row, looks, k, LATER_SHARE) for row in own]
    at = min((look for look, verdict in settled if verdict.word in FINDINGS), default=looks[-1])
    return [at_look(reference[:at], row[:at], k, LATER_SHARE) for row in own]


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows under their keys, shares in percent."""
    print(f"\n{title}")
    widths = {key: max(len(key), *(len(shown(row[key])) for row in rows)) for key in rows[0]}
    print("  " + "  ".join(key.rjust(width) for key, width in widths.items()))
    for row in rows:
        print("  " + "  ".join(shown(row[key]).rjust(width) for key, width in widths.items()), flush=True)


def shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Simulate, print, save."""
    in_a_hurry()
    parts = {
        "false better or worse": false_findings,
        "joint coverage of the intervals": coverage,
        "false equivalent at the margin": false_equivalence,
        "power of better or worse": power,
        "power of equivalent": equivalence_power,
        "false better or worse by --seeds auto": auto,
        "false better or worse with seeds added by hand": added_by_hand,
    }
    results = {}
    for i, (title, simulate) in enumerate(parts.items()):
        results[title] = simulate(np.random.default_rng(i))
        show(title, results[title])
    save("verdicts", results)


if __name__ == "__main__":
    main()
