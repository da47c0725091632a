"""Measured prices of steps, stored beside the runs with the milliseconds of every round.

    runs/.costs/<task, precision>-<device>-<optimizers>.json

With these any optimizer can later be the reference, see `lehi_cli.analysis.prices`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lehi_cli.errors import Notice, StoreError

from .files import write_json
from .specs import canonical_json
from .store import Store

FOLDER = ".costs"
SCHEMA = 1


@dataclass(frozen=True)
class Measured:
    """The measurements of one optimizer.

    Attributes:
        optimizer: its name.
        options: all of its options, as in its runs.
        ms: milliseconds per step in each round; empty if it could not be measured.
        passes_per_step: gradient equivalents per step, over all rounds.
        peak_bytes: peak memory of a step.
        state_bytes_per_parameter: bytes that the optimizer keeps between steps.
        note: why something is unknown, or a remark on it.
    """

    optimizer: str
    options: Mapping[str, Any]
    ms: Sequence[float] = ()
    passes_per_step: float | None = None
    peak_bytes: int | None = None
    state_bytes_per_parameter: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """The key that finds it, see `optimizer_key`."""
        return optimizer_key(self.optimizer, self.options)


@dataclass(frozen=True)
class Measurement:
    """Optimizers measured in turn, on one task and one device.

    Attributes:
        task: identity of the task, as in its runs.
        precision: precision of the arithmetic.
        device: the device it was measured on.
        device_name: the hardware behind that device.
        threads: torch threads.
        torch: version of torch.
        measured: when it was measured, in ISO 8601.
        steps: steps per round and optimizer.
        memory: the meaning of peak memory, in words.
        optimizers: the optimizers in the order of the first round.
    """

    task: Mapping[str, Any]
    precision: str
    device: str
    device_name: str
    threads: int
    torch: str
    measured: str
    steps: int
    memory: str
    optimizers: Sequence[Measured]

    @property
    def rounds(self) -> int:
        """The number of rounds that every measured optimizer took part in."""
        return max((len(each.ms) for each in self.optimizers), default=0)


def save_measurement(root: Path, measurement: Measurement) -> Path:
    """Store a measurement beside the runs in `root`; it replaces an earlier one of the same optimizers.

    Raises:
        StoreError: when it cannot be written.
    """
    which = _digest(sorted(each.key for each in measurement.optimizers))[:8]
    stem = _stem(measurement.task, measurement.precision, measurement.device)
    path = root / FOLDER / f"{stem}-{which}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"schema": SCHEMA, **asdict(measurement)})
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    return path


def load_measurements(
    store: Store, task: Mapping[str, Any], precision: str, devices: Iterable[str]
) -> list[Measurement]:
    """All measurements of a task on a kind of device; a damaged file is named in the store's notices.

    Args:
        store: the store; measurements are beside its runs.
        task: identity of the task, as in its runs.
        precision: precision of the arithmetic.
        devices: devices such as `cpu` or `cuda:1`, which stands for any GPU.
    """
    stems = dict.fromkeys(_stem(task, precision, device) for device in devices)
    folders = [root / FOLDER for root in store.roots]
    paths = [path for stem in stems for folder in folders for path in sorted(folder.glob(f"{stem}-*.json"))]
    return [measurement for measurement in (_read(path, store.notices) for path in paths) if measurement is not None]


def optimizer_key(optimizer: str, options: Mapping[str, Any]) -> str:
    """The key of an optimizer with its options; its label is for display only."""
    return canonical_json([optimizer, options])


def _digest(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _stem(task: Mapping[str, Any], precision: str, device: str) -> str:
    """The prefix of the files of one task, precision and kind of device."""
    return f"{_digest([task, precision])[:16]}-{device.partition(':')[0]}"


def _read(path: Path, notices: list[Notice]) -> Measurement | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ValueError("of another version")
        optimizers = [_measured(each) for each in content.pop("optimizers")]
        return Measurement(**content, optimizers=optimizers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "measure again with lehi compare --cost"
        notice = Notice(f"skipped {path}: damaged ({type(error).__name__}: {error})", hint)
        if notice not in notices:
            notices.append(notice)
        return None


def _measured(content: Mapping[str, Any]) -> Measured:
    ms = [float(value) for value in content["ms"]]
    if not all(0 < value < math.inf for value in ms):
        raise ValueError("a time that is not above zero")
    numbers = {key: kind(content[key]) for key, kind in _NUMBERS.items() if content[key] is not None}
    return Measured(**{**content, "ms": ms, **numbers})


_NUMBERS = {"passes_per_step": float, "peak_bytes": int, "state_bytes_per_parameter": float}
