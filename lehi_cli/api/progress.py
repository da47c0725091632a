"""Progress for whoever calls from Python: events for a callback, a bar in a terminal or a notebook, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

from lehi_cli.errors import Notice
from lehi_cli.execute.watch import Watcher
from lehi_cli.experiment.listener import Listener, Silence
from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec


@dataclass(frozen=True)
class Progress:
    """Something that happened.

    Attributes:
        kind: `started`, `step`, `finished`, `retried` or `waiting` of a run; `notice` or `note` of everything.
        task: of the run; empty where it is not about one.
        optimizer: its label.
        seed: of the run.
        fraction: of the run's budget that is spent.
        loss: of the last mini-batch; None where none is known.
        status: how the run ended.
        message: in words, what else is to be said.
        finished: runs that ended so far, of `total`.
        total: runs to train.
    """

    kind: Literal["started", "step", "finished", "retried", "waiting", "notice", "note"]
    task: str = ""
    optimizer: str = ""
    seed: int = 0
    fraction: float = 0.0
    loss: float | None = None
    status: str = ""
    message: str = ""
    finished: int = 0
    total: int = 0


Callback = Callable[[Progress], None]


class Events:
    """A listener that turns all it is told into events."""

    def __init__(self, callback: Callback):
        self._callback = callback

    def notice(self, notice: Notice) -> None:
        """A warning with its next step."""
        self._callback(
            Progress("notice", message=f"{notice.message} ({notice.hint})" if notice.hint else notice.message)
        )

    def say(self, line: str) -> None:
        """What is being done."""
        self._callback(Progress("note", message=line))

    def confirm(self, what: str) -> None:
        """A call from a program is meant."""

    @contextmanager
    def watch(self, count: int) -> Iterator[Watcher]:
        """Events of the next `count` runs."""
        yield _RunEvents(self._callback, count)


class _RunEvents:
    """A watcher that turns what runs do into events."""

    def __init__(self, callback: Callback, total: int):
        self._callback = callback
        self._total = total
        self._finished = 0

    def started(self, run: RunSpec) -> None:
        self._tell("started", run)

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        self._tell("step", run, fraction=pulse.progress, loss=pulse.loss)

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        self._finished += 1
        self._tell("finished", run, fraction=1.0, status=status, message=message)

    def retried(self, run: RunSpec, message: str) -> None:
        self._tell("retried", run, message=message)

    def waiting(self, count: int) -> None:
        message = f"{count} runs are being trained by another process"
        self._callback(Progress("waiting", message=message, finished=self._finished, total=self._total))

    def _tell(self, kind: Any, run: RunSpec, **more: Any) -> None:
        about = Progress(kind, run.task.name, run.label, run.seed, finished=self._finished, total=self._total)
        self._callback(replace(about, **more))


class Bar(Silence):
    """Warnings on stderr; a progress bar there, where it is a terminal."""

    def notice(self, notice: Notice) -> None:
        """A warning with its next step."""
        sys.stderr.write(f"warning: {notice.message}{f' ({notice.hint})' if notice.hint else ''}\n")

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """The bar of the command line, or nothing where nobody looks."""
        from rich.console import Console

        from lehi_cli.render.live import watcher

        console = Console(stderr=True)
        return watcher(console, count, quiet=not console.is_terminal)


class NotebookBar:
    """A callback that keeps one line of HTML in a notebook up to date."""

    def __init__(self) -> None:
        self._display: Any = None

    def __call__(self, event: Progress) -> None:
        """Show where things are; what has to be known stays below."""
        from IPython.display import HTML, display

        if event.kind in ("notice", "retried", "waiting"):
            display(HTML(f"<pre>{escape(event.message)}</pre>"))
            return
        if not event.total:
            return
        done = event.finished + (event.fraction if event.kind == "step" else 0.0)
        text = f"{event.finished} of {event.total} runs, {event.task} {event.optimizer} seed {event.seed}"
        page = HTML(f'<progress value="{done:.3f}" max="{event.total}"></progress> {escape(text)}')
        if self._display is None:
            self._display = display(page, display_id=True)
        else:
            self._display.update(page)


def listener(progress: bool | Callback | None) -> Listener:
    """Who is told: a callback, nobody for False, and otherwise a bar as the place allows."""
    if callable(progress):
        return Events(progress)
    if progress is False:
        return Silence()
    return Events(NotebookBar()) if _in_notebook() else Bar()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
