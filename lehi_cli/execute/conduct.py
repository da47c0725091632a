"""A plan, a store, and an executor: reuse what is there, train the rest, and come back with every run's record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lehi_cli.data.folder import data_folder
from lehi_cli.errors import Notice
from lehi_cli.specs import RunSpec
from lehi_cli.store import DONE, Store

from .place import Place
from .watch import Watcher

EXECUTORS = ("auto", "serial", "pool")
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Settings:
    """How to carry out a plan; none of it can change a number, except the device.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        executor: `serial`, `pool`, or `auto`: a pool when there is more than one job.
        jobs: runs at a time.
        fresh: train again what the store already has.
        data: folder of the data sets; None for `LEHI_DATA` or the user's cache folder.
    """

    device: str = "auto"
    executor: str = "auto"
    jobs: int = 1
    fresh: bool = False
    data: Path | None = None


def split(runs: Sequence[RunSpec], store: Store) -> tuple[list[RunSpec], list[RunSpec]]:
    """The runs the store already has, and those that have to be trained."""
    done: list[RunSpec] = []
    missing: list[RunSpec] = []
    for run in runs:
        stored = store.find(run.run_id)
        (done if stored is not None and stored.status in DONE else missing).append(run)
    return done, missing


def conduct(runs: Sequence[RunSpec], store: Store, settings: Settings, watch: Watcher) -> None:
    """Train what the store does not have, or everything when the settings say so.

    Raises:
        UsageError: when the device is not there, or a task or an optimizer cannot be built as it was asked for;
            nothing is written then.
        StoreError: when the store cannot be written to.
        KeyboardInterrupt: after what was running was stored as interrupted.
    """
    missing = list(runs) if settings.fresh else split(runs, store)[1]
    if not missing:
        return
    # Only now is torch needed: a plan that is answered from the store never pays for its import.
    from .environment import pick_device
    from .preflight import preflight

    place = Place(pick_device(settings.device), data_folder(settings.data))
    preflight(missing, place)
    store.prepare()
    if settings.fresh:
        for run in missing:
            store.discard(run.run_id)
    _train(missing, place, store, settings, watch)
    _await_others(missing, place, store, settings, watch)


def _train(runs: Sequence[RunSpec], place: Place, store: Store, settings: Settings, watch: Watcher) -> None:
    if settings.executor == "pool" or (settings.executor == "auto" and min(settings.jobs, len(runs)) > 1):
        from .pool import run_pool

        run_pool(runs, place, store, watch, settings.jobs)
    else:
        from .serial import run_serial

        run_serial(runs, place, store, watch)


def _await_others(runs: Sequence[RunSpec], place: Place, store: Store, settings: Settings, watch: Watcher) -> None:
    """Wait for runs that another process was at; take over those it leaves unfinished."""
    if others := [run for run in runs if _is_unfinished(run, store)]:
        watch.waiting(len(others))
    while others := [run for run in runs if _is_unfinished(run, store)]:
        time.sleep(WAIT_SECONDS)
        _train([run for run in others if not _is_running(run, store)], place, store, settings, watch)


def _is_running(run: RunSpec, store: Store) -> bool:
    stored = store.find(run.run_id)
    return stored is not None and stored.status == "running"


def _is_unfinished(run: RunSpec, store: Store) -> bool:
    """Whether a run has no final status: it is running elsewhere, or its folder was taken a moment ago."""
    stored = store.find(run.run_id)
    return stored is None or stored.status == "running"


def differences(environments: Sequence[dict[str, object]]) -> list[Notice]:
    """A notice for every respect in which runs that are compared were made differently."""
    notices = []
    for key in ("device", "device_name", "threads", "torch", "lehi", "python"):
        values = sorted({str(environment.get(key)) for environment in environments if environment})
        if len(values) > 1:
            notices.append(
                Notice(f"the runs differ in {key}: {', '.join(values)}", "--no-cache trains all of them anew")
            )
    return notices
