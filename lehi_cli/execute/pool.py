"""Several runs at a time, each worker a fresh process with one run at a time.

The parent hands specs down a pipe and gets events back. A worker that dies, killed by the kernel for memory say, takes
only its own run with it: that run is marked `killed`, and a new worker takes its place.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lehi_cli.errors import LehiError
from lehi_cli.specs import RunSpec
from lehi_cli.store import Store

from .place import Place
from .watch import Watcher

# A forked process would inherit torch's thread pools in a state they do not survive.
_CONTEXT = multiprocessing.get_context("spawn")
STOP_SECONDS = 10.0


def run_pool(runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher, jobs: int) -> None:
    """Train each of `runs` that nobody else is at, `jobs` at a time.

    Raises:
        LehiError: what a worker could not record in the store.
        KeyboardInterrupt: after the workers stored what they were at as interrupted.
    """
    waiting = deque(runs)
    workers = [_Worker(place, store.root) for _ in range(min(jobs, len(runs)))]
    try:
        for worker in workers:
            worker.next(waiting)
        while busy := {worker.pipe: worker for worker in workers if worker.run is not None}:
            for pipe in wait(list(busy)):
                _receive(busy[pipe], waiting, store, watch)  # type: ignore[index]
    finally:
        for worker in workers:
            worker.stop()


def _receive(worker: _Worker, waiting: deque[RunSpec], store: Store, watch: Watcher) -> None:
    """Take one message of a worker: an event of its run, its end, or the news that the worker died."""
    run = worker.run
    assert run is not None  # noqa: S101  (only busy workers are waited for)
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        message = f"its process ended with {_exit_reason(worker.process.exitcode)}"
        store.mark_killed(run, message)
        watch.finished(run, "killed", message)
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
    """A process, the pipe to it, and the run it is at."""

    place: Place
    root: Path
    run: RunSpec | None = None
    pipe: Connection[Any, Any] = field(init=False)
    process: BaseProcess = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_work, args=(theirs, self.place, self.root), daemon=True)
        # Ctrl-C reaches every process of the terminal. Workers are born deaf to it, and told by `stop` instead.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, heard)
        theirs.close()  # so that the worker's death closes the pipe

    def next(self, waiting: deque[RunSpec]) -> None:
        self.run = waiting.popleft() if waiting else None
        if self.run is not None:
            self.pipe.send(self.run)

    def stop(self) -> None:
        """End the process: an idle one leaves when its pipe closes, a busy one stores its run as interrupted first."""
        self.pipe.close()
        if self.run is not None:
            self.process.terminate()
        self.process.join(STOP_SECONDS)
        self.process.kill()
        self.process.join()


def _work(pipe: Connection[Any, Any], place: Place, root: Path) -> None:
    """Body of a worker: train what comes down the pipe until it closes."""
    from .worker import execute

    signal.signal(signal.SIGTERM, _interrupt)

    def tell(kind: str, content: object = None) -> None:
        try:
            pipe.send((kind, content))
        except OSError:  # the parent is gone: store what is running as interrupted
            raise KeyboardInterrupt from None

    store = Store(root)
    try:
        while True:
            run = pipe.recv()
            tell("ended", execute(run, place, store, partial(tell, "started"), partial(tell, "pulse")))
    except (EOFError, KeyboardInterrupt):
        return
    except LehiError as error:
        tell("failed", error)


def _interrupt(number: int, _: object) -> None:
    """Turn the first SIGTERM into a KeyboardInterrupt; a second must not cut short the storing of the run."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
