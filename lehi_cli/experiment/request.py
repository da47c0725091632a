"""A request as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import Budget, OptimSpec


@dataclass(frozen=True)
class Request:
    """Which optimizers to train, on which tasks, with which seeds.

    Attributes:
        tasks: names, paths, or records.
        optimizers: the optimizers in order; the first is the reference.
        seeds: the seeds; one run per task, optimizer and seed.
        overrides: `key=value` changes to every task.
        budget: a budget to use as it is; None for the tasks' own, which each optimizer gets in passes.
        precision: `fp32` or `bf16`.
        smoke: take only a few steps, to show that everything runs.
        fake: use synthetic data in the shape of the real data.
        data: folder of the data sets; None for `LEHI_DATA` or the user's cache folder.
    """

    tasks: Sequence[str | TaskRecord]
    optimizers: Sequence[OptimSpec]
    seeds: Sequence[int]
    overrides: Sequence[str] = ()
    budget: Budget | None = None
    precision: str = "fp32"
    smoke: bool = False
    fake: bool = False
    data: Path | None = None


def task_name(task: str | TaskRecord) -> str:
    """The name or path by which a task was asked for."""
    return task if isinstance(task, str) else task.name
