"""Running runs: on a terminal their curves, redrawn as rows arrive; in a log a line for each change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lehi_cli.experiment.watching import Progress

from .axes import is_drawable
from .document import Figure, Trace
from .plot import HEIGHT, MIN_WIDTH, draw, is_colored, symbol

TITLES = {"train": "training loss", "val": "validation loss"}
MOST_CURVES = 12
NAME_WIDTH = 36


class Curves:
    """Training and validation curves, side by side where there is room, and a line for each run."""

    def __init__(self, console: Console, x: str):
        self._console = console
        self._x = x
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, runs: Sequence[Progress]) -> None:
        """Draw the runs as they are now."""
        self._live.update(self.frame(runs), refresh=True)

    def frame(self, runs: Sequence[Progress]) -> Group:
        """The figures, then a line for each run that fits."""
        colored = is_colored(self._console)
        figures = [figure for figure in figures_of(_first(runs, MOST_CURVES), self._x) if is_drawable(figure)]
        parts: list[RenderableType] = [*self._drawings(figures, colored)]
        room = max(self._console.height - HEIGHT - 4, 1)
        parts.append(_lines(_first(runs, min(room, MOST_CURVES)), colored))
        if len(runs) > min(room, MOST_CURVES):
            counts = Counter(item.run.status for item in runs)
            said = ", ".join(f"{count} {status}" for status, count in counts.items())
            parts.append(Text(f"{len(runs)} runs: {said}", style="dim"))
        return Group(*parts)

    def _drawings(self, figures: Sequence[Figure], colored: bool) -> list[RenderableType]:
        """The figures side by side; on a narrow terminal only the last."""
        width = self._console.width
        if len(figures) > 1 and width < len(figures) * MIN_WIDTH:
            figures = figures[-1:]
        grid = Table.grid()
        cells = [Text.from_ansi(draw(figure, width // len(figures), colored)) for figure in figures]
        for cell in cells:
            cell.no_wrap = True
        if cells:
            grid.add_row(*cells)
        return [grid] if cells else []


class Changes:
    """A line whenever a run gets further, and one when it ends."""

    def __init__(self, console: Console, x: str):
        self._console = console
        self._said: dict[str, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def show(self, runs: Sequence[Progress]) -> None:
        """Say what is new."""
        for item in runs:
            state = item.step, item.run.status
            if self._said.get(item.run.run_id) != state:
                self._said[item.run.run_id] = state
                line = f"{_name(item)}: {_where(item)}{'' if item.is_running else f', {item.run.status}'}"
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def shower(console: Console, x: str) -> Curves | Changes:
    """What suits the console."""
    return (Curves if console.is_terminal else Changes)(console, x)


def _first(runs: Sequence[Progress], count: int) -> dict[int, Progress]:
    """At most `count` runs by position, in order: the running ones, then those that ended last."""
    places = sorted(range(len(runs)), key=lambda i: (not runs[i].is_running, -i))
    return {i: runs[i] for i in sorted(places[:count])}


def figures_of(runs: Mapping[int, Progress], x: str) -> list[Figure]:
    """Training and validation losses of runs; a run's position decides its colour."""
    tasks = list(dict.fromkeys(item.run.task for item in runs.values()))
    before = f"{tasks[0]}: " if len(tasks) == 1 else ""
    return [
        Figure(f"{before}{title}", x, [Trace(_name(item), *item.curves[split], style=i) for i, item in runs.items()])
        for split, title in TITLES.items()
    ]


def _lines(runs: Mapping[int, Progress], colored: bool) -> Table:
    """The legend, and how far each run is."""
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for i, item in runs.items():
        character, color = symbol(i)
        mark = Text("━━" if colored else character, style=f"color({color})" if colored else "")
        name = _name(item)
        shown = name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"
        status = "" if item.is_running else f", {item.run.status}"
        table.add_row(mark, Text(shown), Text(f"{_where(item)}{status}"))
    return table


def _name(item: Progress) -> str:
    fake = " [FAKE DATA]" if item.run.is_fake else ""
    return f"{item.run.task}{fake} {item.run.label} seed {item.run.seed}"


def _where(item: Progress) -> str:
    losses = [f"{split} loss {loss:.4g}" for split in TITLES if (loss := item.last(split)) is not None]
    return ", ".join([f"step {item.step}", *losses]) if losses else "nothing written yet"
