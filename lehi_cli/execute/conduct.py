"""Carry out a plan with a store and an executor: reuse the stored runs and train the rest into the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lehi_cli.data.folder import data_folder
from lehi_cli.errors import UsageError
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import DONE, Status
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

from .executor import Executor
from .place import Place, cores
from .watch import Watcher

EXECUTORS = ("auto", "serial", "pool", "ray", "mock")
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Settings:
    """How to carry out a plan; none of it can change a number, except the device and, for large tasks, the threads.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        executor: `serial`, `pool`, `ray`, `mock`, or `auto`: Ray if there is an address, a pool if there is more than
            one job, otherwise serial.
        jobs: runs at a time; under Ray, the number of shares into which large runs divide a node.
        fresh: retrain runs that the store already has.
        data: folder of the data sets; None for `LEHI_DATA` or the user's cache folder.
        threads: torch threads of a run whose task does not declare its own; None for the cores divided by the jobs.
        ray_address: `auto`, or `host:port` of a cluster; None means `auto` if the executor is `ray`.
    """

    device: str = "auto"
    executor: str = "auto"
    jobs: int = 1
    fresh: bool = False
    data: Path | None = None
    threads: int | None = None
    ray_address: str | None = None

    @property
    def is_mock(self) -> bool:
        """Whether results are made up."""
        return self.executor == "mock"

    @property
    def is_ray(self) -> bool:
        """Whether a Ray cluster trains."""
        return self.executor == "ray" or (self.executor == "auto" and self.ray_address is not None)


def split(runs: Sequence[RunSpec], store: Store, mock: bool = False) -> tuple[list[RunSpec], list[RunSpec]]:
    """The runs the store already has, and those that have to be trained; made-up results count only for a `mock`."""
    done: list[RunSpec] = []
    missing: list[RunSpec] = []
    for run in runs:
        (done if _is_done(run, store.find(run.run_id), mock) else missing).append(run)
    return done, missing


def _is_done(run: RunSpec, stored: StoredRun | None, mock: bool) -> bool:
    """Whether a run is done; one that was pruned is done only for a run that may be pruned."""
    if stored is None or (stored.is_mock and not mock):
        return False
    return stored.status in DONE or (stored.status == Status.PRUNED and bool(run.peers))


def conduct(runs: Sequence[RunSpec], store: Store, settings: Settings, watch: Watcher) -> None:
    """Train the runs that the store lacks, or all of them if the settings say so.

    Raises:
        UsageError: when the device is missing, or a task or an optimizer cannot be built as asked for; nothing is
            written then.
        StoreError: when the store cannot be written to.
        KeyboardInterrupt: after what was running was stored as interrupted.
    """
    missing = list(runs) if settings.fresh else split(runs, store, settings.is_mock)[1]
    if not missing:
        return
    if settings.is_ray and any(run.peers for run in missing):
        raise UsageError("--prune needs the results of other runs, which Ray's nodes do not have", "--executor pool")
    executor = _executor(settings, missing)
    place = place_of(settings)
    if not settings.is_mock:
        from .preflight import preflight

        # Ray's nodes decide which device it trains on; whether everything can be built is checked here.
        preflight(missing, replace(place, device="cpu") if settings.is_ray else place)
    store.prepare()
    _make_way(missing, store, settings)
    executor.run(missing, place, store, watch)
    _await_others(missing, place, store, executor, watch)


def _executor(settings: Settings, runs: Sequence[RunSpec]) -> Executor:
    """The executor that the settings ask for, ready to run; each is imported only when it is needed."""
    if settings.is_ray:
        from .ray_cluster import Ray

        return Ray(settings.ray_address or "auto", settings.jobs)
    if settings.ray_address is not None:
        raise UsageError("--ray-address is for --executor ray", f"not for --executor {settings.executor}")
    if settings.executor == "mock":
        from .mock import Mock

        return Mock()
    if settings.executor == "pool" or (settings.executor == "auto" and min(settings.jobs, len(runs)) > 1):
        from .pool import Pool

        return Pool(settings.jobs, {reference for run in runs for reference in run.task.code})
    from .serial import Serial

    return Serial()


def place_of(settings: Settings) -> Place:
    """Where the runs are trained. Threads follow from the settings alone, not from how many runs are missing."""
    data = data_folder(settings.data)
    if settings.is_mock or settings.is_ray:
        return Place(settings.device, data, settings.threads)
    # torch is needed only now: a plan that is answered from the store never pays for its import.
    from .environment import pick_device

    jobs = 1 if settings.executor == "serial" else settings.jobs
    return Place(pick_device(settings.device), data, settings.threads or max(1, cores() // jobs))


def _make_way(runs: Sequence[RunSpec], store: Store, settings: Settings) -> None:
    """Discard stored runs that will be trained again: all of them, or those whose results were made up."""
    for run in runs:
        stored = store.find(run.run_id)
        if stored is not None and (settings.fresh or stored.is_mock):
            store.discard(run.run_id)


def _await_others(runs: Sequence[RunSpec], place: Place, store: Store, executor: Executor, watch: Watcher) -> None:
    """Wait for runs that another process was training; take over those it leaves unfinished."""
    others = [run for run in runs if _is_unfinished(run, store)]
    if others:
        watch.waiting(len(others))
    while others:
        time.sleep(WAIT_SECONDS)
        if left := [run for run in others if not _is_running(run, store)]:
            executor.run(left, place, store, watch)
        others = [run for run in others if _is_unfinished(run, store)]


def _is_running(run: RunSpec, store: Store) -> bool:
    stored = store.find(run.run_id)
    return stored is not None and stored.status == Status.RUNNING


def _is_unfinished(run: RunSpec, store: Store) -> bool:
    """Whether a run has no final status: it is running elsewhere, or its folder was taken a moment ago."""
    stored = store.find(run.run_id)
    return stored is None or stored.status == Status.RUNNING
