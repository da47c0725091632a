"""Progress: bars on a terminal, lines in a log, nothing when asked."""

from __future__ import annotations

import io

from cases import runs_of
from rich.console import Console

from lehi_cli.render.live import LineByLine, Live, Quiet, watcher
from lehi_cli.runs.records import Pulse


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=80, force_terminal=terminal, color_system=None, legacy_windows=False), stream


def follow(watch: Live | LineByLine) -> None:
    good, bad = runs_of("lehi,adam")
    with watch:
        watch.started(good)
        watch.pulse(good, Pulse(0.5, 10, 0.25, 2.0, 0.5))
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
        "batch loss 0.25",
        "5/s",
        "0:02 left",
        "digits adam seed 0: error (RuntimeError: no more)",
    ):
        assert part in text
    assert all(len(line) <= 80 for line in text.replace("\x1b[2K", "\n").splitlines() if "\x1b" not in line)


def test_what_finished_stays_in_view_and_the_time_left_is_told() -> None:
    terminal, stream = console(terminal=True)
    now = [0.0]
    watch = Live(terminal, 20, now=lambda: now[0])
    runs = runs_of("lehi,adam", seeds=5)
    with watch:
        for run in runs[:-1]:
            watch.started(run)
            watch.pulse(run, Pulse(1.0, 25, 0.125, 1.0, None if run.optimizer.name == "adam" else 0.25))
            now[0] += 60
            watch.finished(run, "diverged" if run.seed == 3 else "ok", "")
        watch.started(runs[-1])
        watch.pulse(runs[-1], Pulse(0.5, 25, 0.5, 1.0))
        stream.seek(0)
        stream.truncate()
        watch.refresh()
        text = stream.getvalue()
    assert "9 of 20 done  9:57 left" in text  # 9.5 of 20 runs in 9 minutes
    assert "adam seed 4" in text
    assert "the last 5 of 9: 7 ok, 2 diverged" in text
    lines = {line.partition("  ")[0]: line.split()[3:] for line in text.splitlines()}
    assert lines["lehi seed 4"] == ["ok", "val", "loss", "0.25", "1:00"]
    assert lines["adam seed 2"] == ["ok", "last", "batch", "loss", "0.125", "1:00"]  # no evaluation is known of
    assert lines["lehi seed 3"] == ["diverged", "last", "batch", "loss", "0.125", "1:00"]
    assert "lehi seed 0" not in text


def test_of_many_runs_under_way_some_are_shown() -> None:
    terminal, stream = console(terminal=True)
    watch = Live(terminal, 20)
    with watch:
        for run in runs_of("lehi,adam", seeds=10):
            watch.started(run)
        watch.refresh()
    assert "… and 12 more under way" in stream.getvalue()


def test_a_run_that_starts_again_is_said() -> None:
    (run,) = runs_of("adam")
    for kind, terminal in ((Live, True), (LineByLine, False), (Quiet, False)):
        target, stream = console(terminal)
        with kind(target, 1) as watch:
            watch.started(run)
            watch.retried(run, "lost with its node, retry 1 of 2")
        said = "digits adam seed 0: lost with its node, retry 1 of 2" in stream.getvalue()
        assert said == (kind is not Quiet)


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
