"""What steps of optimizers were measured to cost: kept beside the runs, the milliseconds of every round.

    runs/.costs/<task, precision>-<device>-<optimizers>.json

From these any optimizer can later be the reference, see `lehi_cli.analysis.prices`.
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
    """What was measured of one optimizer.

    Attributes:
        optimizer: its name.
        options: all of them, as its runs have them.
        ms: milliseconds per step in each round; empty when it could not be measured.
        passes_per_step: gradient equivalents per step, over all rounds.
        peak_bytes: peak memory of a step.
        state_bytes_per_parameter: what the optimizer keeps between steps.
        note: why something is not known, or what must be known about it.
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
        """What it is found by, see `optimizer_key`."""
        return optimizer_key(self.optimizer, self.options)


@dataclass(frozen=True)
class Measurement:
    """Optimizers measured in turn, on one task and one device.

    Attributes:
        task: its identity, as runs have it.
        precision: of the arithmetic.
        device: where it was measured.
        device_name: what is behind that name.
        threads: torch threads.
        torch: its version.
        measured: when, in ISO form.
        steps: per round and optimizer.
        memory: what peak memory is, in words.
        optimizers: in the order of the first round.
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
        """Rounds that every measured optimizer took part in."""
        return max((len(each.ms) for each in self.optimizers), default=0)


def save_measurement(root: Path, measurement: Measurement) -> Path:
    """Keep a measurement beside the runs in `root`; it replaces an earlier one of the same optimizers.

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
    """All that was measured of a task on a kind of device; a file that is damaged is named in the store's notices.

    Args:
        store: the measurements lie beside its runs.
        task: its identity, as runs have it.
        precision: of the arithmetic.
        devices: such as `cpu` or `cuda:1`, which is any GPU.
    """
    stems = dict.fromkeys(_stem(task, precision, device) for device in devices)
    folders = [root / FOLDER for root in store.roots]
    paths = [path for stem in stems for folder in folders for path in sorted(folder.glob(f"{stem}-*.json"))]
    return [measurement for measurement in (_read(path, store.notices) for path in paths) if measurement is not None]


def optimizer_key(optimizer: str, options: Mapping[str, Any]) -> str:
    """What an optimizer with its options is found by; its label is for display only."""
    return canonical_json([optimizer, options])


def _digest(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _stem(task: Mapping[str, Any], precision: str, device: str) -> str:
    """What the files of one task, precision and kind of device begin with."""
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
