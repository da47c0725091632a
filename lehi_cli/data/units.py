"""What a run's record says of its data beside the checksum: how it was read, and what a scaled target is worth.

Errors such as mae and rmse are measured, stored and compared in units of the target as the task scales it. `scale` is
what one such unit is in the target's own units, so that a report can show both.

A source of a `Table` says so itself. The other sources that scale their targets are those of `SCALED`: their scale is
worked out here from the rows that they are scaled by, so that their code, and with it the ids of their runs, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lehi_cli.errors import DataError
from lehi_cli.registry.built_in.sources import SOURCES
from lehi_cli.runs.specs import TaskSpec

from . import catalog
from .dataset import Table, Target
from .embedded import split_rows
from .loading import load_dataset
from .tables import hold_out


def told_of(task: TaskSpec, folder: Path) -> dict[str, Any]:
    """What a task's data says of itself: `notes`, lines for the user, and `target`, its name and scale; often nothing.

    Args:
        task: a task whose data was loaded, so that this costs next to nothing.
        folder: the data folder.
    """
    data = load_dataset(task, folder)
    notes, target = (data.notes, data.target) if isinstance(data, Table) else ((), _target(task, folder))
    told: dict[str, Any] = {"notes": list(notes)} if notes else {}
    return told | ({"target": asdict(target)} if target else {})


def _target(task: TaskSpec, folder: Path) -> Target | None:
    scaled = SCALED.get(task.data["source"])
    if scaled is None or task.data.get("fake"):
        return None
    return scaled(folder, task.data)


@lru_cache(maxsize=1)
def _diabetes_scale() -> float:
    from sklearn.datasets import load_diabetes

    _, progression = load_diabetes(return_X_y=True, scaled=False)
    return progression[split_rows("diabetes", len(progression))["train"]].std().item()


def _diabetes(_: Path, __: Mapping[str, Any]) -> Target:
    return Target("disease progression", _diabetes_scale())


@lru_cache(maxsize=8)
def _protein_scale(folder: Path, split: int) -> float:
    paths = {path.name: path for path in catalog.find("protein").paths(folder)}
    train = np.loadtxt(paths[f"index_train_{split}.txt"]).astype(np.int64)
    (chosen,) = hold_out(np.zeros(len(train), np.int64), 0.1, parts=1)
    return np.loadtxt(paths["data.txt"], usecols=9)[np.delete(train, chosen)].std().item()


def _protein(folder: Path, options: Mapping[str, Any]) -> Target | None:
    try:
        return Target("angstrom", _protein_scale(folder, options.get("split", 0)))
    except DataError:  # the files went while a run trained on what it had read of them
        return None


SCALED: Mapping[str, Callable[[Path, Mapping[str, Any]], Target | None]] = {
    SOURCES["diabetes"]: _diabetes,
    SOURCES["protein"]: _protein,
}
