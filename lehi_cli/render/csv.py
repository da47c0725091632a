"""Stored runs as CSV for a spreadsheet or a data frame: one row per run, one column per fact."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from lehi_cli.analysis.results import Section
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.specs import format_value
from lehi_cli.runs.status import Status
from lehi_cli.runs.stored_run import SPENT, StoredRun

ABOUT = (
    "task", "fake_data", "budget", "batch_size", "precision", "optimizer", "label", "options", "seed", "status",
)  # fmt: skip
PLACE = ("device", "device_name", "threads")
VERSIONS = ("lehi", "torch", "python")
CHECKSUMS = ("data_checksum", "init_checksum", "order_checksum")
ORIGIN = ("started", "error", "run_id", "command")


def sections_to_csv(sections: Sequence[Section], provenance: Sequence[tuple[str, str]]) -> str:
    """One row per run, with the columns

        task, fake_data, budget, batch_size, precision, optimizer, label, options, seed, status,
        val_loss, val_<metric>, ..., test_loss, test_<metric>, ...,
        steps, passes, seconds, parameters, state_bytes, device, device_name, threads,
        lehi_version, torch_version, python_version, data_checksum, init_checksum, order_checksum,
        started, error, run_id, command

    The quality columns are those of all sections; a cell is empty if the task has no such metric or the run did not
    reach the end of its budget. Numbers are written at full precision; `state_bytes` is the optimizer's memory.

    Args:
        sections: the sections to write.
        provenance: names and values that hold for all of them; the value of `command` is written with every run.
    """  # noqa: D415
    quality = list(dict.fromkeys(column for section in sections for column in section.columns))
    names = [f"{split}_{name}" for split, name in sorted(quality, key=lambda column: column[0] == "test")]
    versions = [f"{name}_version" for name in VERSIONS]
    command = dict(provenance).get("command", "")
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [*ABOUT, *names, *SPENT, *PLACE, *versions, *CHECKSUMS, *ORIGIN], restval="")
    writer.writeheader()
    for section in sections:
        for series in section.series:
            for run, metrics in zip(series.runs, series.metrics, strict=True):
                row = _about(run, series.label) | _finals(section, run, metrics) | _outcome(run)
                writer.writerow(row | {"command": command})
    return stream.getvalue()


def _about(run: StoredRun, label: str) -> dict[str, Any]:
    return {
        "task": run.task,
        "fake_data": str(run.is_fake).lower(),
        "budget": run.budget,
        "batch_size": run.spec.batch_size,
        "precision": run.spec.precision,
        "optimizer": run.optimizer,
        "label": label,
        "options": _options(run.options),
        "seed": run.seed,
        "status": run.status,
    }


def _options(options: Mapping[str, Any]) -> str:
    """The options as typed after an optimizer's name: `betas=0.9/0.999:lr=0.001`."""
    return ":".join(f"{key}={format_value(value)}" for key, value in sorted(options.items()))


def _finals(section: Section, run: StoredRun, metrics: RunMetrics) -> dict[str, float]:
    """Last values of a run that reached the end; the last values of any other would pass for final ones."""
    if run.status != Status.OK:
        return {}
    last = {f"{split}_{name}": metrics.final(split, name) for split, name in section.columns}
    return {name: value for name, value in last.items() if value is not None}


def _outcome(run: StoredRun) -> dict[str, Any]:
    """What the run spent, where and with what software it was made, and its identity."""
    known = {
        **{key: run.outcome.get(key, "") for key in (*SPENT, *CHECKSUMS)},
        **{key: run.environment.get(key, "") for key in PLACE},
        **{f"{key}_version": run.environment.get(key, "") for key in VERSIONS},
    }
    return {**known, "started": run.started, "error": _error(run.error), "run_id": run.run_id}


def _error(error: Mapping[str, str]) -> str:
    """The error on one line, without its traceback."""
    if not error:
        return ""
    first = error.get("message", "").partition("\n")[0]
    return f"{error.get('type', 'error')}: {first}"
