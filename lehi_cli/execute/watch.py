"""The interface through which an executor reports progress."""

from __future__ import annotations

from typing import Protocol

from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status


class Watcher(Protocol):
    """Hears of every run's start, progress and end, in the process that asked for the runs."""

    def started(self, run: RunSpec) -> None:
        """`run` is being trained; called again when it restarts."""

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """`run` has got this far."""

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """`run` ended; `message` says what went wrong, if anything did."""

    def retried(self, run: RunSpec, message: str) -> None:
        """`run` was lost with the machine it was on, and starts again elsewhere; `message` says what happened."""

    def waiting(self, count: int) -> None:
        """`count` runs are being trained by another process; their results are waited for."""
