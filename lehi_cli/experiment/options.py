"""The options of every verb that trains, with their defaults: what to train, where, and how to show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lehi_cli.errors import UsageError
from lehi_cli.execute.conduct import EXECUTORS, Settings
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import Budget, OptimSpec, parse_seeds

from .choices import AXES, DEFAULT_RUNS, choice
from .report import View
from .request import Request


@dataclass(frozen=True)
class RunOptions:
    """Options that `train`, `sweep` and `compare` share.

    Attributes:
        overrides: changes to the task, each `key=value`.
        epochs: budget in passes over the training split.
        steps: budget in optimizer steps.
        passes: budget in gradient equivalents: the same compute for all.
        seconds: budget in seconds of training.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `fp32`, or `bf16` for the forward pass under autocast.
        jobs: runs at a time, each in its own process.
        executor: `auto`, `serial`, `pool`, `ray`, or `mock`: made-up results, to try out a plan.
        threads: torch threads per run of a large task; None for the cores divided by the jobs.
        ray_address: Ray cluster as `host:port`; `auto` for the local one, or a new one.
        runs: folder of the runs.
        data_dir: folder of the data sets; None for `LEHI_DATA` or the user's cache folder.
        fake_data: synthetic data of the same shape; marked wherever it is shown.
        x: horizontal axis of the curves: passes, steps or seconds.
        smoke: a few steps, one seed, and fake data if the real data is missing.
        no_cache: retrain runs that the run folder already has.
    """

    overrides: list[str] | None = None
    epochs: float | None = None
    steps: int | None = None
    passes: float | None = None
    seconds: float | None = None
    device: str = "auto"
    precision: str = "fp32"
    jobs: int = 1
    executor: str = "auto"
    threads: int | None = None
    ray_address: str | None = None
    runs: Path = DEFAULT_RUNS
    data_dir: Path | None = None
    fake_data: bool = False
    x: str = "passes"
    smoke: bool = False
    no_cache: bool = False

    def request(self, tasks: Sequence[str | TaskRecord], optimizers: Sequence[OptimSpec], seeds: str) -> Request:
        """The request that these options describe.

        Raises:
            UsageError: when there are two budgets, or the seeds are malformed.
        """
        return Request(
            tasks=tasks,
            optimizers=optimizers,
            seeds=(0,) if self.smoke else parse_seeds(seeds),
            overrides=self.overrides or (),
            budget=self._budget(),
            precision=self.precision,
            smoke=self.smoke,
            fake=self.fake_data,
            data=self.data_dir,
        )

    def view(self, **more: Any) -> View:
        """How to show the results; `more` is what the verb adds.

        Raises:
            UsageError: when curves cannot be drawn against `x`.
        """
        return View(x=choice(self.x, AXES, "--x"), **more)

    def settings(self) -> Settings:
        """How to carry out the runs.

        Raises:
            UsageError: when the executor is unknown, or jobs or threads are not a whole number above zero.
        """
        for flag, count in (("--jobs", self.jobs), ("--threads", self.threads)):
            if count is not None and count < 1:
                raise UsageError(f"{flag} {count} is not allowed", "at least 1")
        return Settings(
            device=self.device,
            executor=choice(self.executor, EXECUTORS, "--executor"),
            jobs=self.jobs,
            fresh=self.no_cache,
            data=self.data_dir,
            threads=self.threads,
            ray_address=self.ray_address,
        )

    def _budget(self) -> Budget | None:
        """The budget that was given, or None.

        Raises:
            UsageError: when more than one was given.
        """
        chosen = [(kind, getattr(self, kind)) for kind in Budget.KINDS if getattr(self, kind) is not None]
        if len(chosen) > 1:
            flags = " and ".join(f"--{kind}" for kind, _ in chosen)
            raise UsageError(f"{flags} are two budgets", "give one of --epochs, --steps, --passes, --seconds")
        return Budget(*chosen[0]) if chosen else None
