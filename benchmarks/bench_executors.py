"""The cost and gain of executors: a run's overhead, a pool of two against one at a time, made-up plans at scale.

    python benchmarks/bench_executors.py

The pool is measured as it is used, by the whole command: 9 rates x 4 optimizers x 3 seeds on digits, including all
imports. The load of the machine before and after is recorded: other programs take one of the cores.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import ratios, save, seconds_in_turn, show

from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.execute.place import Place
from lehi_cli.execute.worker import execute
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.render.live import watcher
from lehi_cli.runs.specs import Budget, RunSpec, parse_optimizers
from lehi_cli.runs.store import Store
from lehi_cli.training.loop import Training

OPTIMIZERS = "adam,adamw,sgd,lehi"
RATES = "lr=1e-4..1e-1/log9"
PAIRS = 3


def runs_of(optimizers: str, seeds: int, steps: int) -> list[RunSpec]:
    return plan(Request(["digits"], parse_optimizers(optimizers), range(seeds), budget=Budget("steps", steps)))


def command(executor: str) -> Callable[[], None]:
    """The whole command, in its own process and with its own store."""
    optims = ",".join(f"{name}:{RATES}" for name in OPTIMIZERS.split(","))
    arguments = [
        "compare",
        "--task",
        "digits",
        "--optims",
        optims,
        "--seeds",
        "3",
        "--device",
        "cpu",
        "--quiet",
        "--json",
    ]
    arguments += ["--executor", executor, "--jobs", "2"]

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "lehi_cli", *arguments, "--runs", folder], capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr.decode()
            assert len(list(Path(folder).iterdir())) == 108

    return run


def fixed_cost(repeats: int = 60) -> dict[str, float]:
    """Milliseconds of a serial run beyond its steps: claim, data, model, optimizer, evaluations, record.

    Measured in processor time of one thread, which other programs disturb less than wall-clock time.
    """
    steps = 20
    runs, place = runs_of("adam", repeats + 1, steps), Place("cpu", Path(), 1)
    whole, inside = [], []
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            start = time.process_time()
            execute(run, place, Store(Path(folder)), lambda: None, lambda _: None)
            whole.append(time.process_time() - start)
            training = Training(run, "cpu", Path())
            batches = training.batches()
            start = time.process_time()
            for _ in range(steps):
                training.step(*next(batches))
            inside.append(time.process_time() - start)
    beyond = [(a - b) * 1e3 for a, b in zip(whole[1:], inside[1:], strict=True)]
    low, median, high = statistics.quantiles(beyond, n=4)
    return {"milliseconds": median, "low": low, "high": high, "evaluations": runs[0].task.evaluations + 2}


def made_up(count: int = 10_000) -> float:
    """Seconds for `count` made-up runs."""
    runs = runs_of(f"adam:lr=1e-5..1e-1/log{count // 20}", 20, 25)
    from rich.console import Console

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        conduct(runs, Store(Path(folder)), Settings(executor="mock"), watcher(Console(stderr=True), len(runs), True))
        return time.perf_counter() - start


def main() -> None:
    """Measure all three."""
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    fixed = fixed_cost()
    print(f"a serial run beyond its steps: {fixed['milliseconds']:.1f} ms [{fixed['low']:.1f}, {fixed['high']:.1f}]")
    seconds = made_up()
    print(f"10,000 made-up runs: {seconds:.1f} s")
    taken = seconds_in_turn({"pool of 2": command("pool"), "serial": command("serial")}, PAIRS)
    summary = ratios(taken, "pool of 2")
    show("9 rates x 4 optimizers x 3 seeds on digits, whole command", summary, "pool of 2")
    load = {"before": before, "after": os.getloadavg()[0]}
    print(f"load of the machine (its own included): {load}")
    save("executors", {"fixed": fixed, "made_up_seconds": seconds, "pool": summary, "load": load})


if __name__ == "__main__":
    main()
