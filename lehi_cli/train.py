"""One `RunSpec` in, its metrics out: the only training loop there is.

Everything random comes from a stream named by seed and purpose, so at one seed every optimizer starts from the same
weights and sees the same batches in the same order, and draws from a stream of its own.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import update_bn

from lehi_cli.curvature import Loss, make_loss
from lehi_cli.curvature.products import HOW_TWICE, Hessian
from lehi_cli.data.batches import Readers, Rows, reader
from lehi_cli.data.dataset import Dataset, checksum
from lehi_cli.data.loading import load_dataset
from lehi_cli.errors import UsageError
from lehi_cli.metrics import DERIVED, METRICS
from lehi_cli.records import Outcome, Pulse, Row
from lehi_cli.registry import optimizers
from lehi_cli.registry.plugins import call, resolve
from lehi_cli.specs import Budget, RunSpec, TaskSpec
from lehi_cli.steps import STEPS, Evaluation, Meter, run_model
from lehi_cli.streams import draw_apart, preserved_random, seed_global

LOGS_PER_EVALUATION = 5
EVALUATION_ROWS = 512
EVALUATION_OUTPUTS = 2**25  # numbers in one batch of outputs: 128 MiB in fp32
PULSE_SECONDS = 0.1
STATISTICS_BATCHES = 50
HOW_LOSS = (
    "lehi_cli.curvature.CustomLoss(my_loss, my_factor, predictions='rows') makes one of a function of outputs and "
    "targets and a factor of its Hessian in the outputs"
)
FLOOR_LOSSES = ("cross_entropy", "mse")  # what the floors of data sources are of


def stream(seed: int, purpose: str) -> int:
    """Seed of the random stream for one purpose, in [0, 2^63)."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()) >> 1


class Clock:
    """What has been spent of the budget; stands still until the first `resume`."""

    def __init__(self, budget: Budget, samples: int, steps_per_epoch: int):
        self.meter = Meter()
        self.steps = 0
        self.samples = 0
        self.banked = 0.0
        self._since: float | None = None
        self._samples = samples
        self._budget = budget
        self._amount = budget.amount
        if budget.kind in ("epochs", Budget.EPOCH_PASSES):
            self._amount = max(1, round(budget.amount * steps_per_epoch))

    @property
    def total_steps(self) -> int | None:
        """Steps that the budget is good for at one gradient a step; None for a budget of seconds."""
        if self._budget.kind == "seconds":
            return None
        return math.ceil(self._amount)

    @property
    def total_passes(self) -> float | None:
        """Passes that the budget is good for; None where steps or the clock decide."""
        return float(self._amount) if self._budget.is_price else None

    @property
    def epoch(self) -> float:
        """Passes over the training split."""
        return self.samples / self._samples

    @property
    def seconds(self) -> float:
        """Training time so far; what passes between `pause` and `resume` does not count."""
        return self.banked if self._since is None else self.banked + (time.perf_counter() - self._since)

    def pause(self, device: str) -> float:
        """Stop the time, once the device has done what it was asked for; returns the training time so far."""
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        self.banked, self._since = self.seconds, None
        return self.banked

    def resume(self) -> None:
        """Let the time run again."""
        self._since = time.perf_counter()

    @property
    def progress(self) -> float:
        """Fraction of the budget spent, at most 1."""
        if self._budget.is_price:
            spent = self.meter.thirds / (3 * self._amount)
        elif self._budget.kind == "seconds":
            spent = self.seconds / self._amount
        else:
            spent = self.steps / self._amount
        return min(spent, 1.0)


class Ticks:
    """Evenly spaced points in a budget: `due` answers once for each that progress has reached."""

    def __init__(self, count: int):
        self._count = count
        self._done = 0

    def due(self, progress: float) -> bool:
        """Whether a point lies at or before `progress` that was not answered for yet."""
        reached = math.floor(progress * self._count + 1e-9)
        fresh = reached > self._done
        self._done = max(self._done, reached)
        return fresh


def train(
    run: RunSpec,
    device: str,
    folder: Path,
    emit: Callable[[Row], None],
    pulse: Callable[[Pulse], None],
    hopeless: Callable[[Row], bool] = lambda _: False,
) -> Outcome:
    """Train `run` on `device` with data from `folder`, handing each logged point to `emit` and progress to `pulse`.

    The loss is read from the device once per logged point, and once per pulse. A loss that is not finite ends the run
    as `diverged`, one that is `hopeless` after an evaluation as `pruned`; the test split is touched only at the end of
    a run that was neither.

    Raises:
        LehiError: when data, model or optimizer cannot be built; anything the code of the task raises passes through.
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
    return training.outcome("pruned" if pruned else "ok" if healthy else "diverged")


class Training:
    """A run under way: data, model, loss and optimizer, and what was spent on them."""

    def __init__(self, run: RunSpec, device: str, folder: Path):
        task = run.task
        if task.threads is not None:
            torch.set_num_threads(task.threads)
        self._run = run
        self._device = device
        self.data = load_dataset(task, folder)
        self._splits = {name: split.to(device) for name, split in self.data.splits.items()}
        self.model = _build_model(run, self.data, device)
        self._init_checksum = _checksum(*self.model.state_dict().values())
        self.loss = _build_loss(task)
        self._precision = _precision(run.precision, device)
        self.reader = reader(self._splits["train"], task.batch_size, self.data.window)
        for name in ("val", "test"):
            self._evaluation_batches(name)  # refuses a split that is too short, before anything is trained
        self._state: object = None
        self._sum = torch.zeros((), device=device)
        self._count = 0
        self.clock = Clock(task.budget, self.reader.samples, self.reader.steps)
        self._record = optimizers.planned(run.optimizer.name, run.optimizer_origin)
        self.optimizer = _build_optimizer(run, self._record, self.model, self.loss, self.clock.total_steps)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._record.draws:
            draw_apart(self.optimizer, stream(run.seed, "optimizer"), torch.device(device))
        self._diagnostics: dict[str, Tensor | float] = {}
        seed_global(stream(run.seed, "train"), device)  # dropout, and whatever else the model draws while it trains

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Mini-batches of the training split, augmented, epoch after epoch, without end.

        Each epoch has streams of its own for order and augmentation, so any epoch can be had without those before it.
        """
        seed, augment = self._run.seed, self.data.augment
        for epoch in itertools.count():
            self._state = None
            generator = torch.Generator(self._device).manual_seed(stream(seed, f"augment/{epoch}"))
            for inputs, targets in self.reader.shuffled(stream(seed, f"order/{epoch}")):
                yield self._prepare(inputs if augment is None else augment(inputs, generator), targets)

    def check_differentiable(self) -> None:
        """Differentiate the model twice on two samples, when that is what the optimizer will do.

        Raises:
            UsageError: when a layer of the model can be differentiated only once, with torch's words for which.
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
        """One step, as the optimizer's kind has it."""
        return STEPS[self._record.kind](self.optimizer, evaluation)

    def log(self) -> Row:
        """Means over the steps since the last call: the training loss, and what the optimizer says of itself."""
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
        measured = [metric for metric in self._run.task.metrics if metric in METRICS]
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
            values = [self.loss(outputs, targets), *(METRICS[metric](outputs, targets) for metric in measured)]
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
        """Swap in the weights to evaluate, and measure BatchNorm's statistics under them; not a part of training."""
        self.optimizer.eval()  # type: ignore[attr-defined]
        batches = (self._prepare(*batch)[0] for batch in self.reader.in_order())
        with preserved_random(torch.device(self._device)), self._precision():
            update_bn(itertools.islice(batches, STATISTICS_BATCHES), self.model)

    def _evaluation_batches(self, name: str) -> Rows | Readers:
        return reader(self._splits[name], self._evaluation_size(), self.data.window)

    def _evaluation_size(self) -> int:
        """Rows per evaluation batch: many, but not so many that a large vocabulary fills the memory."""
        if self.data.window is not None:
            return self._run.task.batch_size
        outputs = self._splits["train"].targets[0].numel() * self.data.outputs
        return min(EVALUATION_ROWS, max(EVALUATION_OUTPUTS // outputs, 1))

    def _prepare(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as stored -> as model and loss take it; class indices are widened to what the losses want."""
        if self.data.prepare is not None:
            inputs, targets = self.data.prepare(inputs, targets)
        return inputs, targets if targets.is_floating_point() else targets.long()

    def _row(self, split: str, seconds: float, loss: float, metrics: dict[str, float]) -> Row:
        clock = self.clock
        lr = self.optimizer.param_groups[0]["lr"]
        return Row(split, clock.epoch, clock.steps, clock.samples, clock.meter.passes, seconds, loss, lr, metrics)

    def outcome(self, status: str) -> Outcome:
        """What the run came to."""
        return Outcome(
            status=status,
            steps=self.clock.steps,
            passes=self.clock.meter.passes,
            seconds=self.clock.banked,
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            state_bytes=_state_bytes(self.optimizer),
            init_checksum=self._init_checksum,
            order_checksum=_checksum(self.reader.order(stream(self._run.seed, "order/0"))),
            data_checksum=self.data.checksum,
            floor=dict(self.data.floor) if self._run.task.loss in FLOOR_LOSSES else {},
            fallbacks=dict(getattr(self.optimizer, "fallbacks", {})),
        )


def _build_model(run: RunSpec, data: Dataset, device: str) -> nn.Module:
    """The task's model with weights from the seed's own stream, drawn on the CPU so that every device starts alike."""
    options = dict(run.task.model)
    build = resolve(options.pop("kind"), run.task.origin)
    with torch.random.fork_rng(devices=[]):
        seed_global(stream(run.seed, "init"), "cpu")
        model: nn.Module = call(build, data, **options)
    return model.to(device)


def _build_loss(task: TaskSpec) -> Loss:
    """The task's loss: by name, or an object of its own code, or what a class or function there makes of the options.

    Raises:
        UsageError: when it is no `Loss`, or one that is not averaged.
    """
    kind, options = task.loss_kind, task.loss_options
    if ":" not in kind:
        return make_loss(kind, **options)
    found = resolve(kind, task.origin)
    if isinstance(found, Loss) and options:
        raise UsageError(f"task {task.name!r}: loss {kind} is an object, which takes no options: {', '.join(options)}")
    loss = _called(kind, found, task) if callable(found) and not isinstance(found, Loss) else found
    if not isinstance(loss, Loss):
        raise UsageError(f"task {task.name!r}: loss {kind} is of type {type(loss).__name__}, not a Loss", HOW_LOSS)
    if loss.reduction != "mean":
        raise UsageError(
            f"task {task.name!r}: loss {kind} is a sum, whose size follows the batch size: a task's loss is a mean",
            "divide it by the rows or the elements, and say predictions='rows' or 'elements'",
        )
    return loss


def _called(kind: str, make: Callable[..., object], task: TaskSpec) -> object:
    """What a class or a function makes of the loss's options."""
    parameters = inspect.signature(make).parameters
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [name for name, p in parameters.items() if p.default is p.empty and p.kind not in variadic]
    missing = [name for name in required if name not in task.loss_options]
    if missing and task.loss_options.keys() <= parameters.keys():
        raise UsageError(
            f"task {task.name!r}: loss {kind} is called with the task's options to make a Loss, and wants "
            f"{', '.join(missing)} too",
            HOW_LOSS,
        )
    return call(make, **task.loss_options)


def _build_optimizer(
    run: RunSpec, record: optimizers.OptimizerRecord, model: nn.Module, loss: Loss, total_steps: int | None
) -> Optimizer:
    """The optimizer of a run, with the number of steps where it needs that.

    Raises:
        UsageError: when it needs the number of steps and the budget does not give it, or gives more than it was told.
    """
    options: dict[str, Any] = dict(run.optimizer.options)
    if "total_steps" in record.needs:
        options["total_steps"] = _total_steps(run, total_steps)
    return build_optimizer(record, model, options, loss, stream(run.seed, "optimizer"))


def build_optimizer(
    record: optimizers.OptimizerRecord, subject: Any, options: Mapping[str, Any], loss: Any, seed: int
) -> Optimizer:
    """An optimizer with all that its kind and its record say it must be told; the one way any is built.

    Args:
        record: what to build.
        subject: the model, or, for one that takes parameters, parameters or groups of them.
        options: its options, `total_steps` included where it needs that.
        loss: the training loss, for the kinds that are told it.
        seed: of the random numbers of its own, for the kind that is told one.
    """
    told = {**options, **record.fixed}
    if record.kind in ("curvature", "whole"):
        told["loss"] = loss
    if record.kind == "curvature":
        told["seed"] = seed
    if record.takes == "parameters" and isinstance(subject, nn.Module):
        subject = subject.parameters()
    optimizer: Optimizer = resolve(record.factory, record.origin)(subject, **told)
    return optimizer


def _total_steps(run: RunSpec, total_steps: int | None) -> int:
    """The number of steps the optimizer is told: its own option if that was given, or the budget's."""
    given = run.optimizer.options.get("total_steps")
    if given is None and total_steps is None:
        raise UsageError(
            f"{run.label} must know its number of steps, and --seconds does not give it",
            "give --steps, --epochs or --passes, or its option total_steps",
        )
    if isinstance(given, int) and total_steps is not None and given < total_steps:
        raise UsageError(f"{run.label}: total_steps={given} is less than the {total_steps} steps of the budget")
    return int(given if isinstance(given, int) else total_steps or 0)


def detached(state: object) -> object:
    """A recurrent state cut off from the graph that made it: truncated backpropagation through time."""
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(map(detached, state)) if isinstance(state, tuple | list) else state


def _precision(name: str, device: str) -> Callable[[], AbstractContextManager[object]]:
    if name == "fp32":
        return nullcontext
    return partial(torch.autocast, device.partition(":")[0], dtype=torch.bfloat16)


def _checksum(*tensors: Tensor) -> str:
    return checksum(tensor.detach().cpu().numpy() for tensor in tensors)


def _state_bytes(optimizer: Optimizer) -> int:
    """Memory the optimizer keeps between steps, in bytes; scalars such as step counters included."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(optimizer.state_dict()["state"]))


def tensors_in(state: object) -> Iterator[Tensor]:
    """The tensors in nested dictionaries and lists."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for part in state.values() if isinstance(state, Mapping) else state:
            yield from tensors_in(part)
