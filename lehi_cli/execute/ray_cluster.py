"""Runs on the nodes of a Ray cluster, each a Ray task with its share of cores and GPUs.

A run's record comes back into the store of this machine: the nodes need no shared disk, only `lehi` and the data. See
`lehi_cli.execute.payload` for what travels.

Ray would retry by itself, silently; here a run that was lost with its node or its worker is restarted explicitly, so
that the retry is counted and reported.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lehi_cli.errors import LehiError, StoreError, UsageError
from lehi_cli.runs.recorder import Recorder
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store

from .payload import Payload, RunResult, execute_payload, pack
from .place import Place, cores
from .watch import Watcher

RETRIES = 2
PROBE_SECONDS = 3.0
SETTINGS = b"\x04"
HELLO = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0\0\0\0\0"
)  # the opening of gRPC, Ray's protocol
STOP_SECONDS = 10.0
ALIVE_SECONDS = 60.0
LOST = ("NodeDiedError", "WorkerCrashedError", "OutOfMemoryError", "ObjectLostError", "LocalRayletDiedError")


class Ray:
    """As many runs at a time as the cluster has room for.

    Args:
        address: `host:port` of a cluster; `auto` for the one this machine belongs to, or one of this machine alone.
        jobs: number of shares into which runs of large tasks divide a node: its GPUs and, without `--threads`, its
            cores.

    Raises:
        UsageError: when Ray is not installed, or no cluster answers at the address.
    """

    def __init__(self, address: str, jobs: int = 1):
        self._ray = _import_ray()
        self._jobs = jobs
        self._address = find_cluster() if address == "auto" else address
        if self._address != "local":
            _probe(self._address)

    def run(self, runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher) -> None:
        """Train each of `runs` that no other process is training, see `Executor`.

        Raises:
            UsageError: when the cluster cannot be joined, or has no such device.
            StoreError: when the store cannot be written to.
            KeyboardInterrupt: after what was running was stored as interrupted.
        """
        _connect(self._ray, self._address)  # until the process ends: a command may come back with more runs
        remote_runs = _RemoteRuns(self._ray, place, store, watch, self._jobs)
        waiting = deque(runs)
        try:
            while remote_runs.submit(waiting):
                remote_runs.collect()
        except OSError as error:
            remote_runs.cancel()
            raise StoreError(f"cannot write runs to {store.root}: {error.strerror}") from error
        except BaseException:
            remote_runs.cancel()
            raise


def _import_ray() -> ModuleType:
    # Before the import: send no usage statistics, and do not warn about missing accelerators.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(f"Ray is not installed ({error})", "pip install 'lehi[ray]'") from error
    return ray


def _probe(address: str) -> None:
    """Check that a cluster answers: Ray itself would try for minutes, or for ever.

    Raises:
        UsageError: when none answers.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"--ray-address {address!r} is not host:port", "auto, or what `ray start --head` prints")
    hint = "`ray start --head` starts a cluster and prints its address; --ray-address auto needs none"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(4)
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster answers at {address}: {error}", hint) from error
    if answer[3:4] != SETTINGS and not os.environ.get("RAY_USE_TLS"):
        raise UsageError(f"what answers at {address} is not a Ray cluster", hint)


def find_cluster() -> str:
    """Address of the cluster this machine belongs to, or `local`; Ray's stale note of a dead cluster does not count.

    Raises:
        UsageError: when no cluster answers at `RAY_ADDRESS`.
    """
    if given := os.environ.get("RAY_ADDRESS"):
        _probe(given)
        return given
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  (where Ray puts it)
    try:
        noted = (Path(folder) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip()
        _probe(noted)
    except (OSError, UsageError):
        return "local"
    return noted


def _connect(ray: ModuleType, address: str) -> None:
    """Join a cluster, or start one of this machine's cores.

    Raises:
        UsageError: when it cannot be joined.
    """
    if ray.is_initialized():
        return
    # Ray prints pages of output from a node that dies; `retried` reports what matters.
    inside = sys.modules.get("ray._private.worker")
    if hasattr(inside, "listen_error_messages"):
        inside.listen_error_messages = lambda *_: None  # type: ignore[union-attr]
    own = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (RuntimeError, ValueError, OSError) as error:
        hint = "run lehi on one of its nodes: `ray start --address=...` makes this machine one"
        raise UsageError(f"the Ray cluster at {address} cannot be joined: {error}", hint) from error


@dataclass(frozen=True)
class Node:
    """The resources of a node."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Share:
    """The share of one run: its threads, and the cores and GPUs that Ray reserves for it."""

    threads: int
    cpus: float
    gpus: float


def share(run: RunSpec, place: Place, nodes: Sequence[Node], jobs: int) -> Share:
    """A run's share of a node: cores for its threads; on GPUs, the node's GPUs divided by the jobs, at most one."""
    fewest, most = min(node.cpus for node in nodes), max(node.cpus for node in nodes)
    threads = run.task.threads or place.threads or max(1, int(fewest // jobs))
    gpus = max(node.gpus for node in nodes) if place.device == "cuda" else 0.0
    return Share(threads, min(threads, most), min(1.0, gpus / jobs))


def device_of(device: str, nodes: Sequence[Node]) -> str:
    """The device to train on: the same on every node, so that results can be compared.

    Raises:
        UsageError: when no node has it, or it names one GPU of many.
    """
    has_gpus = any(node.gpus for node in nodes)
    if device == "auto":
        return "cuda" if has_gpus else "cpu"
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device} names one GPU; Ray deals them", "--device cuda")
    if device == "cuda" and not has_gpus:
        raise UsageError("no node of the Ray cluster has a GPU", "--device cpu")
    return device


@dataclass
class _RemoteRun:
    """A run in progress on some node."""

    run: RunSpec
    recorder: Recorder
    share: Share
    retries: int = 0


class _RemoteRuns:
    """The runs in progress on the cluster."""

    def __init__(self, ray: ModuleType, place: Place, store: Store, watch: Watcher, jobs: int):
        self._ray = ray
        self._store = store
        self._watch = watch
        self._jobs = jobs
        self._place = replace(place, device=device_of(place.device, self._nodes()))
        self._execute = ray.remote(_on_node)
        self._lost = tuple(getattr(ray.exceptions, name) for name in LOST if hasattr(ray.exceptions, name))
        self._running: dict[Any, _RemoteRun] = {}

    def _nodes(self) -> list[Node]:
        alive = (node["Resources"] for node in self._ray.nodes() if node["Alive"])
        nodes = [Node(has.get("CPU", 0.0), has.get("GPU", 0.0)) for has in alive]
        return [node for node in nodes if node.cpus] or [Node(1.0)]

    def submit(self, waiting: deque[RunSpec]) -> bool:
        """Submit as many runs as the cluster has room for; False if there is nothing left to wait for."""
        nodes = self._nodes() if waiting else []
        while waiting:
            need = share(waiting[0], self._place, nodes, self._jobs)
            if self._running and not self._has_room(need, nodes):
                break
            run = waiting.popleft()
            recorder = self._store.claim(run, {"device": self._place.device})
            if recorder is not None:
                self._start(_RemoteRun(run, recorder, need))
        return bool(self._running)

    def _has_room(self, need: Share, nodes: Sequence[Node]) -> bool:
        """Whether the cluster as a whole could take one more run; a run that would only wait there stays here."""
        cpus = sum(remote.share.cpus for remote in self._running.values()) + need.cpus
        gpus = sum(remote.share.gpus for remote in self._running.values()) + need.gpus
        return cpus <= sum(node.cpus for node in nodes) and gpus <= sum(node.gpus for node in nodes)

    def _start(self, remote: _RemoteRun) -> None:
        place = replace(self._place, threads=remote.share.threads)
        payload = pack(remote.run, place)
        needs = {"num_cpus": remote.share.cpus, "num_gpus": remote.share.gpus, "max_retries": 0}
        self._running[self._execute.options(**needs).remote(payload)] = remote
        self._watch.started(remote.run)

    def collect(self) -> None:
        """Wait for a run to end, and store its result; meanwhile show other machines that the others are alive."""
        ready, _ = self._ray.wait(list(self._running), timeout=ALIVE_SECONDS)
        for reference in ready:
            self._receive(reference)
        if not ready:
            for remote in self._running.values():
                remote.recorder.flush()

    def _receive(self, reference: Any) -> None:
        remote = self._running.pop(reference)
        try:
            result, node = self._ray.get(reference)
        except self._lost as error:
            self._retry(remote, type(error).__name__)
        except self._ray.exceptions.RayError as error:
            self._fail(remote, Status.ERROR, getattr(error, "cause", None) or error)
        else:
            remote.recorder.receive(result.files, {"node": node, "retries": remote.retries})
            self._watch.finished(remote.run, result.status, result.message)

    def _retry(self, remote: _RemoteRun, reason: str) -> None:
        what = f"lost with its node or its worker ({reason})"
        if remote.retries == RETRIES:
            self._fail(remote, Status.KILLED, RuntimeError(f"{what} {RETRIES + 1} times"))
            return
        remote.retries += 1
        self._watch.retried(remote.run, f"{what}, retry {remote.retries} of {RETRIES}")
        self._start(remote)

    def _fail(self, remote: _RemoteRun, status: Status, error: BaseException) -> None:
        state = remote.recorder.state
        state["environment"] = {**state["environment"], "retries": remote.retries}
        message = f"{error.message} {error.hint}".strip() if isinstance(error, LehiError) else str(error)
        kind = "Killed" if status == Status.KILLED else type(error).__name__
        remote.recorder.finish(status, {}, {"type": kind, "message": message})
        self._watch.finished(remote.run, status, message)

    def cancel(self) -> None:
        """Cancel the runs in progress, and store their results so far as interrupted."""
        for reference in self._running:
            self._ray.cancel(reference)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=STOP_SECONDS)
        for reference, remote in self._running.items():
            try:
                result, node = self._ray.get(reference, timeout=0)
                remote.recorder.receive(result.files, {"node": node, "retries": remote.retries})
            except self._ray.exceptions.RayError:  # it did not get as far as starting or reporting
                remote.recorder.finish(Status.INTERRUPTED, {}, {"type": "KeyboardInterrupt", "message": ""})
        self._running.clear()


def _on_node(payload: Payload) -> tuple[RunResult, str]:
    """Execute a payload as a Ray task; also returns the node, for the caller to record."""
    import ray

    result = execute_payload(payload)
    return result, f"{socket.gethostname()} {ray.get_runtime_context().get_node_id()[:8]}"
