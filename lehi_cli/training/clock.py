"""How much of its budget a run has spent, and the points of the budget at which something is due."""

from __future__ import annotations

import math
import time

import torch

from lehi_cli.runs.specs import Budget

from .steps import Meter


class Clock:
    """How much of the budget has been spent; the clock stands still until the first `resume`."""

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
        """Steps that the budget pays for at one gradient per step; None for a budget of seconds."""
        if self._budget.kind == "seconds":
            return None
        return math.ceil(self._amount)

    @property
    def total_passes(self) -> float | None:
        """Passes that the budget pays for; None if steps or seconds decide."""
        return float(self._amount) if self._budget.is_price else None

    @property
    def epoch(self) -> float:
        """Passes over the training split."""
        return self.samples / self._samples

    @property
    def seconds(self) -> float:
        """Training time so far; time between `pause` and `resume` does not count."""
        return self.banked if self._since is None else self.banked + (time.perf_counter() - self._since)

    def pause(self, device: str) -> float:
        """Stop the clock once the device has finished its work; returns the training time so far."""
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        self.banked, self._since = self.seconds, None
        return self.banked

    def resume(self) -> None:
        """Start the clock again."""
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
    """Evenly spaced points in a budget; `due` reports each once, when progress has reached it."""

    def __init__(self, count: int):
        self._count = count
        self._done = 0

    def due(self, progress: float) -> bool:
        """Whether progress has reached a point since the last call."""
        reached = math.floor(progress * self._count + 1e-9)
        fresh = reached > self._done
        self._done = max(self._done, reached)
        return fresh
