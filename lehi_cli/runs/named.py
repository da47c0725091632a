"""The run that somebody means: by its id, by how its id begins, or by the path of its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from lehi_cli.errors import StoreError, UsageError

from .store import Store
from .stored_run import StoredRun

MOST_NAMED = 5
LEAST_DIGITS = 8  # of an id that are shown, as far as they tell it from the others


def run_folders(store: Store) -> dict[str, Path]:
    """The folder of every run by its id, readable or not; that of the first store that has it.

    Raises:
        StoreError: when a store's folder is not there, or cannot be read.
    """
    folders: dict[str, Path] = {}
    for root in store.roots:
        try:
            with os.scandir(root) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir() and not entry.name.startswith("."):
                        folders.setdefault(entry.name, root / entry.name)
        except OSError as error:
            hint = "make some with lehi compare, or name their folder with --runs DIR"
            raise StoreError(f"no runs in {root}: {error.strerror}", hint) from error
    return folders


def find_folder(store: Store, name: str) -> Path:
    """The folder of the run whose id is `name` or begins so; or of the run at that path, whatever the store.

    Raises:
        UsageError: when there is none, or several; with those that are near.
        StoreError: when the store is not there.
    """
    if os.sep in name:
        path = Path(name)
        store, name = Store(path.parent), path.name
    folders = run_folders(store)
    if name in folders:
        return folders[name]
    found = [run_id for run_id in folders if name and run_id.startswith(name)]
    if len(found) == 1:
        return folders[found[0]]
    if found:
        raise UsageError(f"run {name!r} is several in {store.name}", f"one of: {_listed(store, found)}")
    near = get_close_matches(name, folders, n=MOST_NAMED, cutoff=0.6)
    near += [run_id for run_id in folders if get_close_matches(name, [run_id[: len(name)]], cutoff=0.7)]
    near = list(dict.fromkeys(near))
    hint = f"near: {_listed(store, near)}" if near else "lehi runs list shows those there are"
    raise UsageError(f"no run {name!r} in {store.name}", hint)


def find_run(store: Store, name: str) -> StoredRun:
    """The run that `name` stands for, see `find_folder`.

    Raises:
        UsageError: when there is none, or several.
        StoreError: when it cannot be read, or two folders of the store do not have the same of it.
    """
    folder = find_folder(store, name)
    own = store if folder.parent in store.roots else Store(folder.parent, store.notices)
    run = own.find(folder.name)
    if run is None:
        why = store.notices[-1].message if store.notices else f"skipped {folder}: it has no run.json yet"
        raise StoreError(f"run {folder.name} cannot be read", why.removeprefix("skipped "))
    return run


def short_ids(run_ids: Iterable[str]) -> dict[str, str]:
    """Each id as far as it takes to tell it from the others."""
    ids = sorted(set(run_ids))
    digits = LEAST_DIGITS
    while len({run_id[:digits] for run_id in ids}) < len(ids):
        digits += 1
    return {run_id: run_id[:digits] for run_id in ids}


def in_words(run: StoredRun) -> str:
    """A run in a few words: `1a2b3c4d5e6f7a8b (digits adam seed 0, ok)`."""
    return f"{run.run_id} ({run.task} {run.label} seed {run.seed}, {run.status})"


def _listed(store: Store, run_ids: list[str]) -> str:
    quiet = [Store(root) for root in store.roots]  # what cannot be read is no matter here
    found = [next((run for run in (own.find(run_id) for own in quiet) if run), None) for run_id in run_ids[:MOST_NAMED]]
    words = [in_words(run) if run else run_id for run_id, run in zip(run_ids, found, strict=False)]
    more = len(run_ids) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")
