"""The interface of executors: they take runs, and leave each of them in the store with its final status.

Executors differ in where they train the runs and how many at a time. None of that can change a number: a run gets its
spec, and everything random in it comes from its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

from .place import Place
from .watch import Watcher


class Executor(Protocol):
    """Trains runs into a store."""

    def run(self, runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher) -> None:
        """Train each of `runs` that no other process is training, claiming it first, and tell `watch`.

        Raises:
            LehiError: when the store cannot be written to.
            KeyboardInterrupt: after nothing new was started and what was running was stored as interrupted. A second
                interrupt stops at once.
        """
