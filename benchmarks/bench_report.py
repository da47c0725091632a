"""Time and memory of `lehi report` over large stores, against an empty Python process.

    python benchmarks/bench_report.py [FOLDER]

Nothing is trained: the runs are made up, 100 metric rows each, and written as any run is. The stores are made in a
temporary folder, or in FOLDER, where they stay and are found again the next time.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from measure import save

from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.specs import Budget, OptimSpec, RunSpec, parse_optimizers, parse_seeds
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store

ROUNDS = 3
POINTS = 50
STEPS = 5000
NAMED = "lehi,lehibrid,adam,adamw,sgd,rmsprop,nadam,radam,adagrad,adamax"


@dataclass(frozen=True)
class Shape:
    """The shape of a store: `tasks` sections, each of `series` optimizers at `seeds` seeds."""

    tasks: int
    series: int
    seeds: int

    def __str__(self) -> str:
        runs = self.tasks * self.series * self.seeds
        return f"{runs} runs ({self.tasks} tasks x {self.series} optimizers x {self.seeds} seeds)"


SHAPES = (Shape(10, 10, 10), Shape(100, 10, 1), Shape(1, 1000, 1), Shape(10, 10, 100))


def make(root: Path, shape: Shape) -> None:
    """Write a store of that shape, unless it is there."""
    if root.exists():
        return
    store = Store(root.with_suffix(".part"))
    store.prepare()
    base = plan(
        Request(["digits"], optimizers(shape.series), parse_seeds(str(shape.seeds)), budget=Budget("steps", STEPS))
    )
    for i in range(shape.tasks):
        for run in base:
            record(replace(run, task=replace(run.task, name=f"task_{i:03d}")), store)
    store.root.rename(root)


def optimizers(count: int) -> list[OptimSpec]:
    """Ten of different names, or one at many learning rates."""
    if count <= 10:
        return parse_optimizers(NAMED)[:count]
    return [OptimSpec("adam", {"lr": float(f"{10 ** (-5 + 4 * i / count):.5g}")}, f"adam {i}") for i in range(count)]


def record(run: RunSpec, store: Store) -> None:
    """Make a run up: 50 training rows, 49 validation rows, one test row."""
    recorder = store.claim(run, {"device": "cpu", "device_name": "none", "threads": 1, "mock": True})
    if recorder is None:
        return
    draw = random.Random(run.run_id)
    final = draw.uniform(0.1, 0.2)
    for i in range(1, POINTS + 1):
        recorder.add(row("train", i, final * draw.uniform(0.8, 1.0)), {"rank": float(i)})
        value = row("val" if i < POINTS else "test", i, final * draw.uniform(1.0, 1.1))
        recorder.add(value, {"accuracy": math.exp(-float(value["loss"]))})
    paired = f"{random.Random(run.seed).getrandbits(64):016x}"
    outcome = Outcome(Status.OK, STEPS, float(STEPS), STEPS / 1000, 650, 5200, paired, paired, "", {}, {})
    recorder.finish(Status.OK, asdict(outcome), {})


def row(split: str, i: int, final: float) -> dict[str, float | str]:
    """One logged point."""
    step = STEPS * i // POINTS
    return {
        "split": split, "epoch": step / 100, "step": step, "samples": 32 * step, "passes": float(step),
        "seconds": step / 1000, "loss": final + 2 * math.exp(-5 * i / POINTS), "lr_now": 0.01,
    }  # fmt: skip


def measured(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a Python with these arguments."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(said.decode())
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Make the stores, then measure."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        commands = {"python": ["-c", "pass"]}
        for shape in SHAPES:
            root = folder / f"{shape.tasks}x{shape.series}x{shape.seeds}"
            make(root, shape)
            report = ["-m", "lehi_cli", "report", "--runs", str(root)]
            commands |= {f"{shape}": report, f"{shape}, --json": [*report, "--json"]}
        load = os.getloadavg()[0]
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, arguments in commands.items():
                taken[name].append(measured(arguments))
    summary = {
        name: {"seconds": median(s for s, _ in values), "peak_mb": max(mb for _, mb in values)}
        for name, values in taken.items()
    }
    for name, numbers in summary.items():
        print(f"{name:60s} {numbers['seconds']:7.2f} s {numbers['peak_mb']:7.0f} MB")
    save("report", {"rounds": ROUNDS, "load_before": load, "cores": os.cpu_count(), "reports": summary})


if __name__ == "__main__":
    main()
