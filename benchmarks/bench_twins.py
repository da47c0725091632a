"""How often two optimizers that are the same are told apart, on runs that were really trained.

    python benchmarks/bench_twins.py [FOLDER]

Adam against Adam on digits, 100 steps, each comparison with seeds of its own on both sides: whatever is found is false.
Trains 4,000 runs (17 minutes on one core) in a temporary folder, or in FOLDER, where they stay and are found again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measure import save
from rich.console import Console

from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.plan import Request, plan
from lehi_cli.render.live import watcher
from lehi_cli.specs import Budget, parse_optimizers
from lehi_cli.stats.sequential import settled
from lehi_cli.stats.verdict import judge_pairs
from lehi_cli.store import Store

COMPARISONS = 200
SEEDS = 10  # on each side
MARGIN = 0.01
METRICS = {"loss": 1, "accuracy": -1}  # what makes less better


def main() -> None:
    """Train what is missing, then judge."""
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
        finals = trained(store)
    values = np.array([finals[metric] for metric in METRICS])  # [metrics, runs]
    result = {
        "these comparisons": judged(values, np.arange(values.shape[1])),
        "dealt anew 25 times": judged(
            values, *(np.random.default_rng(i).permutation(values.shape[1]) for i in range(25))
        ),
    }
    for title, rows in result.items():
        for name, row in rows.items():
            print(f"{title:20s} {name:36s} " + "  ".join(f"{what}: {value}" for what, value in row.items()))
    save("twins", {"comparisons": COMPARISONS, "margin": MARGIN, "steps": 100, "results": result})


def judged(values: np.ndarray, *orders: np.ndarray) -> dict[str, dict[str, int | float]]:
    """What each rule finds, over all comparisons of all orders in which the runs are dealt."""
    words: dict[str, list[str]] = {}
    for order in orders:
        for dealt in values[:, order].reshape(len(METRICS), COMPARISONS, 2, SEEDS).swapaxes(0, 1):
            for name, found in rules(dealt).items():
                words.setdefault(name, []).extend(found)
    return {name: counted(found) for name, found in words.items()}


def rules(dealt: np.ndarray) -> dict[str, list[str]]:
    """Words on one comparison [metrics, sides, seeds] by every rule; of the whole family the worst."""
    own, other = dealt[:, 0], dealt[:, 1]
    found = {f"{n} seeds, val loss alone": [fixed(own[:1, :n], other[:1, :n])[0]] for n in (3, 5, SEEDS)}
    found |= {f"{n} seeds, any of both metrics": [joint(fixed(own[:, :n], other[:, :n]))] for n in (3, 5, SEEDS)}
    found[f"auto:{SEEDS}, val loss alone"] = [first(own[0], other[0], 0.05)]
    found[f"auto:{SEEDS}, any of both metrics"] = [
        joint([first(own[0], other[0], 0.025), first(own[1], other[1], 0.025)])
    ]
    return found


def joint(words: Sequence[str]) -> str:
    """The first word of those that claim a difference, if any does."""
    return next((word for word in words if word in ("better", "worse")), words[0])


def trained(store: Store) -> dict[str, list[float]]:
    """Final validation values of every seed, by metric."""
    request = Request(["digits"], parse_optimizers("adam"), range(2 * SEEDS * COMPARISONS), budget=Budget("steps", 100))
    runs = plan(request)
    store.prepare()
    with watcher(Console(stderr=True), len(runs), False) as watch:
        conduct(runs, store, Settings(device="cpu"), watch)
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for run in runs:
        stored = store.find(run.run_id)
        assert stored is not None
        assert stored.status == "ok"
        metrics = store.metrics(stored)
        for metric, own in values.items():
            own.append(METRICS[metric] * metrics.curve("val", metric)[1][-1])
    return values


def fixed(own: np.ndarray, other: np.ndarray) -> list[str]:
    """The verdicts on values [metrics, seeds], adjusted for all of them; less is better, accuracies are negated."""
    pairs = {
        i: (dict(enumerate(a.tolist())), dict(enumerate(b.tolist())))
        for i, (a, b) in enumerate(zip(own, other, strict=True))
    }
    return [verdict.word for verdict in judge_pairs(pairs, margin=MARGIN).values()]


def first(own: np.ndarray, other: np.ndarray, alpha: float) -> str:
    """The first decision of the rule that looks after every seed from the third on."""
    differences = (own - other).tolist()
    for n in range(3, len(differences) + 1):
        decision = settled(differences[:n], MARGIN * abs(float(other[:n].mean())), alpha)
        if decision:
            return decision
    return "inconclusive"


def counted(words: Sequence[str]) -> dict[str, int | float]:
    """How many comparisons got which word, and the share of false findings."""
    count = {name: words.count(name) for name in ("better", "worse", "equivalent", "inconclusive")}
    return {**count, "false share": round((count["better"] + count["worse"]) / len(words), 4)}


if __name__ == "__main__":
    main()
