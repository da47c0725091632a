"""Progress for callers from Python: events for a callback, a bar in a terminal or a notebook, or nothing.

Everything is told in the thread that called, also where runs are trained by worker processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

from lehi_cli.errors import Notice, UsageError
from lehi_cli.execute.watch import Watcher
from lehi_cli.experiment.listener import Listener, Silence
from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec

Kind = Literal["started", "step", "finished", "retried", "waiting", "notice", "note"]


@dataclass(frozen=True)
class Progress:
    """An event.

    Attributes:
        kind: `started`, `step`, `finished` or `retried`, each of one run; `waiting` for another process that trains
            some of the runs; `notice`, a warning; `note`, what is being done.
        task: name of the run's task; empty where the event is not about one run.
        optimizer: label of the run's optimizer.
        seed: of the run.
        fraction: share of the run's budget that is spent, from 0 to 1.
        loss: of the last mini-batch; None where it is not known.
        status: how the run ended; empty unless it `finished`.
        message: what else there is to say, in words.
        finished: runs that have ended, of `total`.
        total: runs to train; those in the store already are not counted.
    """

    kind: Kind
    task: str = ""
    optimizer: str = ""
    seed: int = 0
    fraction: float = 0.0
    loss: float | None = None
    status: str = ""
    message: str = ""
    finished: int = 0
    total: int = 0


Callback = Callable[[Progress], object]


class Events:
    """A listener that turns everything it is told into events.

    A callback that raises ends the training as Ctrl-C does: what is running is stored as interrupted, and not as a run
    that failed by itself.

    Attributes:
        error: what the callback raised; None if it did not.
    """

    def __init__(self, callback: Callback):
        self._callback = callback
        self.error: Exception | None = None

    def tell(self, event: Progress) -> None:
        """Hand an event to the callback."""
        try:
            self._callback(event)
        except Exception as error:
            self.error = error
            raise KeyboardInterrupt from error

    def notice(self, notice: Notice) -> None:
        """A warning with its next step."""
        self.tell(Progress("notice", message=in_words(notice)))

    def say(self, line: str) -> None:
        """What is being done."""
        self.tell(Progress("note", message=line))

    def confirm(self, what: str) -> None:
        """Every plan may start: a program that calls means it."""

    @contextmanager
    def watch(self, count: int) -> Iterator[Watcher]:
        """Events of the next `count` runs."""
        yield _RunEvents(self.tell, count)


class _RunEvents:
    """A watcher that turns what runs do into events."""

    def __init__(self, tell: Callback, total: int):
        self._tell_it = tell
        self._total = total
        self._finished = 0

    def started(self, run: RunSpec) -> None:
        self._tell("started", run)

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        self._tell("step", run, fraction=min(pulse.progress, 1.0), loss=pulse.loss)

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        self._finished += 1
        self._tell("finished", run, fraction=1.0, status=status, message=message)

    def retried(self, run: RunSpec, message: str) -> None:
        self._tell("retried", run, message=message)

    def waiting(self, count: int) -> None:
        message = f"{count} runs are being trained by another process"
        self._tell_it(Progress("waiting", message=message, finished=self._finished, total=self._total))

    def _tell(self, kind: Kind, run: RunSpec, **more: Any) -> None:
        about = Progress(kind, run.task.name, run.label, run.seed, finished=self._finished, total=self._total)
        self._tell_it(replace(about, **more))


class Bar(Silence):
    """Warnings on stderr; a progress bar there if it is a terminal."""

    def notice(self, notice: Notice) -> None:
        """A warning with its next step."""
        sys.stderr.write(f"warning: {in_words(notice)}\n")

    def watch(self, count: int) -> AbstractContextManager[Watcher]:
        """The bar of the command line; nothing where stderr is not a terminal."""
        from rich.console import Console

        from lehi_cli.render.live import watcher

        console = Console(stderr=True)
        return watcher(console, count, quiet=not console.is_terminal)


class NotebookBar:
    """A callback that keeps one line of HTML in a notebook up to date, and puts warnings and failures below it."""

    def __init__(self) -> None:
        self._display: Any = None

    def __call__(self, event: Progress) -> None:
        """Show an event."""
        from IPython.display import HTML, display

        if event.total and event.kind in ("started", "step", "finished"):
            page = HTML(_line(event))
            if self._display is None:
                self._display = display(page, display_id=True)
            else:
                self._display.update(page)
        if event.kind in ("notice", "retried", "waiting") or event.status not in ("", "ok"):
            about = f"{_name(event)}: {event.status} " if event.status else ""
            display(HTML(f"<pre>{escape(f'{about}{event.message}'.strip())}</pre>"))


def _line(event: Progress) -> str:
    """A bar over all runs, and the run that was heard of last."""
    done = event.finished + (event.fraction if event.kind == "step" else 0.0)
    text = f"{event.finished} of {event.total} runs, {_name(event)}"
    return f'<progress value="{min(done, event.total):.3f}" max="{event.total}"></progress> {escape(text)}'


def _name(event: Progress) -> str:
    return f"{event.task} {event.optimizer} seed {event.seed}"


def in_words(notice: Notice) -> str:
    """A notice with its next step."""
    return f"{notice.message} ({notice.hint})" if notice.hint else notice.message


def listener(progress: bool | Callback | None) -> Listener:
    """A callback as a listener; silence for False, and for True and None the bar that suits the place.

    Raises:
        UsageError: when it is anything else.
    """
    if callable(progress):
        return Events(progress)
    if progress is False:
        return Silence()
    if progress is None or progress is True:
        return Events(NotebookBar()) if _in_notebook() else Bar()
    raise UsageError(f"progress={progress!r} is not allowed", "a function, False, True or None")


def _in_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
