"""What every task must do: the checks behind `lehi tasks check`.

Each trains for a few steps at most, on any task, including a user's own, with fake data where real data is not at hand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from lehi_cli.curvature import Loss, check_loss
from lehi_cli.data.dataset import Split, Table
from lehi_cli.data.locate import at_hand
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.runs.specs import Budget, RunSpec, TaskSpec, parse_optimizers
from lehi_cli.training.loop import Training
from lehi_cli.training.steps import STEPS, Evaluation, Meter, run_model

from .findings import Finding, NonconformityError, find_all, require

FEW_STEPS = 3
FEW_ROWS = 8
OVERFIT_STEPS, OVERFIT_SHARE = 60, 0.28  # of the way from the start down to the loss of the best outputs
LEAST_STEPS = 30
FACTOR_NUMBERS, FACTOR_DRAWS = 40_000_000, (500, 4000)
SHARED_ROWS = 0.01
STREAM_CHUNK = 64
TIMED_STEPS = 3


def check_task(task: str, device: str, folder: Path, fake: bool) -> Iterator[Finding]:
    """Run every check on a task, one after the other.

    A check that fails, for whatever reason, does not stop the next.
    """
    lehi, adam = plan(
        Request([task], parse_optimizers("lehi,adam"), [0], budget=Budget("steps", 10), fake=fake, data=folder)
    )
    yield from find_all(CHECKS, Subject(lehi, adam, device, folder))


@dataclass(frozen=True)
class Subject:
    """The task under two optimizers, and where it is trained."""

    lehi: RunSpec
    adam: RunSpec
    device: str
    folder: Path

    @property
    def task(self) -> TaskSpec:
        """The task itself."""
        return self.adam.task

    def training(self, run: RunSpec | None = None, rows: int | None = None) -> Training:
        """The run, by default Adam's, ready for its first step, with batches of its own size or of `rows`."""
        run = run or self.adam
        if rows is not None:
            run = replace(run, task=replace(run.task, batch_size=rows))
        return Training(at_hand(run, self.folder), self.device, self.folder)


def shapes(subject: Subject) -> str:
    """The model takes a batch, the loss takes its outputs, and both are finite."""
    training = subject.training()
    inputs, targets = next(training.batches())
    outputs, _ = run_model(training.model, inputs, None)
    loss = training.loss(outputs, targets)
    require(bool(outputs.isfinite().all()), "the model's outputs are not all finite at the start")
    require(bool(loss.isfinite()), f"the loss is {loss.item()} at the start")
    sizes = f"inputs {list(inputs.shape)}, outputs {list(outputs.shape)}, loss {loss.item():.4g}"
    return "; ".join([sizes, *(training.data.notes if isinstance(training.data, Table) else ())])


def gradients(subject: Subject) -> str:
    """The loss depends on every parameter."""
    training = subject.training()
    inputs, targets = next(training.batches())
    outputs, _ = run_model(training.model, inputs, None)
    training.loss(outputs, targets).backward()
    named = list(training.model.named_parameters())
    without = [name for name, p in named if p.requires_grad and (p.grad is None or not bool(p.grad.any()))]
    require(not without, f"no gradient reaches {', '.join(without)}")
    return f"{len(named)} tensors, {sum(p.numel() for _, p in named)} parameters"


def determinism(subject: Subject) -> str:
    """Two runs at one seed are the same, bit for bit on a CPU."""
    first, second = (_losses(subject.training(subject.lehi, FEW_ROWS)) for _ in range(2))
    require(first == second, f"two runs at one seed differ: losses {first} and {second}")
    return f"{FEW_STEPS} steps repeat exactly"


def evaluation(subject: Subject) -> str:
    """Evaluating changes nothing that training sees, and gives the same result twice."""
    training = subject.training(rows=FEW_ROWS)
    first, second = training.evaluate("val"), training.evaluate("val")
    require(first.loss == second.loss, f"two evaluations differ: {first.loss} and {second.loss}")
    require(
        _losses(training) == _losses(subject.training(rows=FEW_ROWS)), "evaluating first changes the training after it"
    )
    values = ", ".join(f"{name} {value:.4g}" for name, value in first.metrics.items())
    return f"val loss {first.loss:.4g}" + (f", {values}" if values else "")


def overfitting(subject: Subject) -> str:
    """A few samples can be learnt by heart, or nearly: the loss goes part of the way down to the lowest possible."""
    start, least, lowest = math.inf, -math.inf, math.inf
    for rate in (1e-2, 1e-3):
        training = subject.training(rows=FEW_ROWS)
        inputs, targets = next(training.batches())
        optimizer = torch.optim.Adam(training.model.parameters(), lr=rate)
        for step in range(OVERFIT_STEPS):
            evaluation = Evaluation(training.model, training.loss, inputs, targets, Meter(), nullcontext)
            loss = STEPS["gradient"](optimizer, evaluation).item()
            if step == 0:
                start, least = loss, least_loss(training.loss, run_model(training.model, inputs, None)[0], targets)
            lowest = min(lowest, loss)
            if start - loss > OVERFIT_SHARE * (start - least) > 0:
                return f"loss {start:.4g} -> {loss:.4g} in {step} steps on {FEW_ROWS} samples"
    raise NonconformityError(
        f"{OVERFIT_STEPS} steps of Adam on {FEW_ROWS} samples bring the loss from {start:.4g} down to {lowest:.4g} "
        f"only; the best outputs bring it to {least:.4g}"
    )


def least_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> float:
    """The lowest loss of any outputs, as far as L-BFGS gets from `outputs`.

    It need not be 0: soft targets have an entropy that no outputs beat, and the loss on counts may be below 0.
    """
    free = outputs.detach().float().requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=LEAST_STEPS, history_size=5, line_search_fn="strong_wolfe")
    seen: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss.split(free, targets)
        value.backward()
        seen.append(value.item())
        return value

    optimizer.step(closure)
    return min(filter(math.isfinite, seen), default=-math.inf)


def splits(subject: Subject) -> str:
    """At most 1 % of the rows of `val` or `test`, as may happen by chance, are in `train` too."""
    data = subject.training().data
    rows = {name: _fingerprints(split, data.window is not None) for name, split in data.splits.items()}
    require(set(rows) == {"train", "val", "test"}, f"splits are {', '.join(rows)}, not train, val, test")
    for name in ("val", "test"):
        shared = sum(row in rows["train"] for row in rows[name])
        share = shared / len(rows[name])
        require(share <= SHARED_ROWS, f"{shared} of {len(rows[name])} rows of {name} are in train too")
    return ", ".join(f"{name} {len(split)}" for name, split in data.splits.items())


def passes(subject: Subject) -> str:
    """A step of Adam costs one pass, a step of LEHI 5/3, as counted."""
    counted = {}
    for run, expected in ((subject.adam, 3), (subject.lehi, 5)):
        training = subject.training(run, FEW_ROWS)
        training.step(*next(training.batches()))
        thirds = training.clock.meter.thirds
        require(thirds == expected, f"a step of {run.label} counts {thirds}/3 passes, not {expected}/3")
        counted[run.label] = thirds
    return ", ".join(f"{label} {thirds}/3" for label, thirds in counted.items())


def factor(subject: Subject) -> str:
    """The loss is averaged as it claims, and the second moment of its factor is its Hessian in the outputs."""
    training = subject.training(rows=2)
    inputs, targets = next(training.batches())
    with torch.no_grad():
        outputs, _ = run_model(training.model, inputs, None)
    generator = torch.Generator(outputs.device).manual_seed(0)
    draws = min(max(FACTOR_NUMBERS // outputs.numel(), FACTOR_DRAWS[0]), FACTOR_DRAWS[1])
    try:
        ratio = check_loss(training.loss, outputs, targets, draws=draws, generator=generator)
    except ValueError as error:
        raise NonconformityError(str(error)) from error
    return f"sampled / exact curvature {ratio:.3f} ({draws} draws)"


def cost(subject: Subject) -> str:
    """Not a check but a price: the time of a step."""
    times = {run.label: _milliseconds(subject.training(run)) for run in (subject.adam, subject.lehi)}
    return ", ".join(f"{label} {time:.3g} ms" for label, time in times.items()) + " per step"


CHECKS: dict[str, Callable[[Subject], str]] = {
    "shapes and finite loss": shapes,
    "gradient reaches every parameter": gradients,
    "deterministic at a seed": determinism,
    "evaluation leaves training alone": evaluation,
    "overfits a few samples": overfitting,
    "splits are disjoint": splits,
    "passes are counted": passes,
    "curvature factor fits the loss": factor,
    "cost of a step": cost,
}


def _losses(training: Training) -> list[float]:
    return [training.step(*batch).item() for batch in islice(training.batches(), FEW_STEPS)]


def _milliseconds(training: Training) -> float:
    """Median time of a step, after one to warm up."""
    times = []
    for inputs, targets in islice(training.batches(), TIMED_STEPS + 1):
        start = time.perf_counter()
        training.step(inputs, targets).item()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[TIMED_STEPS // 2] * 1e3


def _fingerprints(split: Split, is_stream: bool) -> set[bytes]:
    """Each row's inputs and targets as bytes; a long sequence in chunks."""
    inputs, targets = split.inputs, split.targets
    if is_stream:
        inputs, targets = (_chunks(whole) for whole in (inputs, targets))
    return {
        own.numpy().tobytes() + other.numpy().tobytes() for own, other in zip(inputs.cpu(), targets.cpu(), strict=True)
    }


def _chunks(sequence: Tensor) -> Tensor:
    return sequence[: len(sequence) // STREAM_CHUNK * STREAM_CHUNK].view(-1, STREAM_CHUNK)
