"""Runs on disk: one folder per run, write-once parquet shards, and a `run.json` that is replaced atomically.

    runs/<run_id>/run.json             spec, status, environment, error, outcome
    runs/<run_id>/metrics-0000.parquet one row per logged step or evaluation, each with its run's name on it

No lock files: a run is claimed by creating its folder, which only one process can do. A folder left by a process that
died is renamed out of the way before the run starts again, so readers never see rows of two attempts. The
shards are described in `lehi_cli.runs.shards`, `run.json` in `lehi_cli.runs.stored_run`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from lehi_cli.errors import Notice, StoreError

from .files import write_json
from .liveness import STALE_SECONDS, age, is_abandoned
from .recorder import Recorder
from .run_metrics import RunMetrics
from .shards import AT_ONCE, read_columns
from .specs import RunSpec
from .status import Status
from .stored_run import StoredRun, parse_run

FREE_BYTES = 16 * 2**20
MANY, READERS = 100, 2
_Version = tuple[int, int, int]


@dataclass
class Store:
    """A folder of runs."""

    root: Path
    notices: list[Notice] = field(default_factory=list)
    _ended: dict[Path, tuple[_Version, StoredRun]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def roots(self) -> Sequence[Path]:
        """Every folder that is read; the first of them is written to."""
        return (self.root,)

    @property
    def name(self) -> str:
        """The folders in words, for messages."""
        return " and ".join(map(str, self.roots))

    def prepare(self) -> None:
        """Make the folder and check that it can be written to.

        Raises:
            StoreError: when it cannot, or the disk has no room.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(b"lehi")
        except OSError as error:
            hint = "choose another folder with --runs DIR or LEHI_RUNS"
            raise StoreError(f"cannot write runs to {self.root}: {error.strerror}", hint) from error
        free = shutil.disk_usage(self.root).free
        if free < FREE_BYTES:
            room = f"only {free / 2**20:.1f} MiB are free"
            raise StoreError(f"cannot write runs to {self.root}: {room}", "free some space, or choose another folder")

    def find(self, run_id: str) -> StoredRun | None:
        """The run with that id, or None if there is no readable one."""
        folder = self.root / run_id
        return self._read(folder) if folder.is_dir() else None

    def runs(self) -> list[StoredRun]:
        """Every readable run, in the order in which they were started; the others are named in `notices`."""
        if not self.root.is_dir():
            raise StoreError(
                f"no runs in {self.root}", "make some with lehi compare, or name their folder with --runs DIR"
            )
        with os.scandir(self.root) as entries:
            folders = [self.root / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        runs = [run for run in map(self._read, folders) if run is not None]
        return sorted(runs, key=lambda run: (run.started, run.run_id))

    def _read(self, folder: Path) -> StoredRun | None:
        """The run in a folder; a finished one is parsed again only if its `run.json` was replaced or touched."""
        path = folder / "run.json"
        try:
            with open(path, "rb") as file:
                version = _version(os.fstat(file.fileno()))  # of this very file, even if it is replaced meanwhile
                known = self._ended.get(folder)
                if known and known[0] == version:
                    return known[1]
                content = json.loads(file.read().decode())
            run = parse_run(content, folder)
            # A running one can turn out to be killed without a change to its file.
            if content["status"] != Status.RUNNING:
                self._ended[folder] = (version, run)
            return run
        except FileNotFoundError:
            # The folder exists a moment before its run.json, so only an old folder deserves a notice.
            if age(folder) > STALE_SECONDS:
                self.notices.append(Notice(f"skipped {folder}: it has no run.json"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "delete the folder to run it again"
            self.notices.append(Notice(f"skipped {path}: damaged ({type(error).__name__}: {error})", hint))
        return None

    def metrics(self, run: StoredRun) -> RunMetrics:
        """The metric rows of a run; a damaged shard is named in `notices`, and the rest is returned."""
        at_once = {*AT_ONCE, *run.spec.metrics}
        return RunMetrics(
            read_columns(run.folder, self.notices, at_once), lambda: read_columns(run.folder, self.notices)
        )

    def all_metrics(self, runs: Sequence[StoredRun]) -> list[RunMetrics]:
        """The metric rows of several runs, read by two threads if there are many, as decoding a file releases Python.

        Each thread gets its share at once: handing out single runs would cost as much as the second thread gains.
        """
        if len(runs) < MANY:
            return [self.metrics(run) for run in runs]
        size = math.ceil(len(runs) / READERS)
        shares = [runs[i : i + size] for i in range(0, len(runs), size)]
        with ThreadPoolExecutor(READERS) as readers:
            return [own for share in readers.map(lambda share: list(map(self.metrics, share)), shares) for own in share]

    def claim(self, run: RunSpec, environment: Mapping[str, Any]) -> Recorder | None:
        """Claim a run: returns a recorder for it, or None if it is done or another living process is training it.

        Raises:
            StoreError: when its folder cannot be made.
        """
        folder = self.root / run.run_id
        if folder.exists() and not self._clear(folder):
            return None
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            return None
        except OSError as error:
            raise StoreError(f"cannot write {folder}: {error.strerror}") from error
        return Recorder(folder, run, environment)

    def mark_killed(self, run: RunSpec, message: str) -> None:
        """Give a run whose process died the status it could not write itself."""
        path = self.root / run.run_id / "run.json"
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            recorder = self.claim(run, {})
            state = recorder.state if recorder else {}
        killed = {"status": Status.KILLED, "error": {"type": "Killed", "message": message}, "outcome": {}}
        write_json(path, {**state, **killed})

    def discard(self, run_id: str) -> None:
        """Remove a finished run, so that it is trained again; one that is being trained stays."""
        run = self.find(run_id)
        if run is not None and run.status != Status.RUNNING:
            self._retire(run.folder)

    def _clear(self, folder: Path) -> bool:
        """Move the folder of an unfinished run out of the way; False if it finished or is being trained."""
        return is_abandoned(folder) and self._retire(folder)

    def _retire(self, folder: Path) -> bool:
        """Rename a folder, then delete it, so that readers see all of it or nothing."""
        retired = self.root / f".retired-{uuid4().hex}"
        try:
            folder.rename(retired)  # atomic: of several processes that see it abandoned, one succeeds
        except OSError:
            return False
        shutil.rmtree(retired, ignore_errors=True)
        return True


def _version(stat: os.stat_result) -> _Version:
    """A value that changes whenever the file is replaced or touched."""
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
