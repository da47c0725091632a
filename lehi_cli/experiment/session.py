"""An experiment in progress: its store, how its runs are carried out, what is asked of them, and what was trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from lehi_cli.analysis.arrivals import check_target
from lehi_cli.data.folder import data_folder
from lehi_cli.data.presence import may_be_missing
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
from .plan import tasks_of
from .report import View
from .request import Request

T = TypeVar("T")

LIMIT = 200
"""The number of runs up to which training starts without asking."""


@dataclass(frozen=True)
class Count:
    """How many runs are new, and how many were stored before."""

    new: int
    reused: int


class Session:
    """Trains the missing runs of its plans, and remembers which they were.

    Args:
        runs: folder of the store.
        settings: how runs are carried out.
        view: what is asked of them.
        listener: hears about the progress, and confirms large plans.
    """

    def __init__(self, runs: Path, settings: Settings, view: View, listener: Listener):
        self.settings = settings
        self.view = view
        self.listener = listener
        self.store = Store(runs)
        self.comparisons = Comparisons(self.store)
        self._reused: set[str] = set()
        self._trained: set[str] = set()
        self._named: set[tuple[str, str]] = set()

    def say_registry(self) -> None:
        """Pass on the notices from loading the plug-ins."""
        for notice in (*tasks.load().notices, *optimizers.load().notices):
            self.listener.notice(notice)

    def say_optimizers(self, runs: Sequence[RunSpec]) -> None:
        """Pass on what is to be known before relying on the optimizers of a plan, once for each."""
        named = {(run.optimizer.name, run.optimizer_origin) for run in runs} - self._named
        for name, origin in sorted(named):
            text = optimizers.find(name, origin).notice
            if text:
                self.listener.notice(Notice(f"{name}: {text}"))
        self._named |= named

    def check(self, runs: Sequence[RunSpec]) -> None:
        """Check that a plan will have everything the view asks for, before any of it is trained.

        Raises:
            UsageError: when its runs will lack the target, a metric with a margin, or something that is asserted.
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
            raise self._nothing_left("of what is asked about", runs, chosen) from error

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
        """The runs that have to be trained: those the store lacks, or all if the store is not to be used."""
        return runs if self.settings.fresh else split(runs, self.store, self.settings.is_mock)[1]

    def confirm(self, count: int, at_most: bool = False) -> None:
        """Ask before training more runs than anyone would start by accident.

        Args:
            count: number of runs that would be trained.
            at_most: whether there may be fewer in the end.

        Raises:
            Exception: whatever the listener refuses with.
        """
        if count > LIMIT:
            self.listener.confirm(f"that is {'up to ' if at_most else ''}{count} runs to train")

    def train(self, runs: Sequence[RunSpec]) -> None:
        """Train the missing runs.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after what was running was stored.
        """
        missing = self.missing(runs)
        self._trained |= {run.run_id for run in missing}
        self._reused |= {run.run_id for run in runs} - self._trained
        with self.listener.watch(len(missing)) as watch:
            conduct(missing, self.store, self.settings, watch)

    def forget(self) -> None:
        """Drop what was asked for so far from the counts, because something else is trained instead."""
        self._trained.clear()
        self._reused.clear()

    def train_all(self, runs: Sequence[RunSpec]) -> bool:
        """Like `train`; returns whether it was interrupted."""
        try:
            self.train(runs)
        except KeyboardInterrupt:
            return True
        return False

    def found(self, runs: Sequence[RunSpec]) -> list[StoredRun]:
        """Those of the runs that the store has."""
        return [run for run in map(self.store.find, (run.run_id for run in runs)) if run is not None]

    def has_failed(self) -> bool:
        """Whether any trained run, including tuning trials, ended without a result."""
        found = map(self.store.find, sorted(self._trained))
        return any(run is not None and run.status in FAILED for run in found)

    def count(self, runs: Sequence[RunSpec]) -> Count:
        """How many of these runs are in the store."""
        return self._count({run.run_id for run in self.found(runs)})

    def count_others(self, runs: Sequence[RunSpec]) -> Count:
        """How many other runs the experiment used."""
        return self._count((self._trained | self._reused) - {run.run_id for run in runs})

    def _count(self, run_ids: set[str]) -> Count:
        new = len(run_ids & self._trained)
        return Count(new, len(run_ids) - new)


def or_with_fake_data(run: Callable[[Request], T], request: Request, session: Session) -> T:
    """Run a request; if it is a smoke run and its data is missing, run it with fake data.

    Raises:
        DataError: when the data is there and is not what it should be: damaged, say, or two files that differ.
    """
    try:
        return run(request)
    except DataError as error:
        folder = data_folder(request.data)
        if not request.smoke or request.fake or not any(may_be_missing(task, folder) for task in tasks_of(request)):
            raise
        session.forget()
        session.listener.notice(Notice(error.message, "the smoke run uses fake data instead"))
        return run(replace(request, fake=True))
