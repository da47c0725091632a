"""Progress: bars on a terminal, lines in a log, nothing when asked."""

from __future__ import annotations

import io

from cases import runs_of
from rich.console import Console

from lehi_cli.records import Pulse
from lehi_cli.render.live import Lines, Live, Quiet, watcher


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=80, force_terminal=terminal, color_system=None, legacy_windows=False), stream


def follow(watch: Live | Lines) -> None:
    good, bad = runs_of("lehi,adam")
    with watch:
        watch.started(good)
        watch.pulse(good, Pulse(0.5, 10, 0.25, 2.0))
        if isinstance(watch, Live):
            watch.refresh()
        watch.finished(good, "ok", "")
        watch.started(bad)
        watch.finished(bad, "error", "RuntimeError: no more\nand more")


def test_a_terminal_shows_bars_and_keeps_failures() -> None:
    terminal, stream = console(terminal=True)
    watch = watcher(terminal, 2, quiet=False)
    assert isinstance(watch, Live)
    follow(watch)
    text = stream.getvalue()
    for part in (
        "all runs",
        "lehi seed 0",
        "loss 0.25",
        "5/s",
        "0:02 left",
        "digits adam seed 0: error (RuntimeError: no more)",
    ):
        assert part in text
    assert all(len(line) <= 80 for line in text.replace("\x1b[2K", "\n").splitlines() if "\x1b" not in line)


def test_a_log_gets_one_line_per_run() -> None:
    log, stream = console(terminal=False)
    watch = watcher(log, 2, quiet=False)
    follow(watch)
    assert stream.getvalue() == (
        "[1/2] digits lehi seed 0: ok\n[2/2] digits adam seed 0: error (RuntimeError: no more)\n"
    )


def test_quiet_is_quiet() -> None:
    log, stream = console(terminal=True)
    watch = watcher(log, 2, quiet=True)
    assert isinstance(watch, Quiet)
    follow(watch)
    assert stream.getvalue() == ""
