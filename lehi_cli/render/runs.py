"""Single runs: in a list, one with all that is known of it, and two beside each other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.filesize import decimal

from lehi_cli.analysis.labels import distinct_labels
from lehi_cli.experiment.inspected import Difference, Inspected
from lehi_cli.runs.named import short_ids
from lehi_cli.runs.specs import canonical_json, format_value
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.runs.tags import Tags

from .document import Block, Column, Lines, Part, Table

SCHEMA = 1


def runs_table(runs: Sequence[StoredRun], tags: Tags) -> Table:
    """A row for each run, the last one started last; a column of tags where there are any."""
    columns = [Column("run", right=False), Column("task", right=False), Column("optimizer", right=False)]
    columns += [Column("seed"), Column("status", right=False), Column("started", right=False)]
    ids, labels = short_ids(run.run_id for run in runs), _labels(runs)
    rows = [
        [ids[run.run_id], _task(run), labels[run.run_id], str(run.seed), run.status, _when(run.started)] for run in runs
    ]
    if any(tags.get(run.run_id) for run in runs):
        columns.append(Column("tags", right=False, wraps=True))
        for row, run in zip(rows, runs, strict=True):
            row.append(", ".join(tags.get(run.run_id, ())))
    return Table(columns, rows)


def run_parts(found: Inspected) -> list[Part]:
    """All that is known of a run."""
    run, record = found.run, found.record
    title = f"{_task(run)} {run.label} seed {run.seed}"
    about = {"run": run.run_id, "status": run.status, "started": run.started, "finished": record.get("finished")}
    about |= {"owner": record.get("owner"), "label": run.label, "tags": ", ".join(found.tags), "target": run.target}
    blocks: list[Block] = [_facts("run", about)]
    content = run.spec.content
    spec = {key: content[key] for key in content if key not in ("task", "optimizer")}
    for name, facts in (
        ("optimizer", {**content["optimizer"], **spec}),
        ("task", run.spec.task),
        ("environment", run.environment),
        ("outcome", run.outcome),
        ("final value", found.finals),
    ):
        if facts:
            blocks.append(_facts(name, facts))
    blocks.append(_facts(f"files in {run.folder}", {name: decimal(size) for name, size in found.files}))
    if found.comparisons:
        shown = {record.id: shlex.join(["lehi", *record.command]) for record in found.comparisons}
        blocks.append(_facts("comparison", shown))
    parts = [Part(title, run.status, blocks)]
    if run.error:
        parts.append(Part("error", "", [Lines(_traceback(run))]))
    return parts


def difference_table(one: StoredRun, other: StoredRun, found: Sequence[Difference]) -> Table:
    """A row for each fact in which two runs differ."""
    ids = short_ids([one.run_id, other.run_id])
    headings = ids[one.run_id], ids[other.run_id]
    if one.run_id == other.run_id:
        headings = str(one.folder), str(other.folder)
    columns = [Column("differs", right=False), *(Column(heading, right=False, wraps=True) for heading in headings)]
    rows = [
        [item.key.removeprefix("task.") if item.key.startswith("task.code.") else item.key, *_both(item)]
        for item in found
    ]
    return Table(columns, rows)


def runs_json(runs: Sequence[StoredRun], tags: Tags) -> dict[str, Any]:
    """The list for programs."""
    return {"schema": SCHEMA, "runs": [_summary(run, tags.get(run.run_id, ())) for run in runs]}


def run_json(found: Inspected) -> dict[str, Any]:
    """One run for programs: its `run.json` as it is, with the status as it is now, and what lies beside it."""
    return {
        **found.record,
        "schema": SCHEMA,
        "status": found.run.status,
        "folder": str(found.run.folder),
        "final": {name: _number(value) for name, value in found.finals.items()},
        "files": [{"name": name, "bytes": size} for name, size in found.files],
        "tags": list(found.tags),
        "comparisons": [record.id for record in found.comparisons],
    }


def difference_json(one: StoredRun, other: StoredRun, found: Sequence[Difference]) -> dict[str, Any]:
    """What two runs differ in, for programs."""
    runs = [{"run_id": run.run_id, "folder": str(run.folder)} for run in (one, other)]
    return {
        "schema": SCHEMA,
        "runs": runs,
        "differences": [{"key": item.key, "values": [item.one, item.other]} for item in found],
    }


def _summary(run: StoredRun, tags: Sequence[str]) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "task": run.task, "optimizer": run.optimizer, "label": run.label,
        "options": run.options, "seed": run.seed, "status": run.status, "started": run.started,
        "fake_data": run.is_fake, "tags": list(tags), "folder": str(run.folder),
    }  # fmt: skip


def _labels(runs: Sequence[StoredRun]) -> dict[str, str]:
    """What each run's optimizer is called, told apart from others of that label."""
    first: dict[str, StoredRun] = {}
    for run in runs:
        first.setdefault(_optimizer(run), run)
    labels = distinct_labels(list(first.values()), [run.label for run in first.values()])
    by_optimizer = dict(zip(first, labels, strict=True))
    return {run.run_id: by_optimizer[_optimizer(run)] for run in runs}


def _optimizer(run: StoredRun) -> str:
    return canonical_json([run.label, run.spec.content["optimizer"]])


def _task(run: StoredRun) -> str:
    return f"{run.task} [FAKE DATA]" if run.is_fake else run.task


def _when(started: str) -> str:
    """Local time, to the minute."""
    return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")


def _facts(name: str, facts: Mapping[str, Any]) -> Table:
    columns = [Column(name, right=False), Column("value", right=False, wraps=True)]
    flat = _flattened(facts)
    return Table(columns, [[key, _value(value)] for key, value in flat.items() if value not in (None, "", {})])


def _flattened(facts: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in facts.items():
        inner = isinstance(value, Mapping) and value
        found |= _flattened(value, f"{before}{key}.") if inner else {f"{before}{key}": value}
    return found


def _both(item: Difference) -> list[str]:
    """Both values; of moments as much as it takes to tell them apart, so that they stand side by side."""
    texts = [_value(value) for value in (item.one, item.other)]
    if item.key in ("started", "finished"):
        short = [text[:19].replace("T", " ") for text in texts]
        return short if short[0] != short[1] else texts
    return texts


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return canonical_json(value)
    return "-" if value is None else format_value(value)


def _traceback(run: StoredRun) -> list[str]:
    """The traceback, which ends with the error; the error alone where there is none."""
    said = f"{run.error.get('type', '')}: {run.error.get('message', '')}"
    return (run.error.get("traceback") or said).rstrip().splitlines()


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
