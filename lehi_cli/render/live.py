"""Progress while runs train: a live view on a terminal, one line per finished run in a log, nothing if quiet."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lehi_cli.runs.records import Pulse
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status

NAME_WIDTH = 24
BAR_WIDTH = 10
RUNNING, FINISHED = 8, 5  # rows shown of each


@dataclass
class _Underway:
    """A run that is being trained, and its latest pulse."""

    run: RunSpec
    since: float
    pulse: Pulse | None = None


@dataclass(frozen=True)
class _Ended:
    """A run that is no longer being trained."""

    run: RunSpec
    status: Status
    loss: str
    seconds: float


class Live:
    """One bar for all runs, the runs in progress with their loss, the last finished ones; failures stay on screen."""

    def __init__(self, console: Console, total: int, now: Callable[[], float] = time.monotonic):
        self._console = console
        self._total = total
        self._now = now
        self._since = now()
        self._running: dict[str, _Underway] = {}
        self._statuses: Counter[Status] = Counter()
        self._last: deque[_Ended] = deque(maxlen=FINISHED)
        self._screen = Screen(
            console=console, get_renderable=self._view, transient=True, refresh_per_second=10, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._since = self._now()
        self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.stop()

    def started(self, run: RunSpec) -> None:
        """Add a bar; a run that was lost starts a new one."""
        self._running[run.run_id] = _Underway(run, self._now())

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Move a bar."""
        self._running[run.run_id].pulse = pulse

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """Move a run to the finished ones; print a line at once if it did not end well."""
        known = self._running.pop(run.run_id, None) or _Underway(run, self._now())
        self._statuses[status] += 1
        self._last.append(_Ended(run, status, _final_loss(known.pulse, status), self._now() - known.since))
        if status != Status.OK:
            self._console.print(finished_line(run, status, message), markup=False, highlight=False)

    def retried(self, run: RunSpec, message: str) -> None:
        """Print that a run starts again."""
        self._console.print(retried_line(run, message), markup=False, highlight=False)

    def waiting(self, count: int) -> None:
        """Print that runs of another process are waited for."""
        self._console.print(waiting_line(count), highlight=False)

    def refresh(self) -> None:
        """Draw now; otherwise it is drawn ten times a second."""
        self._screen.refresh()

    def _view(self) -> Group:
        # A thread of rich's draws this: it works on copies of what the main thread changes.
        running, last = list(self._running.values()), list(self._last)
        parts: list[Table | Text] = [self._bars(running)]
        if len(running) > RUNNING:
            parts.append(Text(f"… and {len(running) - RUNNING} more under way", style="dim"))
        if last:
            parts.append(_finished_table(last))
            if (done := self._statuses.total()) > len(last):
                counts = ", ".join(f"{count} {status}" for status, count in self._statuses.most_common())
                parts.append(Text(f"the last {len(last)} of {done}: {counts}", style="dim"))
        return Group(*parts)

    def _bars(self, running: list[_Underway]) -> Table:
        done = self._statuses.total()
        completed = done + sum(item.pulse.progress for item in running if item.pulse)
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(width=BAR_WIDTH)
        table.add_column(justify="right", width=4)
        table.add_column(no_wrap=True, overflow="ellipsis")
        note = f"{done} of {self._total} done {self._left(completed)}".rstrip()
        table.add_row(*_bar("all runs", completed / self._total if self._total else 1.0, note))
        for item in running[:RUNNING]:
            table.add_row(*_bar(_name(item.run), item.pulse.progress if item.pulse else 0.0, _note(item.pulse)))
        return table

    def _left(self, completed: float) -> str:
        """The time left, if the rest goes at the same speed."""
        if not completed:
            return ""
        return f"{_clock((self._now() - self._since) * (self._total - completed) / completed):>5} left"


def _bar(name: str, fraction: float, note: str) -> tuple[Text, ProgressBar, Text, Text]:
    bar = ProgressBar(total=1.0, completed=fraction, width=BAR_WIDTH)
    return Text(name.ljust(NAME_WIDTH)), bar, Text(f"{min(fraction, 1.0):>4.0%}"), Text(note)


def _note(pulse: Pulse | None) -> str:
    if pulse is None:
        return ""
    left = pulse.seconds * (1 - pulse.progress) / pulse.progress if pulse.progress else 0.0
    speed = pulse.step / pulse.seconds if pulse.seconds else 0.0
    return f"batch loss {pulse.loss:<8.4g} {speed:>5.0f}/s {_clock(left):>5} left"


def _final_loss(pulse: Pulse | None, status: Status) -> str:
    """The validation loss of a run that reached its end; for any other the loss of its last mini-batch."""
    if pulse is None:
        return ""
    if status == Status.OK and pulse.val_loss is not None:
        return f"val loss {pulse.val_loss:.4g}"
    return f"last batch loss {pulse.loss:.4g}"


def _finished_table(last: list[_Ended]) -> Table:
    """The last finished runs, newest last."""
    table = Table.grid(padding=(0, 1))
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for item in last:
        status = Text(item.status.ljust(BAR_WIDTH))
        table.add_row(Text(_name(item.run)), status, Text(item.loss), Text(_clock(item.seconds)))
    return table


class LineByLine:
    """One line for each run that ends: for logs, where bars would leave every frame behind."""

    def __init__(self, console: Console, total: int):
        self._console = console
        self._total = total
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def started(self, run: RunSpec) -> None:
        """Print nothing yet."""

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Print nothing: progress does not belong in a log."""

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """Print how the run ended."""
        self._done += 1
        line = f"[{self._done}/{self._total}] {finished_line(run, status, message)}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def retried(self, run: RunSpec, message: str) -> None:
        """Print that a run starts again."""
        self._console.print(retried_line(run, message), markup=False, highlight=False, soft_wrap=True)

    def waiting(self, count: int) -> None:
        """Print that runs of another process are waited for."""
        self._console.print(waiting_line(count), highlight=False)


class Quiet(LineByLine):
    """Print nothing at all."""

    def waiting(self, count: int) -> None:
        """Print nothing."""

    def retried(self, run: RunSpec, message: str) -> None:
        """Print nothing."""

    def finished(self, run: RunSpec, status: Status, message: str) -> None:
        """Print nothing."""


def finished_line(run: RunSpec, status: Status, message: str) -> str:
    """How a run ended, in one line."""
    return f"{_full_name(run)}: {status}" + (f" ({message.splitlines()[0]})" if message else "")


def retried_line(run: RunSpec, message: str) -> str:
    """One line about a run that was lost and starts again."""
    return f"{_full_name(run)}: {message}"


def waiting_line(count: int) -> str:
    """One line about runs that another process is training."""
    return f"waiting for {count} of the runs, which another process is training"


def watcher(console: Console, total: int, quiet: bool) -> Live | LineByLine:
    """The watcher that suits where the output goes."""
    kind = Quiet if quiet else Live if console.is_terminal else LineByLine
    return kind(console, total)


def _full_name(run: RunSpec) -> str:
    fake = " [FAKE DATA]" if run.task.data.get("fake") else ""
    return f"{run.task.name}{fake} {run.label} seed {run.seed}"


def _name(run: RunSpec) -> str:
    text = f"{run.label} seed {run.seed}"
    return (text if len(text) <= NAME_WIDTH else f"…{text[-NAME_WIDTH + 1 :]}").ljust(NAME_WIDTH)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
