"""Runs that other processes are training, as far as their rows have been written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lehi_cli.errors import UsageError
from lehi_cli.runs.comparisons import Comparisons
from lehi_cli.runs.named import find_run, run_folders
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

SPLITS = ("train", "val")
PATIENCE = 4  # looks without a running run before watching ends: between two runs of a plan there is a gap


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        run: the stored run.
        curves: x values and losses, by split.
        step: the last step written; 0 for none.
    """

    run: StoredRun
    curves: dict[str, tuple[list[float], list[float]]]
    step: int

    @property
    def is_running(self) -> bool:
        """Whether there is more to come."""
        return self.run.status == Status.RUNNING

    def last(self, split: str) -> float | None:
        """The last loss of a split."""
        losses = self.curves[split][1]
        return losses[-1] if losses else None


class Watching:
    """The chosen runs, or all that are running.

    Args:
        store: the store of the runs.
        names: ids of runs, or prefixes of ids.
        comparison: id of a stored comparison; None for none.
        x: what curves are drawn against: passes, steps or seconds.

    Raises:
        UsageError: when there is no such run, or no such comparison, or both were given.
        StoreError: when the store is not there.
    """

    def __init__(self, store: Store, names: Sequence[str] = (), comparison: str | None = None, x: str = "passes"):
        if names and comparison is not None:
            raise UsageError("runs and --comparison are two choices", "give one of them")
        self._store = store
        self._x = {"steps": "step"}.get(x, x)
        self._follows = not names and comparison is None
        self._watched = dict.fromkeys(find_run(store, name).run_id for name in names)
        if comparison is not None:
            record = Comparisons(store).find(comparison)
            self._watched |= dict.fromkeys(member.run_id for member in record.runs)
        self._ended: set[str] = set()
        self._seen: dict[str, tuple[tuple[str, ...], Progress]] = {}
        self._idle = 0

    @property
    def is_over(self) -> bool:
        """Whether the chosen runs have ended, or nothing has been running for `PATIENCE` looks."""
        return self._idle >= (PATIENCE if self._follows and self._watched else 1)

    def look(self) -> list[Progress]:
        """How far each run is now; removed runs are left out."""
        if self._follows:
            self._follow()
        found = [item for item in (self._progress(run_id) for run_id in self._watched) if item is not None]
        self._store.notices[:] = dict.fromkeys(self._store.notices)  # every look finds the same damage again
        self._idle = 0 if any(item.is_running for item in found) else self._idle + 1
        return found

    def _follow(self) -> None:
        """Add the runs that have started since; runs that had already ended are not read again."""
        for run_id in run_folders(self._store):
            if run_id not in self._watched and run_id not in self._ended:
                run = self._store.find(run_id)
                if run is not None and run.status == Status.RUNNING:
                    self._watched[run_id] = None
                elif run is not None:
                    self._ended.add(run_id)

    def _progress(self, run_id: str) -> Progress | None:
        """How far a run is; its rows are read again only if there are new shards."""
        run = self._store.find(run_id)
        if run is None:
            return None
        try:
            shards = tuple(sorted(name for name in os.listdir(run.folder) if name.endswith(".parquet")))
        except OSError:
            return None
        known = self._seen.get(run_id)
        if known is None or known[0] != shards or known[1].run.status != run.status:
            known = self._seen[run_id] = (shards, self._read(run))
        return known[1]

    def _read(self, run: StoredRun) -> Progress:
        metrics = self._store.metrics(run)
        curves = {split: metrics.curve(split, "loss", self._x) for split in SPLITS}
        steps = [step for split in SPLITS for step in metrics.curve(split, "loss")[0]]
        return Progress(run, curves, int(max(steps, default=0)))
