"""The scale on which final values of real runs are near enough to normal to be compared by a t test.

    python benchmarks/bench_scale.py [FOLDER]

Trains four optimizers with 40 seeds on the five tasks that come with the install (800 runs, some ten minutes on one
core) in a temporary folder, or in FOLDER, where they stay and are found again. For every pair of optimizers, metric and
scale: the skewness of the paired differences, and how often a t test at 5 % finds a difference in 5 and in 10 of them,
drawn with replacement after their mean was taken off: 5 % where the scale suits. The size of the difference in standard
deviations tells what the scale does to the power. A pair on which some optimizer has no spread is left out.
"""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measure import save
from rich.console import Console
from scipy import special, stats

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.results import Section
from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.render.live import watcher
from lehi_cli.runs.specs import Budget, parse_optimizers
from lehi_cli.runs.store import Store
from lehi_cli.stats.scale import Scale

PASSES = {"digits": 600, "breast_cancer": 300, "diabetes": 300, "markov": 400, "quadratic": 1500}
OPTIMIZERS = "adam,lehi,momentum:lr=0.05,sgd:lr=0.1"
SEEDS, DRAWS = 40, 4000
SIZES = (5, 10)


def trained(store: Store) -> list[Section]:
    """The runs, by task."""
    runs = [
        run
        for task, passes in PASSES.items()
        for run in plan(Request([task], parse_optimizers(OPTIMIZERS), range(SEEDS), budget=Budget("passes", passes)))
    ]
    store.prepare()
    with watcher(Console(stderr=True), len(runs), False) as watch:
        conduct(runs, store, Settings(device="cpu"), watch)
    found = [stored for stored in (store.find(run.run_id) for run in runs) if stored is not None]
    return arrange(store, found)


def scales(section: Section, metric: str, values: Sequence[float]) -> Iterator[tuple[str, Scale]]:
    """The scales that could be used for a metric."""
    if metric == "accuracy":
        yield "difference of error rates", Scale(best=1.0)
        if max(values) < 1:
            yield "ratio of error rates", Scale("ratio", best=1.0)
        return
    yield "difference", Scale()
    if min(values) > 0:
        yield "ratio", Scale("ratio")
    floor = section.floor if metric == "loss" else None
    if floor is not None and min(values) > floor:
        yield "ratio above the floor", Scale("ratio", floor)


def looked_at(d: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Skewness, size, and false findings in small samples of centred differences."""
    found = {"skewness": float(stats.skew(d)), "size": float(d.mean() / d.std(ddof=1))}
    for n in SIZES:
        samples = rng.choice(d - d.mean(), (DRAWS, n))
        spread = samples.std(axis=1, ddof=1)
        t = np.abs(samples.mean(axis=1)) * math.sqrt(n) / np.where(spread > 0, spread, np.inf)
        found[f"false at {n}"] = float((t > -special.stdtrit(n - 1, 0.025)).mean())
    return found


def rows_of(section: Section, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Every pair of optimizers on every metric and scale."""
    for metric in ("loss", *section.metric_names[:1]):
        finals = {series.label: series.finals("val", metric) for series in section.series}
        for (one, own), (two, other) in itertools.combinations(finals.items(), 2):
            seeds = sorted(own.keys() & other.keys())
            for name, scale in scales(section, metric, [*own.values(), *other.values()]):
                d = np.array([scale.of(own[seed]) - scale.of(other[seed]) for seed in seeds])
                if d.std() > 0:
                    pair = {"task": section.task, "metric": metric, "pair": f"{one}, {two}", "scale": name}
                    yield {**pair, **looked_at(d, rng)}


def summary(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Over all pairs of a kind of metric, by scale: the median of the absolute skewness, and mean false findings."""
    found = []
    for is_accuracy, scale in dict.fromkeys((row["metric"] == "accuracy", row["scale"]) for row in rows):
        own = [row for row in rows if (row["metric"] == "accuracy", row["scale"]) == (is_accuracy, scale)]
        found.append(
            {
                "scale": scale,
                "pairs": len(own),
                "median skewness": round(float(np.median([abs(float(str(row["skewness"]))) for row in own])), 3),
                "median size": round(float(np.median([abs(float(str(row["size"]))) for row in own])), 3),
                **{
                    f"median false at {n}": round(
                        float(np.median([float(str(row[f"false at {n}"])) for row in own])), 4
                    )
                    for n in SIZES
                },
            }
        )
    return found


def main() -> None:
    """Train what is missing, look at it, save."""
    with tempfile.TemporaryDirectory() as temporary:
        sections = trained(Store(Path(sys.argv[1] if len(sys.argv) > 1 else temporary)))
        rng = np.random.default_rng(0)
        rows = [row for section in sections for row in rows_of(section, rng)]
    for row in [*rows, *summary(rows)]:
        print("  ".join(f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items()))
    save("scale", {"seeds": SEEDS, "optimizers": OPTIMIZERS, "passes": PASSES, "summary": summary(rows), "pairs": rows})


if __name__ == "__main__":
    main()
