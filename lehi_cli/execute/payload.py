"""What a run takes to another machine, and what comes back.

The spec travels there, with the source of tasks and optimizers that were named by a path and whatever that imports from
its folder. The run's record travels back. The other machine checks that its code is the code that the spec was planned
with, so that a run's id means the same everywhere.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from lehi_cli.data.locate import at_hand
from lehi_cli.errors import DataError, LehiError, UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.code import code_hash, own_files
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.version import __version__

from .place import Place

NEEDS_DATA = "every node needs the data under the same path: fetch it there, or name a shared folder with --data-dir"


@dataclass(frozen=True)
class Payload:
    """A run on its way to a node: `sources` holds the bytes of its source files, by their path here."""

    run: RunSpec
    run_id: str
    place: Place
    sources: Mapping[str, bytes]
    version: str


@dataclass(frozen=True)
class RunResult:
    """What comes back from a node: how the run ended, and the files of its record."""

    status: Status
    message: str
    files: Mapping[str, bytes]


def pack(run: RunSpec, place: Place) -> Payload:
    """Everything that another machine needs to train a run as `place` says."""
    return Payload(run, run.run_id, place, sources_of(run), __version__)


def sources_of(run: RunSpec) -> dict[str, bytes]:
    """The bytes of the Python files that define the run's task and optimizer, and of those they import, by path."""
    files = {file for origin in _origins(run) for file in own_files(origin)}
    return {str(file): file.read_bytes() for file in sorted(files)}


def _origins(run: RunSpec) -> set[str]:
    return {origin for origin in (run.task.origin, run.optimizer_origin) if origin.endswith(".py")}


def execute_payload(payload: Payload) -> RunResult:
    """Train a run on this node, into a store that lasts as long as the run.

    Raises:
        UsageError: when this node's code is not the code the run was planned with.
        DataError: when this node does not have the data.
    """
    from .worker import execute

    run, place = unpack(payload), replace(payload.place, planned_here=False)
    _check_code(run, payload)
    _check_data(run, place)
    with tempfile.TemporaryDirectory(prefix="lehi-") as folder:
        store = Store(Path(folder))
        try:
            ended = execute(run, place, store, lambda: None, lambda _: None)
        except KeyboardInterrupt:
            ended = (Status.INTERRUPTED, "")
        found = sorted((store.root / payload.run_id).glob("[!.]*"))
        files = {path.name: path.read_bytes() for path in found}
    status, message = ended or (Status.ERROR, "")
    if message.startswith(DataError.__name__) and not place.data.is_dir():
        raise DataError(
            f"{message.partition(': ')[2]} (on the Ray node {socket.gethostname()}, which has no {place.data})",
            NEEDS_DATA,
        )
    return RunResult(status, message, files)


def unpack(payload: Payload) -> RunSpec:
    """The run as this node can train it, with the copied files in place of those it was planned from."""
    run = payload.run
    here = {origin: _copied(Path(origin), payload.sources) for origin in _origins(run)}
    task = replace(run.task, origin=here.get(run.task.origin, run.task.origin))
    return replace(run, task=task, optimizer_origin=here.get(run.optimizer_origin, run.optimizer_origin))


def _copied(origin: Path, sources: Mapping[str, bytes]) -> str:
    """The path of a file's copy on this node, beside the files of its folder that came along."""
    folder = origin.parent
    inside = {Path(path): source for path, source in sources.items() if folder in Path(path).parents}
    files = tuple((str(path.relative_to(folder)), source) for path, source in sorted(inside.items()))
    return str(_materialise(files) / origin.name)


@cache
def _materialise(files: tuple[tuple[str, bytes], ...]) -> Path:
    """A folder with these files that lasts as long as this process, so that each is loaded only once."""
    digest = hashlib.sha256()
    for name, source in files:
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    folder = Path(_scratch().name) / digest.hexdigest()[:16]
    for name, source in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    return folder


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lehi-plugins-")


def _check_data(run: RunSpec, place: Place) -> None:
    """Check that the file that the run's data names is on this node.

    Raises:
        DataError: when it is missing, or is a different file.
    """
    try:
        at_hand(run, place.data, place.planned_here)
    except DataError as error:
        raise DataError(f"{error.message} (on the Ray node {socket.gethostname()})", NEEDS_DATA) from error


def _check_code(run: RunSpec, payload: Payload) -> None:
    host = socket.gethostname()
    if payload.version != __version__ or run.run_id != payload.run_id:
        versions = f"lehi {__version__}, not {payload.version}"
        raise UsageError(f"the Ray node {host} has {versions}", "install the same version on every node")
    try:
        found = {reference: code_hash(reference, run.task.origin) for reference in run.task.code}
        record = optimizers.find(run.optimizer.name, run.optimizer_origin)
        found[run.optimizer.name] = record.code_hash()
    except LehiError as error:
        raise UsageError(f"on the Ray node {host}: {error.message}", error.hint) from error
    for name, expected in {**run.task.code, run.optimizer.name: run.optimizer_code}.items():
        if found[name] != expected:
            raise UsageError(f"the Ray node {host} has other code for {name}", "install the same version on every node")
