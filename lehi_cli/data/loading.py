"""From a task to its dataset in memory, checked against what the task declares, loaded once per process."""

from __future__ import annotations

import inspect
import json
from functools import lru_cache
from pathlib import Path

from lehi_cli.errors import DataError, UsageError
from lehi_cli.registry.plugins import call, resolve
from lehi_cli.runs.specs import TaskSpec, canonical_json

from .dataset import Dataset


def load_dataset(task: TaskSpec, folder: Path) -> Dataset:
    """The task's dataset, on the CPU.

    Args:
        task: what to load; its source gets the options beside `source`, and `folder` when it has such a parameter.
        folder: the data folder.

    Raises:
        DataError: when files are missing or damaged, or the raw data is not what the task's checksum declares.
        UsageError: when an option is unknown, or fake data was asked for and the source has none.
    """
    data = _load(canonical_json(task.data), task.origin, folder)
    declared = task.data.get("checksum")
    if declared is not None and not task.data.get("fake") and data.checksum != declared:
        raise DataError(
            f"task {task.name!r}: its data has checksum {data.checksum}, the task declares {declared}",
            "results on other data are not comparable: remove the checksum from the task to use this data on purpose",
        )
    return data


@lru_cache(maxsize=8)
def _load(data: str, origin: str, folder: Path) -> Dataset:
    options = json.loads(data)
    source = resolve(options.pop("source"), origin)
    for identity in ("checksum", "fingerprint"):  # not for the source, which reads whatever is there
        options.pop(identity, None)
    dataset: Dataset
    if options.pop("fake", False):
        fake = getattr(source, "fake", None)
        if fake is None:
            raise UsageError(f"{source.__name__} has no fake data", "run it without --fake-data")
        dataset = fake(**options)
    elif "folder" in inspect.signature(source).parameters:
        dataset = call(source, folder, **options)
    else:
        dataset = call(source, **options)
    return dataset
