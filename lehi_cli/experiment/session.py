"""One experiment under way: its store, how its runs are carried out, what is asked of them, and what was trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from lehi_cli.analysis.arrivals import check_target
from lehi_cli.errors import DataError, Notice, UsageError
from lehi_cli.execute.conduct import Settings, conduct, split
from lehi_cli.gate import check_names
from lehi_cli.registry import optimizers, tasks
from lehi_cli.runs.comparisons import TUNING_SEED, Comparisons
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import FAILED
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

from .contests import contests, is_any_left
from .listener import Listener
from .report import View
from .request import Request

T = TypeVar("T")

LIMIT = 200
"""Runs that are trained without asking."""


@dataclass(frozen=True)
class Count:
    """How many of some runs were trained now, and how many were there before."""

    new: int
    reused: int


class Session:
    """Trains what is missing of the plans it is given, and remembers what that was.

    Args:
        runs: folder of the store.
        settings: how runs are carried out.
        view: what is asked of them.
        listener: who is told.
    """

    def __init__(self, runs: Path, settings: Settings, view: View, listener: Listener):
        self.settings = settings
        self.view = view
        self.listener = listener
        self.store = Store(runs)
        self.comparisons = Comparisons(self.store)
        self._reused: set[str] = set()
        self._trained: set[str] = set()

    def say_registry(self) -> None:
        """Pass on what plug-ins had to say when they were loaded."""
        for notice in (*tasks.load().notices, *optimizers.load().notices):
            self.listener.notice(notice)

    def check(self, runs: Sequence[RunSpec]) -> None:
        """Check that a plan will have what is asked of it, before any of it is trained.

        Raises:
            UsageError: when its runs will not have the target, a metric with a margin, or what is asserted about.
        """
        check_target(self.view.target, runs)
        check_names(self.view.assertions, runs, self.view.target)
        metrics = dict.fromkeys(name for run in runs for name in ("loss", *run.task.metrics[:1]))
        self.view.margins.check((split, name) for name in metrics for split in ("val", "test"))

    def check_left(self, runs: Sequence[RunSpec]) -> None:
        """Check that a comparison has something to compare without the runs that may have chosen its settings.

        Raises:
            UsageError: when no optimizer shares a seed with the reference, or what is asked about is not there.
        """
        if self.view.sweep or not contests(runs):
            return
        chosen = self.comparisons.chosen_by(run.run_id for run in runs)
        if not chosen:
            return
        left = [run for run in runs if run.run_id not in chosen]
        if not is_any_left(runs, left):
            raise self._nothing_left("to compare", runs, chosen)
        try:
            self.check(left)
        except UsageError as error:
            raise self._nothing_left("what is asked about", runs, chosen) from error

    def _nothing_left(self, what: str, runs: Sequence[RunSpec], chosen: Mapping[str, str]) -> UsageError:
        """The error that says why, and which seeds are fresh."""
        who = ", ".join(dict.fromkeys(run.label for run in runs if run.run_id in chosen))
        by = ", ".join(dict.fromkeys(chosen.values()))
        asked = {run.seed for run in runs}
        used = (asked | {run.seed for run in self.store.runs()}) - {TUNING_SEED}
        fresh = range(max(used) + 1, max(used) + 1 + len(asked))
        return UsageError(
            f"nothing is left {what}: the settings of {who} may have been chosen by these very runs (comparison {by})",
            f"compare them on fresh seeds, such as --seeds {','.join(map(str, fresh))}",
        )

    def missing(self, runs: Sequence[RunSpec]) -> Sequence[RunSpec]:
        """Those that have to be trained: not in the store, or not to be taken from it."""
        return runs if self.settings.fresh else split(runs, self.store, self.settings.is_mock)[1]

    def confirm(self, count: int, at_most: bool = False) -> None:
        """Ask before more runs are trained than anyone means to start by accident.

        Args:
            count: runs that would be trained.
            at_most: whether they may turn out to be fewer.

        Raises:
            Exception: whatever the listener refuses with.
        """
        if count > LIMIT:
            self.listener.confirm(f"that is {'up to ' if at_most else ''}{count} runs to train")

    def train(self, runs: Sequence[RunSpec]) -> None:
        """Train what the store does not have.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after what was running was stored.
        """
        missing = self.missing(runs)
        self._trained |= {run.run_id for run in missing}
        self._reused |= {run.run_id for run in runs} - self._trained
        with self.listener.watch(len(missing)) as watch:
            conduct(missing, self.store, self.settings, watch)

    def train_all(self, runs: Sequence[RunSpec]) -> bool:
        """`train`, and whether it was interrupted."""
        try:
            self.train(runs)
        except KeyboardInterrupt:
            return True
        return False

    def found(self, runs: Sequence[RunSpec]) -> list[StoredRun]:
        """What the store has of them."""
        return [run for run in map(self.store.find, (run.run_id for run in runs)) if run is not None]

    def has_failed(self) -> bool:
        """Whether any run that was trained, tuning trials included, ended without a result."""
        found = map(self.store.find, sorted(self._trained))
        return any(run is not None and run.status in FAILED for run in found)

    def count(self, runs: Sequence[RunSpec]) -> Count:
        """How many of these are in the store."""
        return self._count({run.run_id for run in self.found(runs)})

    def count_others(self, runs: Sequence[RunSpec]) -> Count:
        """How many went into the experiment beside these."""
        return self._count((self._trained | self._reused) - {run.run_id for run in runs})

    def _count(self, run_ids: set[str]) -> Count:
        new = len(run_ids & self._trained)
        return Count(new, len(run_ids) - new)


def or_with_fake_data(run: Callable[[Request], T], request: Request, session: Session) -> T:
    """Run a request; when it is a smoke run and its data is not at hand, run it with fake data."""
    try:
        return run(request)
    except DataError as error:
        if not request.smoke or request.fake:
            raise
        session.listener.notice(Notice(error.message, "the smoke run uses fake data instead"))
        return run(replace(request, fake=True))
