"""Removing runs for good: their own files and tags, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import uuid4

from lehi_cli.errors import StoreError, UsageError

from .comparisons import ComparisonRecord
from .liveness import is_abandoned
from .status import Status
from .store import Store
from .tags import change_tags, read_tags

OWN = ("run.json", "metrics-*.parquet", ".run.json-*", ".metrics-*")  # the last two of writers that were killed


def check_removable(store: Store, folders: Sequence[Path]) -> None:
    """Check that these runs can go.

    Raises:
        UsageError: when one of them is running, or has files beside its own.
    """
    running = [folder.name for folder in folders if _is_running(store, folder)]
    if running:
        raise UsageError(f"still running: {', '.join(running)}", "interrupt them first, or leave them out")
    for folder in folders:
        if foreign := [] if folder.is_symlink() else _foreign(folder):
            raise UsageError(f"{folder} has files that are not the run's own: {', '.join(foreign)}", "move them away")


def losses(records: Iterable[ComparisonRecord], run_ids: Iterable[str]) -> list[tuple[ComparisonRecord, int]]:
    """The comparisons that were shown and have some of these runs, and how many of them."""
    gone = set(run_ids)
    counted = [(record, len({run.run_id for run in record.runs} & gone)) for record in records]
    return [(record, count) for record, count in counted if count]


def remove(store: Store, folder: Path) -> None:
    """Remove a run: readers see all of it or nothing. Of a link only the link goes.

    Raises:
        StoreError: when it cannot be removed.
    """
    tags = read_tags(store).get(folder.name, ())
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            retired = folder.with_name(f".retired-{uuid4().hex}")
            folder.rename(retired)
            for name in os.listdir(retired):
                (retired / name).unlink()
            retired.rmdir()
    except OSError as error:
        raise StoreError(f"cannot remove {folder}: {error.strerror}") from error
    change_tags(folder.parent, [folder.name], remove=tags)


def _is_running(store: Store, folder: Path) -> bool:
    run = store.find(folder.name)
    return run.status == Status.RUNNING if run is not None else not is_abandoned(folder)


def _foreign(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not any(fnmatchcase(name, own) for own in OWN))
