"""From a task to its dataset in memory, checked against what the task declares, loaded once per process."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from lehi_cli.errors import DataError
from lehi_cli.registry.plugins import call, resolve
from lehi_cli.specs import TaskSpec, canonical_json

if TYPE_CHECKING:
    from .dataset import Dataset


def load_dataset(task: TaskSpec) -> Dataset:
    """The task's dataset, on the CPU.

    Raises:
        DataError: when its raw data is not what the task's checksum declares.
    """
    data = _load(canonical_json(task.data), task.origin)
    declared = task.data.get("checksum")
    if declared is not None and data.checksum != declared:
        raise DataError(
            f"task {task.name!r}: its data has checksum {data.checksum}, the task declares {declared}",
            "results on other data are not comparable: remove the checksum from the task to use this data on purpose",
        )
    return data


@lru_cache(maxsize=8)
def _load(data: str, origin: str) -> Dataset:
    options = json.loads(data)
    source = resolve(options.pop("source"), origin)
    options.pop("checksum", None)
    dataset: Dataset = call(source, **options)
    return dataset
