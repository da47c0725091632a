"""What an experiment tells whoever started it, while it goes on: the one way out of this layer before the result."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from lehi_cli.errors import Notice
from lehi_cli.execute.watch import Watcher
from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status


class Listener(Protocol):
    """Told of what happens; asked before more runs are trained than anyone starts by accident."""

    def notice(self, notice: Notice) -> None:
        """Something the user should know that does not stop the work."""

    def say(self, line: str) -> None:
        """What is being done now."""

    def confirm(self, what: str) -> None:
        """A plan of many runs, in words, is about to start; raises what refuses it."""

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """Whoever follows the next `count` runs."""


class Silence:
    """A listener, and a watcher, that lets everything pass."""

    def notice(self, notice: Notice) -> None:
        """Nothing is said."""

    def say(self, line: str) -> None:
        """Nothing is said."""

    def confirm(self, what: str) -> None:
        """Every plan may start."""

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """Nobody follows."""
        return nullcontext(self)

    def started(self, run: RunSpec) -> None:
        """Nothing is said."""

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Nothing is said."""

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """Nothing is said."""

    def retried(self, run: RunSpec, message: str) -> None:
        """Nothing is said."""

    def waiting(self, count: int) -> None:
        """Nothing is said."""
