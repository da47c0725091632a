"""The expected cost of a plan, from a few steps of each pair of task and optimizer.

Work that recurs every few steps, such as LEHI's curvature, is measured over whole periods, so that its passes are
counted and not guessed. A slow model is measured over as many steps as there is time for.
"""

from __future__ import annotations

import itertools
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, median

from lehi_cli.data.locate import at_hand
from lehi_cli.errors import LehiError
from lehi_cli.runs.specs import Budget, RunSpec, canonical_json
from lehi_cli.training.loop import Training

from .place import Place
from .pricing import period

WARMUP, MEASURED = 2, 5
MOST_STEPS = 500  # a longer period is not measured whole
SECONDS, SECONDS_EACH = 30.0, 3.0  # for all measurements together, and the most for one
FREE = {"lr", "betas", "eps", "weight_decay", "clip"}
"""Options that change what a step does with its gradients, but not what it costs."""


@dataclass(frozen=True)
class Cost:
    """The expected cost of a run.

    Attributes:
        passes: gradient equivalents; None if the budget is in seconds.
        seconds: seconds of training and evaluation.
        note: why the passes are rough; empty if every step of a period was counted.
    """

    passes: float | None
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Steps:
    """The cost of the first steps of a run, and of the period that repeats after them.

    Attributes:
        first: thirds of a gradient of each of the first steps.
        cycle: thirds of a gradient of each step of the period.
        seconds: seconds per step, the mean over the period.
    """

    first: Sequence[Fraction]
    cycle: Sequence[Fraction]
    seconds: float

    def thirds(self, steps: int) -> Fraction:
        """Thirds of a gradient that this number of steps costs."""
        rounds, rest = divmod(max(steps - len(self.first), 0), len(self.cycle))
        whole: Fraction = rounds * sum(self.cycle, Fraction())
        return sum(self.first[:steps], Fraction()) + whole + sum(self.cycle[:rest], Fraction())

    def within(self, passes: float) -> int:
        """Steps after which a budget of passes is spent: the first count to reach it, as a step costs a forward."""
        wanted = Fraction(3) * Fraction(passes)
        return bisect_left(range(math.ceil(wanted) + 1), wanted, key=self.thirds)


def estimate_costs(
    runs: Sequence[RunSpec], place: Place, say: Callable[[str], None] = lambda _: None
) -> dict[str, Cost | str]:
    """The expected cost of each run by its id, or why there is none.

    Runs that differ only in their seed or in options without a price, such as the learning rate, are measured once.
    Nothing is stored.

    Args:
        runs: a plan, or part of one.
        place: device and data of its runs.
        say: is called with a line about each measurement before it starts.
    """
    alike: dict[str, list[RunSpec]] = {}
    for run in runs:
        alike.setdefault(_price_key(run), []).append(run)
    allowed = min(SECONDS_EACH, SECONDS / max(len(alike), 1))
    costs: dict[str, Cost | str] = {}
    for same in alike.values():
        say(f"measuring a few steps of {same[0].label} on {same[0].task.name}")
        costs |= dict.fromkeys((run.run_id for run in same), _measure(same[0], place, allowed))
    return costs


def _price_key(run: RunSpec) -> str:
    """The key that runs of one price share."""
    options = {name: value for name, value in run.optimizer.options.items() if name not in FREE}
    return canonical_json([run.task.identity(), run.precision, run.optimizer.name, run.optimizer_code, options])


def _measure(run: RunSpec, place: Place, allowed: float) -> Cost | str:
    try:
        training = Training(at_hand(run, place.data), place.device, place.data)
        steps, note = _take_steps(run, training, allowed)
        return _cost(run, training, steps, _evaluation_seconds(training, steps, allowed), note)
    except LehiError as error:
        return error.message
    except Exception as error:  # a plan can be previewed even if its runs will fail
        return f"{type(error).__name__}: {error}"


def _take_steps(run: RunSpec, training: Training, allowed: float) -> tuple[Steps, str]:
    """Take as many steps as there is time for, at least one; also returns why they do not tell the passes, if so."""
    repeats = period(run)
    wanted = WARMUP + math.ceil(MEASURED / repeats) * repeats
    most = min(wanted, MOST_STEPS, _most_steps(run.task.budget, training))
    thirds, seconds = list[Fraction](), list[float]()
    for inputs, targets in itertools.islice(training.batches(), most):
        before, started = training.clock.meter.thirds, time.perf_counter()
        training.step(inputs, targets).item()  # waits for the device
        seconds.append(time.perf_counter() - started)
        thirds.append(Fraction(training.clock.meter.thirds - before))
        if sum(seconds) >= allowed:
            break
    taken = len(thirds)
    if taken == wanted:
        return _periodic(thirds, seconds, repeats), ""
    told = taken == most < MOST_STEPS or taken > repeats  # all of the budget, or a period after the first step
    short = f"passes of {run.label} are rough: its work repeats after {repeats} steps, and there was time for {taken}"
    note = "" if told or repeats == 1 else short
    cycle = thirds[-repeats:] if told else [sum(thirds, Fraction()) / taken]
    return Steps(thirds, cycle, fmean(seconds[1:] or seconds)), note


def _periodic(thirds: Sequence[Fraction], seconds: Sequence[float], repeats: int) -> Steps:
    """The steps from a warm-up and whole periods: mean thirds and median seconds of each step of the period."""
    phases = [slice(WARMUP + i, None, repeats) for i in range(repeats)]
    cycle = [sum(thirds[phase], Fraction()) / len(thirds[phase]) for phase in phases]
    return Steps(thirds[:WARMUP], cycle, fmean(median(seconds[phase]) for phase in phases))


def _most_steps(budget: Budget, training: Training) -> int:
    """The most steps that a run can take; `MOST_STEPS` for a budget of seconds."""
    return MOST_STEPS if budget.kind == "seconds" else int(training.clock.total_steps or 1)


def _evaluation_seconds(training: Training, steps: Steps, allowed: float) -> float:
    """Seconds of one evaluation: measured or, if that takes too long, computed as forward passes of a step's price."""
    sizes = {name: len(split) for name, split in training.data.splits.items()}
    batches = training.reader.steps * sizes["val"] / sizes["train"]
    mean = sum(steps.cycle, Fraction()) / len(steps.cycle)
    guess = batches * steps.seconds / float(mean)
    if guess > allowed:
        return guess
    started = time.perf_counter()
    training.evaluate("val")
    return time.perf_counter() - started


def _cost(run: RunSpec, training: Training, steps: Steps, evaluation: float, note: str) -> Cost:
    budget = run.task.budget
    evaluations = evaluation * (run.task.evaluations + 2)  # one before the first step, and the test split
    if budget.kind == "seconds":
        return Cost(None, budget.amount + evaluations)
    passes = training.clock.total_passes
    count = steps.within(passes) if passes else int(training.clock.total_steps or 0)
    return Cost(float(steps.thirds(count) / 3), count * steps.seconds + evaluations, note)
