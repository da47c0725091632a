"""A run on its way to another machine and back.

What travels there is the spec, and the source of tasks and optimizers that were named by a path. What travels back is
the run's record. The machine there checks that its code is the code the spec was planned with, so that a run's id means
the same everywhere.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import lehi_cli
from lehi_cli.errors import DataError, LehiError, UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.plugins import source_hash
from lehi_cli.specs import RunSpec
from lehi_cli.store import Store

from .place import Place


@dataclass(frozen=True)
class Parcel:
    """A run on its way to a node: `sources` holds the bytes of the files it was planned from, by their path here."""

    run: RunSpec
    run_id: str
    place: Place
    sources: Mapping[str, bytes]
    version: str


@dataclass(frozen=True)
class Report:
    """A run on its way back: how it ended, and its record."""

    status: str
    message: str
    files: Mapping[str, bytes]


def pack(run: RunSpec, place: Place) -> Parcel:
    """What another machine needs to train a run as `place` says."""
    return Parcel(run, run.run_id, place, sources_of(run), lehi_cli.__version__)


def sources_of(run: RunSpec) -> dict[str, bytes]:
    """The bytes of the Python files that the run's task and optimizer were read from, by path."""
    origins = {origin for origin in (run.task.origin, run.optimizer_origin) if origin.endswith(".py")}
    return {origin: Path(origin).read_bytes() for origin in sorted(origins)}


def carry_out(parcel: Parcel) -> Report:
    """Train a run on this node, into a store that lasts as long as the run.

    Raises:
        UsageError: when this node's code is not the code the run was planned with.
    """
    from .worker import execute

    run = unpack(parcel)
    _check_code(run, parcel)
    with tempfile.TemporaryDirectory(prefix="lehi-") as folder:
        store = Store(Path(folder))
        try:
            ended = execute(run, parcel.place, store, lambda: None, lambda _: None)
        except KeyboardInterrupt:
            ended = ("interrupted", "")
        found = sorted((store.root / parcel.run_id).glob("[!.]*"))
        files = {path.name: path.read_bytes() for path in found}
    status, message = ended or ("error", "")
    if message.startswith(DataError.__name__) and not parcel.place.data.is_dir():
        raise DataError(
            f"{message.partition(': ')[2]} (on the Ray node {socket.gethostname()}, which has no {parcel.place.data})",
            "every node needs the data under the same path: fetch it there, or name a shared folder with --data-dir",
        )
    return Report(status, message, files)


def unpack(parcel: Parcel) -> RunSpec:
    """The run as this node can train it: the files it was planned from are the copies that came with it."""
    here = {origin: str(_materialise(Path(origin).name, source)) for origin, source in parcel.sources.items()}
    run = parcel.run
    task = replace(run.task, origin=here.get(run.task.origin, run.task.origin))
    return replace(run, task=task, optimizer_origin=here.get(run.optimizer_origin, run.optimizer_origin))


@cache
def _materialise(name: str, source: bytes) -> Path:
    """The source as a file that stays while this process does: what is loaded from it is then loaded once."""
    folder = Path(_scratch().name) / hashlib.sha256(source).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(source)
    return path


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lehi-plugins-")


_source_hash = cache(source_hash)


def _check_code(run: RunSpec, parcel: Parcel) -> None:
    host = socket.gethostname()
    if parcel.version != lehi_cli.__version__ or run.run_id != parcel.run_id:
        versions = f"lehi {lehi_cli.__version__}, not {parcel.version}"
        raise UsageError(f"the Ray node {host} has {versions}", "install the same version on every node")
    try:
        found = {reference: _source_hash(reference, run.task.origin) for reference in run.task.code}
        record = optimizers.planned(run.optimizer.name, run.optimizer_origin)
        found[run.optimizer.name] = record.code_hash()
    except LehiError as error:
        raise UsageError(f"on the Ray node {host}: {error.message}", error.hint) from error
    for name, expected in {**run.task.code, run.optimizer.name: run.optimizer_code}.items():
        if found[name] != expected:
            raise UsageError(f"the Ray node {host} has other code for {name}", "install the same version on every node")
