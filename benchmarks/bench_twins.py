"""How often two optimizers that are the same are told apart, on runs that were really trained.

    python benchmarks/bench_twins.py [FOLDER] [--comparisons N]

Adam against Adam on digits, 100 steps, each comparison with its own seeds on both sides: whatever is found is false.
Loss by its ratio and accuracy by its error rate, with the margin that verdicts have by default. Trains 20 runs for each
of 200 comparisons (17 minutes on one core) in a temporary folder, or in FOLDER, where they stay and are found again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from measure import save
from rich.console import Console
from simulated import FINDINGS, in_a_hurry

from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.experiment.contests import FIRST
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.render.live import watcher
from lehi_cli.runs.metrics import METRICS
from lehi_cli.runs.specs import Budget, parse_optimizers
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import MARGIN, Contest
from lehi_cli.stats.scale import Scale, scale_of
from lehi_cli.stats.verdict import LATER_SHARE, judge_pairs

COMPARISONS = 200
SEEDS = 10  # on each side
DEALS = 25
JUDGED = ("loss", "accuracy")

Contests = Callable[[int], dict[str, Contest]]  # by metric, of so many seeds


def main() -> None:
    """Train what is missing, then judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where runs stay and are found again")
    parser.add_argument("--comparisons", type=int, default=COMPARISONS, help=f"{2 * SEEDS} runs each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        finals = trained(Store(arguments.folder or Path(temporary)), 2 * SEEDS * arguments.comparisons)
    in_a_hurry()
    count = len(finals["loss"])
    result = {
        "these comparisons": judged(finals, np.arange(count)),
        f"dealt anew {DEALS} times": judged(
            finals, *(np.random.default_rng(i).permutation(count) for i in range(DEALS))
        ),
    }
    for title, rows in result.items():
        for name, row in rows.items():
            print(f"{title:20s} {name:36s} " + "  ".join(f"{what}: {value}" for what, value in row.items()))
    save("twins", {"comparisons": arguments.comparisons, "margin": MARGIN, "steps": 100, "results": result})


def trained(store: Store, count: int) -> dict[str, np.ndarray]:
    """Final validation values of every seed, by metric."""
    request = Request(["digits"], parse_optimizers("adam"), range(count), budget=Budget("steps", 100))
    runs = plan(request)
    store.prepare()
    with watcher(Console(stderr=True), len(runs), False) as watch:
        conduct(runs, store, Settings(device="cpu"), watch)
    values: dict[str, list[float]] = {metric: [] for metric in JUDGED}
    for run in runs:
        stored = store.find(run.run_id)
        assert stored is not None
        assert stored.status == Status.OK
        metrics = store.metrics(stored)
        for metric, own in values.items():
            final = metrics.final("val", metric)
            assert final is not None
            own.append(final)
    return {metric: np.array(own) for metric, own in values.items()}


def judged(finals: dict[str, np.ndarray], *orders: np.ndarray) -> dict[str, dict[str, int | float]]:
    """The findings of each rule, over all comparisons of all orders in which the runs are dealt."""
    scales = {metric: scale_of(values, best=METRICS[metric].best) for metric, values in finals.items()}
    words: dict[str, list[str]] = {}
    for order in orders:
        for seeds in order.reshape(-1, 2, SEEDS):
            for name, found in rules(dealt(finals, scales, *seeds)).items():
                words.setdefault(name, []).append(found)
    return {name: counted(found) for name, found in words.items()}


def dealt(finals: dict[str, np.ndarray], scales: dict[str, Scale], own: np.ndarray, other: np.ndarray) -> Contests:
    """One comparison, of the runs at some seeds with those at others."""

    def contests(n: int) -> dict[str, Contest]:
        return {
            metric: Contest(by_seed(values[own[:n]]), by_seed(values[other[:n]]), scales[metric], runs=0)
            for metric, values in finals.items()
        }

    return contests


def by_seed(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


def rules(contests: Contests) -> dict[str, str]:
    """The word on one comparison by every rule; of both metrics the one that claims a difference."""
    found = {}
    for what, metrics in (("val loss alone", JUDGED[:1]), ("any of both metrics", JUDGED)):
        for n in (3, 5, SEEDS):
            found[f"{n} seeds, {what}"] = fixed(contests, n, metrics)
        found[f"auto:{SEEDS}, {what}"] = auto(contests, metrics)
        found[f"{SEEDS // 2} seeds, then {SEEDS}, {what}"] = fixed_then_more(contests, metrics)
    return found


def fixed(contests: Contests, n: int, metrics: Collection[str]) -> str:
    """The words with a number of seeds that was chosen beforehand."""
    chosen = {metric: contest for metric, contest in contests(n).items() if metric in metrics}
    return joint([verdict.word for verdict in judge_pairs(chosen).values()])


def auto(contests: Contests, metrics: Collection[str]) -> str:
    """The words by the rule that looks after every seed from the third on, until the loss is settled."""
    words: list[str] = []
    for n in range(FIRST, SEEDS + 1):
        words = anytime(contests, n, metrics)
        if words[0] != "inconclusive":
            break
    return joint(words)


def fixed_then_more(contests: Contests, metrics: Collection[str]) -> str:
    """Half of the seeds as fixed; all of them, by what is left of alpha, where those find no difference."""
    word = fixed(contests, SEEDS // 2, metrics)
    return word if word != "inconclusive" else joint(anytime(contests, SEEDS, metrics, LATER_SHARE))


def anytime(contests: Contests, n: int, metrics: Collection[str], share: float = 1.0) -> list[str]:
    """Words after n seeds, the loss first."""
    chosen = {metric: contest for metric, contest in contests(n).items() if metric in metrics}
    verdicts = judge_anytime(chosen, shares=dict.fromkeys(chosen, share))
    return [verdict.word for verdict in verdicts.values()]


def joint(words: Sequence[str]) -> str:
    """The first word of those that claim a difference, if any does."""
    return next((word for word in words if word in FINDINGS), words[0])


def counted(words: Sequence[str]) -> dict[str, int | float]:
    """How many comparisons got which word, and the share of false findings."""
    count = {name: words.count(name) for name in ("better", "worse", "equivalent", "inconclusive")}
    return {**count, "false share": round((count["better"] + count["worse"]) / len(words), 4)}


if __name__ == "__main__":
    main()
