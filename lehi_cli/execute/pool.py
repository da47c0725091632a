"""A worker pool: several runs at a time, each worker a fresh process with one run at a time.

The parent sends specs down a pipe and gets events back. A worker that dies, for example killed by the kernel for its
memory, takes only its own run with it: that run is marked `killed`, and a new worker takes its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from lehi_cli.errors import LehiError
from lehi_cli.registry import plugins
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store

from .place import Place, deal
from .watch import Watcher

# Forked from this process, a worker would inherit torch's thread pools in a broken state. Where possible, workers are
# forked from a server that has imported torch and done nothing else: torch is then imported once, not by every worker,
# while this process imports it too.
_FORKS = sys.platform == "linux"
_CONTEXT = multiprocessing.get_context("forkserver") if _FORKS else multiprocessing.get_context("spawn")
STOP_SECONDS = 10.0
SLOW = {"lehi_cli.data.embedded": ("sklearn.datasets",)}  # what these modules import only when called


class Pool:
    """`jobs` runs at a time on this machine; several GPUs are assigned to the workers in turn.

    Args:
        jobs: runs at a time.
        code: import strings that the runs will resolve; modules known to be slow to import for them are preloaded.
    """

    def __init__(self, jobs: int, code: Iterable[str] = ()):
        self._jobs = jobs
        if _FORKS:
            slow = {module for reference in code for module in SLOW.get(reference.partition(":")[0], ())}
            _CONTEXT.set_forkserver_preload(["lehi_cli.execute.preload", *sorted(slow)])
            with _ignoring_interrupts():
                forkserver.ensure_running()

    def run(self, runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher) -> None:
        """Train each of `runs` that no other process is training, see `Executor`.

        Raises:
            LehiError: when a worker could not record a run in the store.
            KeyboardInterrupt: after the workers stored their current runs as interrupted.
        """
        waiting = deque(runs)
        gpus = _gpus(place.device)
        places = [replace(place, device=deal(place.device, i, gpus)) for i in range(min(self._jobs, len(runs)))]
        workers: list[_Worker] = []
        try:
            for dealt in places:
                workers.append(_Worker(dealt, store.root))
                workers[-1].next(waiting)
            while busy := {worker.pipe: worker for worker in workers if worker.run is not None}:
                for pipe in wait(list(busy)):
                    _handle_message(busy[pipe], waiting, store, watch)  # type: ignore[index]
        finally:
            _stop_all(workers)


def _gpus(device: str) -> int:
    """The number of GPUs that `device` stands for."""
    if device != "cuda":
        return 0
    import torch

    return torch.cuda.device_count()


def _handle_message(worker: _Worker, waiting: deque[RunSpec], store: Store, watch: Watcher) -> None:
    """Take one message from a worker: an event of its run, the run's end, or the worker's death."""
    run = worker.run
    assert run is not None  # noqa: S101  (only busy workers are waited for)
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        message = f"its process ended with {_exit_reason(worker.process.exitcode)}"
        store.mark_killed(run, message)
        watch.finished(run, Status.KILLED, message)
        worker.restart()
        worker.next(waiting)
        return
    if kind == "started":
        watch.started(run)
    elif kind == "pulse":
        watch.pulse(run, content)
    elif kind == "failed":
        raise content
    else:
        if content is not None:
            watch.finished(run, *content)
        worker.next(waiting)


def _exit_reason(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


@dataclass
class _Worker:
    """A process, the pipe to it, and its current run."""

    place: Place
    root: Path
    run: RunSpec | None = None
    pipe: Connection[Any, Any] = field(init=False)
    process: BaseProcess = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.pipe, child_end = _CONTEXT.Pipe()
        # The server still has the environment of its start; a worker gets the current one.
        arguments = (child_end, self.place, self.root, dict(os.environ))
        self.process = _CONTEXT.Process(target=_worker_main, args=arguments, daemon=True)
        with _ignoring_interrupts(), _without_main():
            self.process.start()
        child_end.close()  # so that the worker's death closes the pipe

    def next(self, waiting: deque[RunSpec]) -> None:
        """Send the next run, if there is one; a dead worker is noticed when its pipe is read."""
        self.run = waiting.popleft() if waiting else None
        if self.run is not None:
            with suppress(OSError):
                self.pipe.send(self.run)

    def stop(self) -> None:
        """Tell the process to end: an idle one ends when its pipe closes, a busy one stores its run first."""
        self.pipe.close()
        if self.run is not None:
            self.process.terminate()


def _stop_all(workers: Sequence[_Worker]) -> None:
    """End all workers at once, with time to store their runs; an interrupt cuts that time short."""
    try:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.process.join(STOP_SECONDS)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which reaches every process of a terminal; `stop` tells them instead."""
    if threading.current_thread() is not threading.main_thread():  # only that thread may set a handler
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import the script that is running: a worker reads what it needs from files."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _worker_main(pipe: Connection[Any, Any], place: Place, root: Path, environment: dict[str, str]) -> None:
    """The main function of a worker: train the runs that come down the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.clear()
    os.environ.update(environment)
    plugins.only_load()
    from .worker import execute

    def send(kind: str, content: object = None) -> None:
        try:
            pipe.send((kind, content))
        except OSError:  # the parent is gone: store the current run as interrupted
            raise KeyboardInterrupt from None

    store = Store(root)
    try:
        while True:
            run = pipe.recv()
            send("ended", execute(run, place, store, partial(send, "started"), partial(send, "pulse")))
    except (EOFError, KeyboardInterrupt):
        return
    except LehiError as error:
        send("failed", error)


def _interrupt(number: int, _: object) -> None:
    """Turn the first SIGTERM into a KeyboardInterrupt; a second must not interrupt the storing of the run."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
