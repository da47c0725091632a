"""Where runs are trained, as plain data that crosses processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A device, the folder that data sets are read from, and the threads of a run.

    Attributes:
        device: where tensors live.
        data: folder of the data sets.
        threads: torch threads of a run whose task does not declare its own number; None for torch's default.
        planned_here: whether this machine planned the runs; otherwise they came from another.
    """

    device: str
    data: Path
    threads: int | None = None
    planned_here: bool = True


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def deal(device: str, worker: int, gpus: int) -> str:
    """The device of a worker: `cuda` stands for all GPUs, assigned in turn; anything else stays as it is."""
    return f"cuda:{worker % gpus}" if device == "cuda" and gpus > 1 else device
