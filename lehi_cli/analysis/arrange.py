"""Stored runs sorted for reading: no section mixes what cannot be compared, and no series what is not the same."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.specs import canonical_json
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

from .distinction import name_apart
from .labels import distinct_labels
from .results import Section, Series


def arrange(store: Store, runs: Sequence[StoredRun], labels: Mapping[str, str] | None = None) -> list[Section]:
    """Sort runs into sections and series, in the order in which they come.

    Args:
        store: where the metrics are.
        runs: the runs to arrange.
        labels: display name by run id, in place of the one stored.
    """
    labels = labels or {}
    keys = _Keys()
    by_spec: dict[str, list[StoredRun]] = {}
    for run in runs:
        key = keys.of([run.spec.task, run.spec.precision, run.is_mock])
        by_spec.setdefault(key, []).append(run)
    groups = [group for alike in by_spec.values() for group in _by_data(alike)]
    metrics = {run.folder: own for run, own in zip(runs, store.all_metrics(runs), strict=True)}
    sections = [_section(metrics, group, labels, keys) for group in groups]
    name_apart(sections)
    return sections


class _Keys:
    """Canonical JSON of what thousands of runs share, made once for each way in which it is written."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, content: object) -> str:
        written = repr(content)  # at half the cost, but equal settings may be written in different orders
        if written not in self._known:
            self._known[written] = canonical_json(content)
        return self._known[written]


def _by_data(runs: list[StoredRun]) -> list[list[StoredRun]]:
    """Runs of one spec, separated by the data they read.

    A failed run may not say what data it read: it goes with the run that does and that started nearest to it, or of two
    equally near with the earlier.
    """
    read = [run.outcome.get("data_checksum") or "" for run in runs]
    if len(set(read) - {""}) < 2:
        return [runs]
    known = sorted((datetime.fromisoformat(run.started), data) for run, data in zip(runs, read, strict=True) if data)
    grouped: dict[str, list[StoredRun]] = {}
    for run, data in zip(runs, read, strict=True):
        grouped.setdefault(data or _nearest(known, datetime.fromisoformat(run.started)), []).append(run)
    return list(grouped.values())


def _nearest(known: Sequence[tuple[datetime, str]], moment: datetime) -> str:
    i = bisect_left(known, moment, key=lambda item: item[0])
    return min(known[max(i - 1, 0) : i + 1], key=lambda item: abs(item[0] - moment))[1]


def _section(
    metrics: Mapping[Path, RunMetrics], runs: Sequence[StoredRun], labels: Mapping[str, str], keys: _Keys
) -> Section:
    grouped: dict[str, list[StoredRun]] = {}
    for run in runs:
        key = keys.of([run.optimizer, run.options, run.spec.optimizer_code, labels.get(run.run_id, "")])
        grouped.setdefault(key, []).append(run)
    members = list(grouped.values())
    firsts = [own[0] for own in members]
    shown = distinct_labels(firsts, [labels.get(run.run_id, run.label) for run in firsts])
    series = [
        Series(label, own, [metrics[run.folder] for run in own]) for label, own in zip(shown, members, strict=True)
    ]
    return Section(runs[0].task, runs[0].spec, series)
