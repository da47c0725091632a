"""What a run reports while it trains and when it ends: plain data, so that it crosses processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .status import Status


@dataclass(frozen=True)
class Row:
    """One logged point of a run.

    Attributes:
        split: `train` (mean over the steps since the last such row), `val`, or `test` (once, at the end).
        epoch: passes over the training split, fractional.
        step: optimizer steps taken.
        samples: training samples seen.
        passes: gradient equivalents spent on training.
        seconds: training time, without evaluation.
        loss: mean loss.
        lr_now: learning rate of the step before.
        metrics: further values by name; for `train`, the optimizer's diagnostics.
    """

    split: str
    epoch: float
    step: int
    samples: int
    passes: float
    seconds: float
    loss: float
    lr_now: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pulse:
    """The progress of a run, for a watcher.

    Attributes:
        progress: fraction of the budget spent.
        step: optimizer steps taken.
        loss: loss of the last mini-batch.
        seconds: training time so far.
        val_loss: validation loss of the last evaluation; None if unknown.
    """

    progress: float
    step: int
    loss: float
    seconds: float
    val_loss: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    `init_checksum` and `order_checksum` identify the initial weights and the order of the data: they are equal for
    every optimizer at one seed. `fallbacks` counts the steps at which the optimizer could not follow its rule, by
    reason.
    """

    status: Status
    steps: int
    passes: float
    seconds: float
    parameters: int
    state_bytes: int
    init_checksum: str
    order_checksum: str
    data_checksum: str
    floor: dict[str, float]
    fallbacks: dict[str, int] = field(default_factory=dict)
