"""Writing one run, by the process that claimed it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lehi_cli.errors import StoreError

from .files import replacing, write_json
from .shards import write_shard
from .specs import RunSpec
from .status import ENDED, Status
from .stored_run import SCHEMA

SHARD_ROWS = 2000


class Recorder:
    """Writes one run: rows into shards, its state into `run.json`."""

    def __init__(self, folder: Path, run: RunSpec, environment: Mapping[str, Any]):
        self._folder = folder
        self._shards = 0
        self._rows: list[dict[str, Any]] = []
        lr = run.optimizer.options.get("lr")
        fake = run.task.data.get("fake") or environment.get("mock")
        self._fixed = {
            "run_id": run.run_id, "task": run.task.name, "data": "fake" if fake else "real",
            "optimizer": run.optimizer.name, "label": run.label,
            "options": str(run.optimizer).removeprefix(run.optimizer.name).removeprefix(":"),
            "budget": str(run.task.budget),
            "lr": lr if isinstance(lr, float) else None, "seed": run.seed,
        }  # fmt: skip
        self.state: dict[str, Any] = {
            "schema": SCHEMA,
            "run_id": run.run_id,
            "label": run.label,
            "target": dict(run.task.target),
            "status": Status.RUNNING,
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "owner": {"host": socket.gethostname(), "pid": os.getpid()},
            "environment": environment,
            "spec": run.identity(),
        }
        self._write_state()

    def add(self, row: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Keep one row; shards are written as they fill."""
        self._rows.append({**self._fixed, **row, **metrics})
        if len(self._rows) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows kept so far as one shard, and show that the run is alive."""
        if self._rows:
            with replacing(self._folder / f"metrics-{self._shards:04d}.parquet") as temporary:
                write_shard(temporary, self._rows)
            self._shards += 1
            self._rows = []
        os.utime(self._folder / "run.json")

    def receive(self, files: Mapping[str, bytes], remarks: Mapping[str, Any]) -> None:
        """Take over another machine's record of this run: its shards as they are, then its final state.

        Args:
            files: `run.json` and the shards, by name.
            remarks: entries to add to the run's environment.

        Raises:
            StoreError: when the record is of another run, or of one that did not end.
        """
        state = json.loads(files["run.json"])
        if state["run_id"] != self.state["run_id"] or state["status"] not in ENDED:
            raise StoreError(f"run {self.state['run_id']} came back as run {state['run_id']}, {state['status']}")
        for name in sorted(files):
            if name.startswith("metrics-") and name == Path(name).name:
                with replacing(self._folder / name) as temporary:
                    temporary.write_bytes(files[name])
        state["environment"] = {**state["environment"], **remarks}
        self.state = state
        self._write_state()

    def finish(self, status: Status, outcome: Mapping[str, Any], error: Mapping[str, str]) -> None:
        """Write the remaining rows and the run's final state."""
        self.flush()
        finished = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.state |= {"status": status, "finished": finished, "outcome": outcome, "error": error}
        self._write_state()

    def _write_state(self) -> None:
        write_json(self._folder / "run.json", self.state)
