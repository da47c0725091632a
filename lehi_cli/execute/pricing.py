"""The price of a step of each optimizer, measured in turn: A B C, C B A, A B C, ... on the device of the runs.

A machine drifts and is shared, so no time stands alone: only times within a round are compared, and within a round the
optimizers take turns of some 50 ms, so that other work on the machine slows all of them alike. Each trains its own run,
from the same weights and over the same batches, at its full learning rate.
"""

from __future__ import annotations

import gc
import itertools
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from statistics import geometric_mean, median
from typing import cast

import torch

from lehi_cli.data.locate import at_hand
from lehi_cli.errors import LehiError
from lehi_cli.registry import optimizers
from lehi_cli.runs.measurements import Measured, Measurement
from lehi_cli.runs.specs import Budget, RunSpec, Schedule, canonical_json
from lehi_cli.runs.status import Status
from lehi_cli.training.loop import Training

from .environment import environment
from .memory import memory_in_words, peak_memory
from .place import Place
from .worker import TORCH_THREADS

ROUNDS, FEWEST_ROUNDS = 10, 4
STEPS, FEWEST_STEPS = 10, 3
SECONDS = 20.0
TURN_SECONDS = 0.05
WARMUP = 3
MOST_WATCHED = 20  # steps over which peak memory is measured
ENDLESS = Budget("steps", 10**9)
PERIODS = re.compile(r"every|period|frequency|interval|gap|compute_steps|inverse_steps")


@dataclass(frozen=True)
class Shape:
    """How a measurement is divided.

    Attributes:
        rounds: number of rounds, each of which gives one ratio.
        steps: steps of each optimizer in a round.
        turn: steps that one optimizer takes before the next one's turn.
    """

    rounds: int
    steps: int
    turn: int


def measure_prices(
    runs: Sequence[RunSpec], place: Place, rounds: int = ROUNDS, seconds: float = SECONDS
) -> list[Measurement]:
    """Measure every optimizer of a plan, task by task, each at its first seed only.

    An optimizer that cannot be measured has no times and a note that says why; the others are measured without it.

    Args:
        runs: a plan, or part of one.
        place: device, data and threads of its runs.
        rounds: how often each optimizer is timed.
        seconds: time for the rounds of one task; rounds become fewer and shorter if they would take longer.
    """
    tasks: dict[str, dict[str, RunSpec]] = {}
    for run in runs:
        found = tasks.setdefault(canonical_json([run.task.identity(), run.precision]), {})
        found.setdefault(canonical_json([run.optimizer.name, run.optimizer.options]), run)
    return [_measure(list(found.values()), place, rounds, seconds) for found in tasks.values()]


def shape(step_seconds: Sequence[float], period: int, rounds: int, seconds: float) -> Shape:
    """Divide the time available.

    A round has 10 steps of each optimizer, or as many as a turn if that is more, and whole periods if that does not
    double it. If time is short, rounds become shorter and then fewer, but never less than 4 rounds of 3 steps, or of
    one period of up to 10.

    Args:
        step_seconds: seconds per step of each optimizer.
        period: steps after which the work of every optimizer repeats.
        rounds: number of rounds wanted.
        seconds: time for all rounds.
    """
    total = sum(step_seconds)
    turn = math.ceil(TURN_SECONDS / geometric_mean(step_seconds))
    fewest = period if FEWEST_STEPS < period <= STEPS else FEWEST_STEPS
    steps = max(min(max(STEPS, turn), math.floor(seconds / (rounds * total))), fewest)
    whole = math.ceil(steps / period) * period
    steps = whole if whole <= 2 * steps else steps
    return Shape(min(rounds, max(math.floor(seconds / (steps * total)), FEWEST_ROUNDS)), steps, min(turn, steps))


def period(run: RunSpec) -> int:
    """Steps after which an optimizer's work repeats, from those of its options that are named like a period."""
    periods = (value for name, value in run.optimizer.options.items() if PERIODS.search(name))
    return math.lcm(*(value for value in periods if isinstance(value, int) and value > 0))


def _measure(runs: Sequence[RunSpec], place: Place, rounds: int, seconds: float) -> Measurement:
    task = runs[0].task
    torch.set_num_threads(task.threads or place.threads or TORCH_THREADS)
    contenders = [_Contender(run, place) for run in runs]
    for contender in contenders:
        contender.watch_memory()  # first, while no other training is alive
    for contender in contenders:
        contender.warm_up()
    steps = _take_turns(contenders, rounds, seconds)
    where = environment(place.device)
    return Measurement(
        task=task.identity(),
        precision=runs[0].precision,
        device=place.device,
        device_name=where["device_name"],
        threads=where["threads"],
        torch=where["torch"],
        measured=datetime.now(UTC).isoformat(timespec="milliseconds"),
        steps=steps,
        memory=memory_in_words(place.device),
        optimizers=[contender.result() for contender in contenders],
    )


def _take_turns(contenders: Sequence[_Contender], rounds: int, seconds: float) -> int:
    """Run all rounds of the contenders that can be timed; returns the steps per round."""
    running = [contender for contender in contenders if contender.runs]
    if not running:
        return 0
    together = math.lcm(*(period(contender.run) for contender in running))
    found = shape([contender.step_seconds for contender in running], together, rounds, seconds)
    gc.collect()
    gc.freeze()  # so that collecting before each turn takes microseconds
    try:
        for _ in range(found.rounds):
            _one_round(running, found)
    finally:
        gc.unfreeze()
    return found.steps


def _one_round(running: list[_Contender], found: Shape) -> None:
    for contender in running:
        contender.begin_round()
    for done in range(0, found.steps, found.turn):
        for contender in running:
            gc.collect()
            contender.take_turn(min(found.turn, found.steps - done))
        running.reverse()  # A B C, C B A, ..., on into the next round


class _Contender:
    """An optimizer under measurement; its first exception ends the measurement and is its result."""

    def __init__(self, run: RunSpec, place: Place):
        self.run = run
        self.step_seconds = math.nan
        self._place = place
        self._training: Training | None = None
        self._rounds: list[list[tuple[int, float]]] = []  # steps and seconds of each turn
        self._peak: int | None = None
        self._notes: list[str] = []

    @property
    def runs(self) -> bool:
        """Whether it can be timed."""
        return self._training is not None

    def watch_memory(self) -> None:
        """Find the peak memory; an optimizer whose memory cannot be found may still be timed."""
        try:
            begin = partial(_begin, self.run, self._place)
            self._peak = peak_memory(begin, self._place.device, min(period(self.run), MOST_WATCHED))
        except Exception as error:  # a task or an optimizer may run any code
            self._notes = [f"peak memory not found: {_in_words(error)}"]

    def warm_up(self) -> None:
        """Build the run, and time a step."""
        with self._excused():
            self._training = _begin(self.run, self._place)
            self._batches = self._training.batches()
            self._block(WARMUP)
            self.step_seconds = median(self._block(1) for _ in range(WARMUP))
            self._before = self._training.clock.meter.thirds

    def begin_round(self) -> None:
        """Start a new round."""
        self._rounds.append([])

    def take_turn(self, steps: int) -> None:
        """Train for some steps and time them."""
        if self.runs:
            with self._excused():
                self._rounds[-1].append((steps, self._block(steps)))

    def _block(self, steps: int) -> float:
        """Seconds that some steps take, including the batches, as in a run."""
        training = cast(Training, self._training)
        _await(self._place.device)
        started = time.perf_counter()
        for batch in itertools.islice(self._batches, steps):
            self._loss = training.step(*batch)
        _await(self._place.device)
        return time.perf_counter() - started

    @contextmanager
    def _excused(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a task or an optimizer may run any code
            self._training = None
            self._notes = [f"not measured: {_in_words(error)}"]

    def result(self) -> Measured:
        """The measurements."""
        named = Measured(self.run.optimizer.name, self.run.optimizer.options, peak_bytes=self._peak)
        if self._training is None:
            return replace(named, note="; ".join(self._notes))
        outcome = self._training.outcome(Status.OK)
        passes = float((self._training.clock.meter.thirds - self._before) / 3)
        notes = self._notes if math.isfinite(self._loss.item()) else [*self._notes, "diverged while it was measured"]
        return replace(
            named,
            ms=[1000 * sum(taken for _, taken in turns) / sum(steps for steps, _ in turns) for turns in self._rounds],
            passes_per_step=passes / (outcome.steps - 2 * WARMUP),
            state_bytes_per_parameter=outcome.state_bytes / outcome.parameters,
            note="; ".join(notes),
        )


def _begin(run: RunSpec, place: Place) -> Training:
    """The run with a budget so long that no measurement reaches its end, and so at one learning rate."""
    record = optimizers.find(run.optimizer.name, run.optimizer_origin)
    options = dict(run.optimizer.options)
    if "total_steps" in record.needs:
        options["total_steps"] = None  # follows from the budget
    task = replace(run.task, budget=ENDLESS, schedule=Schedule())
    endless = replace(run, task=task, optimizer=replace(run.optimizer, options=options))
    training = Training(at_hand(endless, place.data), place.device, place.data)
    if record.modes:
        training.optimizer.train()  # type: ignore[attr-defined]
    return training


def _await(device: str) -> None:
    """Wait until the device has finished its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def _in_words(error: Exception) -> str:
    if isinstance(error, LehiError):
        return error.message
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}"
