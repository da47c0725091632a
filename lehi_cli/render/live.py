"""Progress while runs train: live bars on a terminal, one line per finished run in a log, nothing when asked."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lehi_cli.records import Pulse
from lehi_cli.specs import RunSpec

NAME_WIDTH = 24


class Live:
    """Bars for the runs under way and one for all of them; failures stay on the screen when they happen."""

    def __init__(self, console: Console, total: int):
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._total = total
        self._done = 0
        self._overall = self._progress.add_task("all runs".ljust(NAME_WIDTH), total=total, note="")
        self._bars: dict[str, TaskID] = {}
        self._partial: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, run: RunSpec) -> None:
        """Add a bar."""
        self._bars[run.run_id] = self._progress.add_task(_name(run), total=1.0, note="")

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Move a bar."""
        left = pulse.seconds * (1 - pulse.progress) / pulse.progress if pulse.progress else 0.0
        speed = pulse.step / pulse.seconds if pulse.seconds else 0.0
        note = f"loss {pulse.loss:<8.4g} {speed:>5.0f}/s {_clock(left):>5} left"
        self._progress.update(self._bars[run.run_id], completed=pulse.progress, note=note)
        self._partial[run.run_id] = pulse.progress
        self._show_overall()

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        """Take a bar away; say so when the run did not end well."""
        self._done += 1
        self._partial.pop(run.run_id, None)
        bar = self._bars.pop(run.run_id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        if status != "ok":
            self._progress.console.print(finished_line(run, status, message), markup=False, highlight=False)
        self._show_overall()

    def waiting(self, count: int) -> None:
        """Say that others are waited for."""
        self._progress.console.print(waiting_line(count), highlight=False)

    def refresh(self) -> None:
        """Draw now; otherwise the bars are drawn ten times a second."""
        self._progress.refresh()

    def _show_overall(self) -> None:
        completed = self._done + sum(self._partial.values())
        self._progress.update(self._overall, completed=completed, note=f"{self._done} of {self._total} done")


class Lines:
    """One line for each run that ends: for logs, where bars would leave their frames."""

    def __init__(self, console: Console, total: int):
        self._console = console
        self._total = total
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def started(self, run: RunSpec) -> None:
        """Nothing to say yet."""

    def pulse(self, run: RunSpec, pulse: Pulse) -> None:
        """Progress leaves no trace in a log."""

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        """Say how the run ended."""
        self._done += 1
        line = f"[{self._done}/{self._total}] {finished_line(run, status, message)}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def waiting(self, count: int) -> None:
        """Say that others are waited for."""
        self._console.print(waiting_line(count), highlight=False)


class Quiet(Lines):
    """Says nothing at all."""

    def waiting(self, count: int) -> None:
        """Nothing is said."""

    def finished(self, run: RunSpec, status: str, message: str) -> None:
        """Nothing is said."""


def finished_line(run: RunSpec, status: str, message: str) -> str:
    """How a run ended, in one line."""
    fake = " [FAKE DATA]" if run.task.data.get("fake") else ""
    return f"{run.task.name}{fake} {run.label} seed {run.seed}: {status}" + (
        f" ({message.splitlines()[0]})" if message else ""
    )


def waiting_line(count: int) -> str:
    """That another process is at some of the runs."""
    return f"waiting for {count} of the runs, which another process is training"


def watcher(console: Console, total: int, quiet: bool) -> Live | Lines:
    """What suits the place the output goes to."""
    kind = Quiet if quiet else Live if console.is_terminal else Lines
    return kind(console, total)


def _name(run: RunSpec) -> str:
    text = f"{run.label} seed {run.seed}"
    return (text if len(text) <= NAME_WIDTH else f"…{text[-NAME_WIDTH + 1 :]}").ljust(NAME_WIDTH)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
