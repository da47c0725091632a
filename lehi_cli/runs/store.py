"""Runs on disk: one folder per run, write-once parquet shards, and a `run.json` that is replaced atomically.

    runs/<run_id>/run.json             spec, status, environment, error, outcome
    runs/<run_id>/metrics-0000.parquet one row per logged step or evaluation, each with its run's name on it

No lock files: a run is claimed by creating its folder, which only one process can do. A folder left by a process that
died is renamed out of the way before the run starts again, so readers never see rows of two attempts. What is in the
parquet files is a matter of `lehi_cli.runs.shards`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lehi_cli.errors import Notice, StoreError

from .shards import AT_ONCE, Metrics, read_columns, write_shard
from .specs import ADAPTIVE, Budget, RunSpec
from .status import DONE, ENDED, Status

SCHEMA = 1
FREE_BYTES = 16 * 2**20
SHARD_ROWS = 2000
STALE_SECONDS = 600.0
MANY, READERS = 100, 2
_Version = tuple[int, int, int]
SPENT = ("steps", "passes", "seconds", "parameters", "state_bytes")


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it, without its metrics.

    `target` is the one its task set when it was run. `adaptive`, in stores of earlier
    versions, says that seeds were added, or not, after a look at it: now that is a matter of the comparison.
    """

    run_id: str
    task: str
    optimizer: str
    label: str
    options: Mapping[str, Any]
    seed: int
    status: Status
    spec: Mapping[str, Any]
    environment: Mapping[str, Any]
    outcome: Mapping[str, Any]
    error: Mapping[str, str]
    started: str
    folder: Path
    target: Mapping[str, float] = field(default_factory=dict)
    adaptive: bool = False

    @property
    def is_fake(self) -> bool:
        """Whether its data was synthetic in place of the task's own, or its results were."""
        return bool(self.spec["task"]["data"].get("fake")) or self.is_mock

    @property
    def is_mock(self) -> bool:
        """Whether nothing was trained and its results are made up."""
        return bool(self.environment.get("mock"))

    @property
    def budget(self) -> str:
        """The run's budget in words."""
        ((kind, amount),) = self.spec["task"]["budget"].items()
        return str(Budget(kind, amount))


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
        """Make the folder and see that it can be written to.

        Raises:
            StoreError: when it cannot, or when the disk has no room.
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
        """The run of that id, or None when there is none that can be read."""
        folder = self.root / run_id
        return self._read(folder) if folder.is_dir() else None

    def runs(self) -> list[StoredRun]:
        """Every readable run, in the order they were started; what cannot be read is named in `notices`."""
        if not self.root.is_dir():
            raise StoreError(
                f"no runs in {self.root}", "make some with lehi compare, or name their folder with --runs DIR"
            )
        with os.scandir(self.root) as entries:
            folders = [self.root / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        runs = [run for run in map(self._read, folders) if run is not None]
        return sorted(runs, key=lambda run: (run.started, run.run_id))

    def _read(self, folder: Path) -> StoredRun | None:
        """The run in a folder; one that ended is parsed again only after its `run.json` was replaced or touched."""
        path = folder / "run.json"
        try:
            with open(path, "rb") as file:
                version = _version(os.fstat(file.fileno()))  # of this very file, whatever replaces it meanwhile
                known = self._ended.get(folder)
                if known and known[0] == version:
                    return known[1]
                content = json.loads(file.read().decode())
            run = _stored(content, folder)
            # What is running can turn out to be killed without its file being written to.
            if content["status"] != Status.RUNNING:
                self._ended[folder] = (version, run)
            return run
        except FileNotFoundError:
            # Between the making of the folder and of its run.json there is a moment; only an old one is worth a word.
            if _age(folder) > STALE_SECONDS:
                self.notices.append(Notice(f"skipped {folder}: it has no run.json"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "delete the folder to run it again"
            self.notices.append(Notice(f"skipped {path}: damaged ({type(error).__name__}: {error})", hint))
        return None

    def metrics(self, run: StoredRun) -> Metrics:
        """The metric rows of a run; a damaged shard is named in `notices` and the rest returned."""
        at_once = {*AT_ONCE, *run.spec["task"]["metrics"]}
        return Metrics(read_columns(run.folder, self.notices, at_once), lambda: read_columns(run.folder, self.notices))

    def all_metrics(self, runs: Sequence[StoredRun]) -> list[Metrics]:
        """The metric rows of several runs; of many by two threads, as decoding a file leaves Python to others.

        Each thread gets its share at once: handing out single runs costs as much as the second thread gains.
        """
        if len(runs) < MANY:
            return [self.metrics(run) for run in runs]
        size = math.ceil(len(runs) / READERS)
        shares = [runs[i : i + size] for i in range(0, len(runs), size)]
        with ThreadPoolExecutor(READERS) as readers:
            return [own for share in readers.map(lambda share: list(map(self.metrics, share)), shares) for own in share]

    def claim(self, run: RunSpec, environment: Mapping[str, Any]) -> Recorder | None:
        """Take on a run: a recorder for it, or None when it is done or another living process is at it.

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
        """Remove a run that is done, so that it is trained again; one that is being trained stays."""
        run = self.find(run_id)
        if run is not None and run.status != Status.RUNNING:
            self._retire(run.folder)

    def _clear(self, folder: Path) -> bool:
        """Move a folder whose run did not finish out of the way; False when it finished or is being worked on."""
        return is_abandoned(folder) and self._retire(folder)

    def _retire(self, folder: Path) -> bool:
        """Rename a folder, then delete it: readers see all of it or nothing."""
        retired = self.root / f".retired-{uuid4().hex}"
        try:
            folder.rename(retired)  # atomic: of several processes that see it abandoned one succeeds
        except OSError:
            return False
        shutil.rmtree(retired, ignore_errors=True)
        return True


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
            with _replacing(self._folder / f"metrics-{self._shards:04d}.parquet") as temporary:
                write_shard(temporary, self._rows)
            self._shards += 1
            self._rows = []
        os.utime(self._folder / "run.json")

    def receive(self, files: Mapping[str, bytes], remarks: Mapping[str, Any]) -> None:
        """Take over what another machine recorded of this run: its shards as they are, then its final state.

        Args:
            files: `run.json` and the shards, by name.
            remarks: what is to be added to the run's environment.

        Raises:
            StoreError: when it is the record of another run, or of one that did not end.
        """
        state = json.loads(files["run.json"])
        if state["run_id"] != self.state["run_id"] or state["status"] not in ENDED:
            raise StoreError(f"run {self.state['run_id']} came back as run {state['run_id']}, {state['status']}")
        for name in sorted(files):
            if name.startswith("metrics-") and name == Path(name).name:
                with _replacing(self._folder / name) as temporary:
                    temporary.write_bytes(files[name])
        state["environment"] = {**state["environment"], **remarks}
        self.state = state
        self._write_state()

    def finish(self, status: Status, outcome: Mapping[str, Any], error: Mapping[str, str]) -> None:
        """Write what is left and the run's final state."""
        self.flush()
        finished = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.state |= {"status": status, "finished": finished, "outcome": outcome, "error": error}
        self._write_state()

    def _write_state(self) -> None:
        write_json(self._folder / "run.json", self.state)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one go."""
    with _replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False, default=dict), encoding="utf-8")


def is_abandoned(folder: Path) -> bool:
    """Whether nobody will finish this run: it failed, or its process is gone, or its `run.json` is beyond reading."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if state["status"] in DONE:
            return False
        if state["status"] != Status.RUNNING:
            return True
        host, pid = state["owner"]["host"], int(state["owner"]["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return _age(folder) > 1.0
    if host != socket.gethostname():
        return _age(folder / "run.json") > STALE_SECONDS
    return not _is_alive(pid)


def _version(stat: os.stat_result) -> _Version:
    """What changes whenever a file is replaced or touched."""
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class _replacing:  # noqa: N801  (reads as a verb where it is used)
    """A temporary path beside `path` that takes its place when the block succeeds."""

    def __init__(self, path: Path):
        self._path = path
        self._temporary = path.with_name(f".{path.name}-{uuid4().hex}")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)


def _stored(content: Mapping[str, Any], folder: Path) -> StoredRun:
    """A run as its file has it.

    Raises:
        ValueError, KeyError, TypeError: when the file does not say what it should.
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
        spec=spec,
        environment=content["environment"],
        outcome=content.get("outcome") or {},
        error=content.get("error") or {},
        started=content["started"],
        folder=folder,
        target=content.get("target") or {},
        adaptive=content.get("seeds") == ADAPTIVE,
    )


def _check(content: Mapping[str, Any]) -> None:
    """Check that what reports calculate with is there: other programs and other versions write such files too.

    Raises:
        ValueError, KeyError, TypeError: when it is not.
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
    """Check what the data said of itself: see `lehi_cli.data.units`."""
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
    """The status as written; a run that says it is running but whose process is gone was killed."""
    status = content["status"]
    if status not in list(Status):
        raise ValueError(f"unknown status {status!r}")
    return Status.KILLED if status == Status.RUNNING and is_abandoned(folder) else Status(status)
