"""Where a task's own file is: `data.path`, beside the task's file, in the working folder, or in the data folder.

A run's id depends on the content of the file, by its fingerprint, and on the path as it was typed, but not on the place
it was found in. So two copies of the same bytes are the same run, and copies that differ are refused, because nobody
can tell which of them was meant. When the run is trained, in whatever process and on whatever machine, the file must
still have the fingerprint that the run was planned with.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lehi_cli.errors import DataError
from lehi_cli.registry.built_in.sources import SOURCES
from lehi_cli.registry.tasks import built_in_folder
from lehi_cli.runs.specs import RunSpec, TaskSpec

from .fingerprint import fingerprint

READERS = tuple(SOURCES[name] for name in ("csv", "fineweb", "imagefolder", "text"))
"""The sources that need a file or a folder at `data.path`; what another source makes of a path is its own business."""


@dataclass(frozen=True)
class Found:
    """What is at `data.path`: the absolute path and the fingerprint, both empty when nothing is there."""

    place: str = ""
    fingerprint: str = ""


def find(task: TaskSpec, folder: Path) -> Found:
    """What `data.path` of a task stands for.

    Args:
        task: a task whose data has a path.
        folder: the data folder.

    Raises:
        DataError: when there are copies that differ, or one cannot be read.
    """
    path = str(task.data["path"])
    found = {place: _fingerprint(place) for place in places(path, task.origin, folder)}
    there = {place: content for place, content in found.items() if content}
    if len(set(there.values())) > 1:
        how = ", as far as names, sizes and times tell" if any(map(os.path.isdir, there)) else ""
        raise DataError(
            f"task {task.name!r}: data.path {path!r} is in {len(there)} places, and what is there differs{how}: "
            f"{', '.join(there)}",
            f"say which one is meant by its absolute path: --set data.path={next(iter(there))}",
        )
    return Found(*next(iter(there.items()), ("", "")))


def places(path: str, origin: str, folder: Path) -> list[str]:
    """The absolute paths at which `path` is looked for, the first in line first.

    Args:
        path: as it was typed.
        origin: the task's file; empty for none. Beside the tasks that come with the tool there is no data.
        folder: the data folder.
    """
    folders = [Path.cwd(), folder]
    if origin and Path(origin).parent != built_in_folder():
        folders.insert(0, Path(origin).parent)
    distinct: dict[str, str] = {}  # by what links lead to
    for place in (os.path.abspath(base / path) for base in folders):
        distinct.setdefault(os.path.realpath(place), place)
    return list(distinct.values())


def at_hand(run: RunSpec, folder: Path, planned_here: bool = True) -> RunSpec:
    """The run with `data.path` as the absolute path of the file that it was planned with, ready to be trained.

    It is looked for where it was found when the run was planned, then as it would be if the run were planned now. A
    run that was not planned with a fingerprint is returned as it is.

    Args:
        run: as planned; it keeps its id, the one that is returned has another.
        folder: the data folder.
        planned_here: whether this machine planned it. The fingerprint of a folder holds the times of its files, which
            differ from machine to machine: on another machine it is enough that the folder is there.

    Raises:
        DataError: when the file is missing, naming every place that was looked at, or has changed.
    """
    data = run.task.data
    path, planned = data.get("path"), data.get("fingerprint")
    if not isinstance(path, str) or not isinstance(planned, str) or data.get("fake"):
        return run
    candidates = list(dict.fromkeys([*filter(None, [run.data_place]), *places(path, run.task.origin, folder)]))
    there = list(filter(_is_there, candidates))
    same = [place for place in there if _has(place, _version(place), planned)]
    if not same and not planned_here:
        same = list(filter(os.path.isdir, there))
    if same:
        return replace(run, task=replace(run.task, data={**data, "path": same[0]}))
    if there:
        raise DataError(
            f"task {run.task.name!r}: {there[0]} is not what it was when the run was planned",
            "give the command again: on other data it is another run",
        )
    if data["source"] in READERS and not data.get("stream"):
        raise DataError(
            f"task {run.task.name!r}: there is no {path!r}; looked for {', '.join(candidates)}",
            "put it in one of these places, or name another: --set data.path=PATH; "
            "--fake-data makes a smoke run without it",
        )
    return run


def _is_there(place: str) -> bool:
    return os.path.isfile(place) or os.path.isdir(place)


def _version(place: str) -> tuple[int, ...]:
    """What changes when a file is written; nothing for a folder, whose files would all have to be looked at."""
    status = os.stat(place)
    return () if os.path.isdir(place) else (status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _has(place: str, version: tuple[int, ...], planned: str) -> bool:
    """Whether a place has the fingerprint; one that did is not read again for every run while it stays as it is."""
    return _fingerprint(place) == planned


def _fingerprint(place: str) -> str:
    try:
        return fingerprint(Path(place))
    except OSError as error:
        raise DataError(f"{place} cannot be read: {error.strerror}", "let yourself read it, or name another") from error
