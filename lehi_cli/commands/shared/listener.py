"""The user at a terminal, as an experiment's listener: told on stderr, asked before many runs."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import typer
from rich.console import Console

from lehi_cli.errors import Exit, Notice, UsageError
from lehi_cli.execute.watch import Watcher
from lehi_cli.experiment.session import LIMIT
from lehi_cli.render.live import watcher

from .output import say


class Terminal:
    """Prints notices always, and progress and lines about the current work unless they are turned off.

    Args:
        quiet: print neither progress nor such lines.
        terse: print progress, but no such lines.
        yes: start every plan without asking.
    """

    def __init__(self, quiet: bool, terse: bool, yes: bool):
        self.console = Console(stderr=True)
        self._quiet = quiet
        self._terse = terse
        self._yes = yes

    def notice(self, notice: Notice) -> None:
        """Print a warning with its next step."""
        say(self.console, [notice])

    def say(self, line: str) -> None:
        """Print a line about the current work."""
        if not self._quiet and not self._terse:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def confirm(self, what: str) -> None:
        """Ask the user once.

        Raises:
            UsageError: when there is no terminal at which to answer.
            Exit: when the answer is no.
        """
        if self._yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{what}, more than {LIMIT}", "--yes starts them, --dry-run shows what they cost")
        if not typer.confirm(f"{what}, start them?", err=True):
            raise typer.Exit(Exit.USAGE)
        self._yes = True

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """The progress display for the next runs."""
        return watcher(self.console, count, self._quiet)
