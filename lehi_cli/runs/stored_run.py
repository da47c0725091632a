"""A run as stored: the one place that knows how to read `run.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .liveness import is_abandoned
from .specs import ADAPTIVE, Budget
from .status import Status

SCHEMA = 1
SPENT = ("steps", "passes", "seconds", "parameters", "state_bytes")


@dataclass(frozen=True)
class StoredSpec:
    """What decided a run's numbers, as it was written: `RunSpec.identity()`, perhaps of another version.

    Attributes:
        content: all of it, as plain data.
    """

    content: Mapping[str, Any]

    @property
    def task(self) -> Mapping[str, Any]:
        """The task's part: with it the runs of one task are told apart from those of any other."""
        task: Mapping[str, Any] = self.content["task"]
        return task

    @property
    def metrics(self) -> Sequence[str]:
        """The metrics besides the loss, as the task lists them."""
        metrics: Sequence[str] = self.task["metrics"]
        return metrics

    @property
    def data(self) -> Mapping[str, Any]:
        """The data source and its options."""
        data: Mapping[str, Any] = self.task["data"]
        return data

    @property
    def data_checksum(self) -> str:
        """Checksum of the data that the task declares; empty if it declares none."""
        return str(self.data.get("checksum", ""))

    @property
    def batch_size(self) -> int:
        """Rows of a mini-batch."""
        size: int = self.task["batch_size"]
        return size

    @property
    def budget(self) -> Budget:
        """How long the run trains."""
        ((kind, amount),) = self.task["budget"].items()
        return Budget(kind, amount)

    @property
    def precision(self) -> str:
        """The arithmetic: `fp32` or `bf16`."""
        return str(self.content["precision"])

    @property
    def optimizer_code(self) -> str:
        """Hash of the source of the optimizer; empty when it is torch's own."""
        return str(self.content["optimizer"].get("code", ""))

    @property
    def recipe(self) -> object:
        """What runs had in place of the hash of the training loop's code; None since they have that."""
        return self.content.get("recipe")


@dataclass(frozen=True)
class StoredRun:
    """A run as stored, without its metrics.

    `target` is the target that its task had when it ran. `adaptive`, in stores of earlier versions, says whether seeds
    were added after a look at it; now the comparison records that.
    """

    run_id: str
    task: str
    optimizer: str
    label: str
    options: Mapping[str, Any]
    seed: int
    status: Status
    spec: StoredSpec
    environment: Mapping[str, Any]
    outcome: Mapping[str, Any]
    error: Mapping[str, str]
    started: str
    folder: Path
    target: Mapping[str, float] = field(default_factory=dict)
    adaptive: bool = False

    @property
    def is_fake(self) -> bool:
        """Whether its data was synthetic instead of the task's own, or its results were."""
        return bool(self.spec.data.get("fake")) or self.is_mock

    @property
    def is_mock(self) -> bool:
        """Whether nothing was trained and its results are made up."""
        return bool(self.environment.get("mock"))

    @property
    def budget(self) -> str:
        """The run's budget in words."""
        return str(self.spec.budget)


def parse_run(content: Mapping[str, Any], folder: Path) -> StoredRun:
    """The run in the content of a file.

    Raises:
        ValueError, KeyError, TypeError: when the content is malformed.
    """
    spec = content["spec"]
    _check(content)
    return StoredRun(
        run_id=content["run_id"],
        task=spec["task"]["name"],
        optimizer=spec["optimizer"]["name"],
        label=content["label"],
        options=spec["optimizer"]["options"],
        seed=spec["seed"],
        status=_status(content, folder),
        spec=StoredSpec(spec),
        environment=content["environment"],
        outcome=content.get("outcome") or {},
        error=content.get("error") or {},
        started=content["started"],
        folder=folder,
        target=content.get("target") or {},
        adaptive=content.get("seeds") == ADAPTIVE,
    )


def _check(content: Mapping[str, Any]) -> None:
    """Check that the values that reports need are there: other programs and other versions write such files too.

    Raises:
        ValueError, KeyError, TypeError: when they are not.
    """
    if content["schema"] != SCHEMA:
        raise ValueError(f"written by another version: schema {content['schema']!r}")
    datetime.fromisoformat(content["started"])
    for part in ("environment", "outcome", "error", "target"):
        if not isinstance(content.get(part) or {}, dict):
            raise TypeError(f"{part} is no mapping")
    outcome = content.get("outcome") or {}
    for name in SPENT:
        if not isinstance(outcome.get(name, 0), int | float):
            raise TypeError(f"{name} is no number")
    if not isinstance(outcome.get("data_checksum", ""), str):
        raise TypeError("data_checksum is no text")
    _check_told(outcome)
    _check_spec(content["spec"])


def _check_told(outcome: Mapping[str, Any]) -> None:
    """Check what the data reported about itself: see `lehi_cli.data.units`."""
    if not isinstance(outcome.get("notes", []), list):
        raise TypeError("notes is no list")
    target = outcome.get("target")
    if target is not None and not (isinstance(target["name"], str) and isinstance(target["scale"], int | float)):
        raise TypeError("target is no name with a scale")


def _check_spec(spec: Mapping[str, Any]) -> None:
    task, metrics = spec["task"], spec["task"]["metrics"]
    parts = {"data": task["data"], "budget": task["budget"], "options": spec["optimizer"]["options"]}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise TypeError(f"{name} is no mapping")
    if len(task["budget"]) != 1:
        raise ValueError("budget is not one")
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in metrics):
        raise TypeError("metrics is no list of names")
    if not {"precision", "seed"} <= spec.keys() or "batch_size" not in task:
        raise KeyError("precision, seed or batch_size")


def _status(content: Mapping[str, Any], folder: Path) -> Status:
    """The status as written, except that a running run whose process is gone was killed."""
    status = content["status"]
    if status not in list(Status):
        raise ValueError(f"unknown status {status!r}")
    return Status.KILLED if status == Status.RUNNING and is_abandoned(folder) else Status(status)
