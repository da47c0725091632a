"""Whether the data of a task is there at all: a smoke run can do without missing data, but must not hide wrong data."""

from __future__ import annotations

from pathlib import Path

from lehi_cli.registry.built_in.sources import SOURCES
from lehi_cli.runs.specs import TaskSpec

from . import catalog
from .locate import find

PUBLIC = {SOURCES[name]: name for name in catalog.CORPORA if name in SOURCES} | {
    SOURCES["mnist_autoencoder"]: "mnist",
    SOURCES["smnist"]: "mnist",
}
"""The public data set that each source reads."""


def may_be_missing(task: TaskSpec, folder: Path) -> bool:
    """Whether data that the task needs is missing; also true where only the source can tell.

    Damaged data is not missing. Only the source can tell for documents from a hub, and if it is a plug-in.

    Args:
        task: the task.
        folder: the data folder.

    Raises:
        DataError: when there are copies of `data.path` that differ, or one cannot be read.
    """
    source = str(task.data["source"])
    if task.data.get("stream"):
        return True
    if isinstance(task.data.get("path"), str):
        return not find(task, folder).place
    if source in PUBLIC:
        return catalog.find(PUBLIC[source]).state(folder) in ("no", "partly")
    return source not in SOURCES.values()
