"""What was asked for, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import Budget, OptimSpec


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        tasks: names, paths, or records.
        optimizers: in the order they are to be compared; the first is the reference.
        seeds: one run per task, optimizer and seed.
        overrides: `key=value` changes to every task.
        budget: as it is, in place of the tasks' own, which each optimizer gets in passes.
        precision: `fp32` or `bf16`.
        smoke: a few steps, to prove that everything runs.
        fake: synthetic data in the shape of the real.
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
    """What a task was asked for by."""
    return task if isinstance(task, str) else task.name
