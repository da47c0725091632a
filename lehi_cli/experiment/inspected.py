"""Everything that is known of one run, and in what two runs differ. Nothing is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lehi_cli.analysis.columns import SPLITS
from lehi_cli.errors import StoreError
from lehi_cli.runs.comparisons import ComparisonRecord, Comparisons
from lehi_cli.runs.metrics import LOSS
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.runs.tags import read_tags

APART = ("schema", "run_id")
"""What a run's record says of itself and nobody compares."""


@dataclass(frozen=True)
class Inspected:
    """One run.

    Attributes:
        run: as the store has it.
        record: its `run.json`, as it is.
        finals: the last values, by `split_metric`.
        files: names and sizes, in bytes.
        tags: in alphabetical order.
        comparisons: that it is part of.
    """

    run: StoredRun
    record: Mapping[str, Any]
    finals: Mapping[str, float]
    files: Sequence[tuple[str, int]]
    tags: Sequence[str]
    comparisons: Sequence[ComparisonRecord]


class Difference(NamedTuple):
    """Something in which two runs differ: its key with dots between its parts, and both values, None for none."""

    key: str
    one: Any
    other: Any


def inspect(store: Store, run: StoredRun) -> Inspected:
    """Everything that is known of a run.

    Raises:
        StoreError: when it was removed meanwhile.
    """
    records = Comparisons(store).records
    return Inspected(
        run,
        _record(run),
        finals(store, run),
        [(path.name, path.stat().st_size) for path in sorted(run.folder.iterdir()) if not path.name.startswith(".")],
        read_tags(store).get(run.run_id, ()),
        [record for record in records if run.run_id in {member.run_id for member in record.runs}],
    )


def finals(store: Store, run: StoredRun) -> dict[str, float]:
    """The last values of a run's loss and metrics, by `split_metric`; those that there are."""
    metrics = store.metrics(run)
    names = [(split, name) for split in SPLITS for name in (LOSS, *run.spec.metrics)]
    found = {f"{split}_{name}": metrics.final(split, name) for split, name in names}
    return {name: value for name, value in found.items() if value is not None}


def differences(store: Store, one: StoredRun, other: StoredRun) -> list[Difference]:
    """In what two runs differ, in the order of their records; of one run in two folders their rows too."""
    facts, others = (_facts(store, run) for run in (one, other))
    if one.run_id == other.run_id:
        facts["rows"], others["rows"] = (_rows(run.folder) for run in (one, other))
    keys = dict.fromkeys([*facts, *others])
    return [Difference(key, facts.get(key), others.get(key)) for key in keys if facts.get(key) != others.get(key)]


def _facts(store: Store, run: StoredRun) -> dict[str, Any]:
    """All of a run's record, flat, with its status as it is and its last values as text: NaN differs from itself."""
    record = {key: value for key, value in _record(run).items() if key not in APART}
    spec = record.pop("spec")
    flat = dict(_flat({"status": run.status, **spec, **{key: record[key] for key in record if key != "status"}}))
    return flat | {f"final.{name}": f"{value:.12g}" for name, value in finals(store, run).items()}


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _record(run: StoredRun) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"run {run.run_id} cannot be read: {error}") from error
    return found


def _rows(folder: Path) -> str:
    """Checksum of what was logged."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("metrics-*.parquet")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]
