"""One `RunSpec` in, its metrics out: the only training loop there is.

Everything random comes from a stream named by seed and purpose, so at one seed every optimizer starts from the same
weights and sees the same batches in the same order, and draws from a stream of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from lehi_cli.curvature.products import HOW_TWICE, Hessian
from lehi_cli.data.batches import Readers, Rows, reader
from lehi_cli.data.dataset import checksum
from lehi_cli.data.loading import load_dataset
from lehi_cli.errors import UsageError
from lehi_cli.registry import optimizers
from lehi_cli.runs.records import Outcome, Pulse, Row
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status

from .building import build_loss, build_model, optimizer_of
from .clock import Clock, Ticks
from .metrics import DERIVED, MEASURED
from .state import detached, state_bytes
from .steps import STEPS, Evaluation, run_model
from .streams import draw_apart, preserved_random, seed_global, stream

LOGS_PER_EVALUATION = 5
EVALUATION_ROWS = 512
EVALUATION_OUTPUTS = 2**25  # numbers in one batch of outputs: 128 MiB in fp32
PULSE_SECONDS = 0.1
STATISTICS_BATCHES = 50
FLOOR_LOSSES = ("cross_entropy", "mse")  # the losses that the floors of data sources hold for


def train(
    run: RunSpec,
    device: str,
    folder: Path,
    emit: Callable[[Row], None],
    pulse: Callable[[Pulse], None],
    hopeless: Callable[[Row], bool] = lambda _: False,
) -> Outcome:
    """Train `run` on `device` with data from `folder`, handing each logged point to `emit` and progress to `pulse`.

    The loss is read from the device once per logged point and once per pulse. A loss that is not finite ends the run
    as `diverged`, one that is `hopeless` after an evaluation ends it as `pruned`; the test split is evaluated only at
    the end of a run that is neither.

    Raises:
        LehiError: when data, model or optimizer cannot be built; anything the task's code raises passes through.
    """
    training = Training(run, device, folder)
    logs, evaluations = Ticks(run.task.evaluations * LOGS_PER_EVALUATION), Ticks(run.task.evaluations)
    clock, pulsed, healthy, pruned = training.clock, 0.0, True, False
    emit(validated := training.evaluate("val"))
    for inputs, targets in training.batches():
        loss = training.step(inputs, targets)
        progress = clock.progress
        if logs.due(progress):
            emit(point := training.log())
            healthy = math.isfinite(point.loss)
        if healthy and evaluations.due(progress):
            emit(validated := training.evaluate("val"))
            healthy = math.isfinite(validated.loss)
            pruned = healthy and hopeless(validated)
        if clock.seconds - pulsed >= PULSE_SECONDS or progress >= 1:
            pulsed = clock.seconds
            pulse(Pulse(progress, clock.steps, loss.item(), pulsed, validated.loss))
        if progress >= 1 or not healthy or pruned:
            break
    clock.pause(device)
    if healthy and not pruned:
        emit(training.evaluate("test"))
    return training.outcome(Status.PRUNED if pruned else Status.OK if healthy else Status.DIVERGED)


class Training:
    """A run in progress: data, model, loss and optimizer, and what has been spent."""

    def __init__(self, run: RunSpec, device: str, folder: Path):
        task = run.task
        if task.threads is not None:
            torch.set_num_threads(task.threads)
        self._run = run
        self._device = device
        self.data = load_dataset(task, folder)
        self._splits = {name: split.to(device) for name, split in self.data.splits.items()}
        self.model = build_model(run, self.data, device)
        self._init_checksum = _checksum(*self.model.state_dict().values())
        self.loss = build_loss(task)
        self._precision = _precision(run.precision, device)
        self.reader = reader(self._splits["train"], task.batch_size, self.data.window)
        for name in ("val", "test"):
            self._evaluation_batches(name)  # refuses a split that is too short, before anything is trained
        self._state: object = None
        self._sum = torch.zeros((), device=device)
        self._count = 0
        self.clock = Clock(task.budget, self.reader.samples, self.reader.steps)
        self._record = optimizers.find(run.optimizer.name, run.optimizer_origin)
        self.optimizer = optimizer_of(run, self._record, self.model, self.loss, self.clock.total_steps)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._record.draws:
            draw_apart(self.optimizer, stream(run.seed, "optimizer"), torch.device(device))
        self._diagnostics: dict[str, Tensor | float] = {}
        seed_global(stream(run.seed, "train"), device)  # dropout, and whatever else the model draws while it trains

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Mini-batches of the training split, augmented, epoch after epoch, without end.

        Each epoch has its own streams for order and augmentation, so it does not depend on the epochs before it.
        """
        seed, augment = self._run.seed, self.data.augment
        for epoch in itertools.count():
            self._state = None
            generator = torch.Generator(self._device).manual_seed(stream(seed, f"augment/{epoch}"))
            for inputs, targets in self.reader.shuffled(stream(seed, f"order/{epoch}")):
                yield self._prepare(inputs if augment is None else augment(inputs, generator), targets)

    def check_differentiable(self) -> None:
        """Differentiate the model twice on two samples, if that is what the optimizer will do.

        Raises:
            UsageError: when a layer of the model can be differentiated only once; quotes torch on which.
        """
        if self._record.kind not in ("differentiable", "whole"):
            return
        inputs, targets = self._prepare(*next(self.reader.in_order()))
        params = [p for p in self.model.parameters() if p.requires_grad]
        with self._precision():
            loss = self.loss(run_model(self.model, inputs[:2], None)[0], targets[:2])
        try:
            hessian = Hessian(loss, params)
            hessian.product(torch.ones_like(hessian.gradient))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"{self._run.label} differentiates twice, and a layer of {self._run.task.name} cannot: {reason}",
                f"in the task's model, {HOW_TWICE}",
            ) from error

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """One optimizer step at the scheduled learning rate; returns the loss before it, still on the device."""
        factor = self._run.task.schedule.factor(self.clock.progress)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        evaluation = Evaluation(self.model, self.loss, inputs, targets, self.clock.meter, self._precision, self._state)
        loss = self._drive(evaluation)
        for name, value in getattr(self.optimizer, "diagnostics", {}).items():
            self._diagnostics[name] = value + self._diagnostics.get(name, 0.0)
        self._state = detached(evaluation.next_state)
        self._sum += loss
        self._count += 1
        self.clock.steps += 1
        self.clock.samples += len(inputs)
        return loss

    def _drive(self, evaluation: Evaluation) -> Tensor:
        """One step, in the way of the optimizer's kind."""
        return STEPS[self._record.kind](self.optimizer, evaluation)

    def log(self) -> Row:
        """Means over the steps since the last call: the training loss, and the optimizer's diagnostics."""
        mean = (self._sum / self._count).item()
        diagnostics = {name: float(value) / self._count for name, value in self._diagnostics.items()}
        self._diagnostics.clear()
        self._sum.zero_()
        self._count = 0
        return self._row("train", self.clock.seconds, mean, diagnostics)

    @torch.no_grad()
    def evaluate(self, name: str) -> Row:
        """Loss and metrics over a whole split, in evaluation mode, while the clock stands still."""
        seconds = self.clock.pause(self._device)
        measured = [metric for metric in self._run.task.metrics if metric in MEASURED]
        sums = torch.zeros(1 + len(measured), device=self._device)
        weight = torch.zeros((), device=self._device)
        state: object = None
        if self._record.modes:
            self._evaluation_mode()
        self.model.eval()
        for batch in self._evaluation_batches(name).in_order():
            inputs, targets = self._prepare(*batch)
            with self._precision():
                outputs, state = run_model(self.model, inputs, state)
            values = [self.loss(outputs, targets), *(MEASURED[metric](outputs, targets) for metric in measured)]
            share = self.loss.predictions(outputs, targets)
            sums += share * torch.stack([value.float() for value in values])
            weight += share
        self.model.train()
        if self._record.modes:
            self.optimizer.train()  # type: ignore[attr-defined]
        loss, *rest = (sums / weight).tolist()
        metrics = dict(zip(measured, rest, strict=True))
        metrics |= {name: DERIVED[name](loss) for name in self._run.task.metrics if name in DERIVED}
        row = self._row(name, seconds, loss, metrics)
        self.clock.resume()
        return row

    def _evaluation_mode(self) -> None:
        """Swap in the weights to evaluate, and measure BatchNorm's statistics under them; not part of training."""
        self.optimizer.eval()  # type: ignore[attr-defined]
        batches = (self._prepare(*batch)[0] for batch in self.reader.in_order())
        with preserved_random(torch.device(self._device)), self._precision():
            update_bn(itertools.islice(batches, STATISTICS_BATCHES), self.model)

    def _evaluation_batches(self, name: str) -> Rows | Readers:
        return reader(self._splits[name], self._evaluation_size(), self.data.window)

    def _evaluation_size(self) -> int:
        """Rows per evaluation batch: many, but few enough that a large vocabulary does not fill the memory."""
        if self.data.window is not None:
            return self._run.task.batch_size
        outputs = self._splits["train"].targets[0].numel() * self.data.outputs
        return min(EVALUATION_ROWS, max(EVALUATION_OUTPUTS // outputs, 1))

    def _prepare(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A stored batch in the form that model and loss take; class indices are widened as the losses need."""
        if self.data.prepare is not None:
            inputs, targets = self.data.prepare(inputs, targets)
        return inputs, targets if targets.is_floating_point() else targets.long()

    def _row(self, split: str, seconds: float, loss: float, metrics: dict[str, float]) -> Row:
        clock = self.clock
        lr = self.optimizer.param_groups[0]["lr"]
        return Row(split, clock.epoch, clock.steps, clock.samples, clock.meter.passes, seconds, loss, lr, metrics)

    def outcome(self, status: Status) -> Outcome:
        """The outcome of the run."""
        return Outcome(
            status=status,
            steps=self.clock.steps,
            passes=self.clock.meter.passes,
            seconds=self.clock.banked,
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            state_bytes=state_bytes(self.optimizer),
            init_checksum=self._init_checksum,
            order_checksum=_checksum(self.reader.order(stream(self._run.seed, "order/0"))),
            data_checksum=self.data.checksum,
            floor=dict(self.data.floor) if self._run.task.loss in FLOOR_LOSSES else {},
            fallbacks=dict(getattr(self.optimizer, "fallbacks", {})),
        )


def _precision(name: str, device: str) -> Callable[[], AbstractContextManager[object]]:
    if name == "fp32":
        return nullcontext
    return partial(torch.autocast, device.partition(":")[0], dtype=torch.bfloat16)


def _checksum(*tensors: Tensor) -> str:
    return checksum(tensor.detach().cpu().numpy() for tensor in tensors)
