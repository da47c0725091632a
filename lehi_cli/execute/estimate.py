"""What a plan will cost, from a few steps of each pair of task and optimizer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from lehi_cli.errors import LehiError
from lehi_cli.specs import RunSpec
from lehi_cli.train import Training

from .place import Place

WARMUP, MEASURED = 2, 5


@dataclass(frozen=True)
class Cost:
    """What a run is expected to take.

    Attributes:
        passes: gradient equivalents; None when the budget is in seconds.
        seconds: training and evaluation.
    """

    passes: float | None
    seconds: float


def estimate_costs(runs: Sequence[RunSpec], place: Place) -> dict[str, Cost | str]:
    """The expected cost of each run by its id, or why there is none.

    Runs of one task and one optimizer are taken to cost alike whatever their options. Nothing is stored.
    """
    known: dict[tuple[str, str], Cost | str] = {}
    costs = {}
    for run in runs:
        pair = (run.task.name, run.optimizer.name)
        if pair not in known:
            known[pair] = _measure(run, place)
        costs[run.run_id] = known[pair]
    return costs


def _measure(run: RunSpec, place: Place) -> Cost | str:
    try:
        training = Training(run, place.device, place.data)
        started = time.perf_counter()
        training.evaluate("val")
        evaluation = time.perf_counter() - started
        taken = []
        for inputs, targets in itertools.islice(training.batches(), WARMUP + MEASURED):
            started = time.perf_counter()
            training.step(inputs, targets).item()  # waits for the device
            taken.append(time.perf_counter() - started)
    except LehiError as error:
        return error.message
    except Exception as error:  # a plan may be looked at though its runs will fail
        return f"{type(error).__name__}: {error}"
    return _cost(run, training, median(taken[WARMUP:] or taken), len(taken), evaluation)


def _cost(run: RunSpec, training: Training, step: float, steps: int, evaluation: float) -> Cost:
    budget, clock = run.task.budget, training.clock
    evaluations = evaluation * (run.task.evaluations + 2)  # one before the first step, and the test split
    each = clock.meter.passes / steps
    if budget.kind == "seconds":
        return Cost(None, budget.amount + evaluations)
    total = budget.amount / each if budget.kind == "passes" else float(clock.total_steps or 0)
    return Cost(total * each, total * step + evaluations)
