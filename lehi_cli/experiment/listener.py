"""Messages from an experiment in progress to its caller: the only way out of this layer before the result."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from lehi_cli.errors import Notice
from lehi_cli.execute.watch import Watcher
from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status


class Listener(Protocol):
    """Hears what happens, and confirms plans with more runs than anyone would start by accident."""

    def notice(self, notice: Notice) -> None:
        """Take a notice: something the user should know that does not stop the work."""

    def say(self, line: str) -> None:
        """Take a line about the current work."""

    def confirm(self, what: str) -> None:
        """Confirm a plan of many runs, described by `what`; an exception refuses it."""

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """A watcher for the next `count` runs."""


class Silence:
    """A listener and watcher that stays silent and allows everything."""

    def notice(self, notice: Notice) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""

    def confirm(self, what: str) -> None:
        """Allow every plan."""

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """Watch in silence."""
        return nullcontext(self)

    def started(self, run: RunSpec) -> None:
        """Do nothing."""

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Do nothing."""

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """Do nothing."""

    def retried(self, run: RunSpec, message: str) -> None:
        """Do nothing."""

    def waiting(self, count: int) -> None:
        """Do nothing."""
