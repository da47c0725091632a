"""What several tests start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lehi_cli.conformance.candidate import Candidate
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.registry.optimizers import OptimizerRecord
from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import Budget, RunSpec, parse_optimizers

SMALL = Budget("steps", 25)


def runs_of(
    optimizers: str = "adam", task: str = "digits", seeds: int = 1, budget: Budget = SMALL, **changes: Any
) -> list[RunSpec]:
    """The runs of a small request."""
    return plan(Request(task.split(","), parse_optimizers(optimizers), range(seeds), budget=budget, **changes))


class Recording:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, object]] = []

    def started(self, run: RunSpec) -> None:
        self.events.append(("started", run.run_id, None))

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        self.events.append(("pulse", run.run_id, pulse))

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        self.events.append(("finished", run.run_id, (status, message)))

    def waiting(self, count: int) -> None:
        self.events.append(("waiting", "", count))

    def ended(self) -> Mapping[str, tuple[str, str]]:
        """How each run ended."""
        return {run_id: what for kind, run_id, what in self.events if kind == "finished"}  # type: ignore[misc]


def build_optimizer(record: OptimizerRecord, subject: Any, **changes: Any) -> torch.optim.Optimizer:
    """An optimizer as the training loop would build it: `subject` is a model, or parameters or groups of them."""
    return Candidate(record).build(subject, **changes)
