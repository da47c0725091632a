"""Several folders of runs, read as one: for example runs that were trained on other machines and copied here.

A run that is in more than one folder counts once, provided that all its copies are the same. Comparisons, looks and
measurements of every folder count. Writes go to the first folder.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lehi_cli.errors import StoreError

from .store import Store
from .stored_run import StoredRun


def open_stores(folders: Sequence[Path]) -> Store:
    """The store in a folder, or in several.

    Args:
        folders: one or more folders; a folder named twice counts once.

    Raises:
        StoreError: when one of several is missing.
    """
    different = list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    if len(different) == 1:
        return Store(different[0])
    for folder in different:
        if not folder.is_dir():
            raise StoreError(f"no runs in {folder}", "every folder given with --runs must be there")
    return Stores(different[0], others=different[1:])


@dataclass
class Stores(Store):
    """A store that also looks for runs in other folders.

    Attributes:
        others: the folders after the first.
    """

    others: Sequence[Path] = ()
    _single: list[Store] = field(default_factory=list, init=False, repr=False, compare=False)
    _compared: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._single = [Store(root, self.notices) for root in self.roots]

    @property
    def roots(self) -> Sequence[Path]:
        """Every folder that is read."""
        return (self.root, *self.others)

    def find(self, run_id: str) -> StoredRun | None:
        """The run with that id, from any folder that has it.

        Raises:
            StoreError: when two folders have it and their copies differ.
        """
        found = [run for run in (store.find(run_id) for store in self._single) if run is not None]
        return self._one(found) if found else None

    def runs(self) -> list[StoredRun]:
        """Every readable run, in the order in which they were started.

        Raises:
            StoreError: when two folders have the same run and their copies differ.
        """
        by_id: dict[str, list[StoredRun]] = {}
        for store in self._single:
            for run in store.runs():
                by_id.setdefault(run.run_id, []).append(run)
        runs = [self._one(found) for found in by_id.values()]
        return sorted(runs, key=lambda run: (run.started, run.run_id))

    def _one(self, found: Sequence[StoredRun]) -> StoredRun:
        """The run of which all of these are copies."""
        first, *others = found
        if others and first.run_id not in self._compared:
            for other in others:
                if not _is_same(first.folder, other.folder):
                    message = f"run {first.run_id} is not the same in {first.folder.parent} and {other.folder.parent}"
                    shown = f"lehi runs diff {first.folder} {other.folder}"
                    raise StoreError(message, f"{shown} shows how they differ, lehi runs rm removes one of them")
            self._compared.add(first.run_id)
        return first


def _is_same(one: Path, other: Path) -> bool:
    """Whether two folders of a run hold the same record and the same rows."""
    names = _files(one)
    return names == _files(other) and not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])


def _files(folder: Path) -> list[str]:
    return sorted(path.name for pattern in ("run.json", "metrics-*.parquet") for path in folder.glob(pattern))
