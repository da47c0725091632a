"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

from .place import Place
from .watch import Watcher
from .worker import execute


class Serial:
    """One run at a time."""

    def run(self, runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher) -> None:
        """Train each of `runs` that no other process is training, see `Executor`."""
        for run in runs:
            ended = execute(run, place, store, partial(watch.started, run), partial(watch.pulse, run))
            if ended is not None:
                watch.finished(run, *ended)
