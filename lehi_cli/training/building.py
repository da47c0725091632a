"""Build the model, the loss and the optimizer of a run: the one place where any of them is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lehi_cli.curvature import Loss, make_loss
from lehi_cli.data.dataset import Dataset
from lehi_cli.errors import UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.plugins import call, resolve
from lehi_cli.runs.specs import RunSpec, TaskSpec

from .streams import seed_global, stream

HOW_LOSS = (
    "lehi_cli.curvature.CustomLoss(my_loss, my_factor, predictions='rows') makes one of a function of outputs and "
    "targets and a factor of its Hessian in the outputs"
)


def build_model(run: RunSpec, data: Dataset, device: str) -> nn.Module:
    """The task's model, its weights drawn from the seed's own stream, on the CPU so that all devices start alike."""
    options = dict(run.task.model)
    build = resolve(options.pop("kind"), run.task.origin)
    with torch.random.fork_rng(devices=[]):
        seed_global(stream(run.seed, "init"), "cpu")
        model: nn.Module = call(build, data, **options)
    return model.to(device)


def build_loss(task: TaskSpec) -> Loss:
    """The task's loss: a known name, or from the task's code an object, or a class or function called with the options.

    Raises:
        UsageError: when it is not a `Loss`, or is not averaged.
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
    """Call a class or a function with the loss's options."""
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


def optimizer_of(
    run: RunSpec, record: optimizers.OptimizerRecord, model: nn.Module, loss: Loss, total_steps: int | None
) -> Optimizer:
    """The optimizer of a run, told the number of steps if it needs that.

    Raises:
        UsageError: when it needs the number of steps and the budget does not give it, or gives more than its option.
    """
    options: dict[str, Any] = dict(run.optimizer.options)
    if "total_steps" in record.needs:
        options["total_steps"] = _total_steps(run, total_steps)
    return build_optimizer(record, model, options, loss, stream(run.seed, "optimizer"))


def build_optimizer(
    record: optimizers.OptimizerRecord, subject: Any, options: Mapping[str, Any], loss: Any, seed: int
) -> Optimizer:
    """An optimizer with every argument that its kind and its record ask for; the only way to build one.

    Args:
        record: the optimizer to build.
        subject: the model or, for an optimizer that takes parameters, also parameters or groups of them.
        options: its options, including `total_steps` if it needs that.
        loss: the training loss, for the kinds that take it.
        seed: the seed of its own random numbers, for the kind that takes one.
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
    """The number of steps for the optimizer: its own option if that is given, otherwise the budget's."""
    given = run.optimizer.options.get("total_steps")
    if given is None and total_steps is None:
        raise UsageError(
            f"{run.label} must know its number of steps, and --seconds does not give it",
            "give --steps, --epochs or --passes, or its option total_steps",
        )
    if isinstance(given, int) and total_steps is not None and given < total_steps:
        raise UsageError(f"{run.label}: total_steps={given} is less than the {total_steps} steps of the budget")
    return int(given if isinstance(given, int) else total_steps or 0)
