"""Progress: every event in its order, to a callback; a bar where somebody looks; silence where none is wanted."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from interrupted import PATIENCE

import lehi_cli
from lehi_cli import Progress
from lehi_cli.api.progress import NotebookBar, in_words
from lehi_cli.errors import Notice

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("how", [{"executor": "serial"}, {"jobs": 2}], ids=["serial", "jobs"])
def test_events_come_in_order(how: dict[str, Any]) -> None:
    events: list[Progress] = []
    lehi_cli.compare("digits", "sgd,adam", seeds=2, steps=20, progress=events.append, **how)
    names = {(name, seed) for name in ("sgd", "adam") for seed in (0, 1)}
    for name, seed in names:
        own = [event for event in events if (event.optimizer, event.seed) == (name, seed)]
        kinds = [event.kind for event in own]
        assert kinds[0] == "started"
        assert kinds[-1] == "finished"
        assert set(kinds[1:-1]) == {"step"}
        fractions = [event.fraction for event in own]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-2], fractions[-1]) == (0.0, 1.0, 1.0)
        assert all(event.loss is not None and event.loss > 0 for event in own if event.kind == "step")
        assert [event.status for event in own] == ["" for _ in own[:-1]] + ["ok"]
    assert {(event.task, event.total) for event in events} == {("digits", 4)}
    finished = [event.finished for event in events]
    assert finished == sorted(finished)
    assert finished[-1] == 4
    assert events[0].finished == 0


def test_runs_that_are_stored_are_no_events() -> None:
    lehi_cli.train("digits", "sgd", steps=5, progress=False)
    events: list[Progress] = []
    lehi_cli.train("digits", "sgd", seeds=2, steps=5, progress=events.append)
    assert {event.seed for event in events} == {1}
    assert {event.total for event in events} == {1}
    again: list[Progress] = []
    lehi_cli.train("digits", "sgd", seeds=2, steps=5, progress=again.append)
    assert again == []


def test_warnings_and_what_is_being_done_are_events() -> None:
    events: list[Progress] = []
    lehi_cli.compare("digits", "sgd,adam", seeds=1, steps=5, cost=True, smoke=True, progress=events.append)
    assert "measuring the price of a step, in turns" in [event.message for event in events if event.kind == "note"]
    broken = Path("runs/.comparisons/broken.json")
    broken.write_text("{")
    events.clear()
    lehi_cli.compare("digits", "sgd,adam", seeds=1, steps=5, progress=events.append)
    assert [event.message.partition(":")[0] for event in events if event.kind == "notice"] == [
        "skipped runs/.comparisons/broken.json"
    ]
    assert in_words(Notice("a")) == "a"
    assert in_words(Notice("a", "b")) == "a (b)"


@pytest.mark.parametrize("how", [{"executor": "serial"}, {"jobs": 2}], ids=["serial", "jobs"])
@pytest.mark.parametrize("at", ["started", "step", "finished"])
def test_a_callback_that_raises_ends_it_and_fails_no_run(at: str, how: dict[str, Any]) -> None:
    def watch(event: Progress) -> None:
        if event.kind == at:
            raise ZeroDivisionError(event.kind)

    with pytest.raises(ZeroDivisionError, match=at):
        lehi_cli.compare("digits", "sgd,adam", seeds=2, steps=20, progress=watch, **how)
    result = lehi_cli.compare("digits", "sgd,adam", seeds=2, steps=20, progress=False)
    assert [run.status for run in result.runs] == ["ok"] * 4
    assert not result.failed


def test_silence_is_silence(capfd: pytest.CaptureFixture[str]) -> None:
    lehi_cli.compare("digits", "sgd:lr=1e7,adam", seeds=2, steps=20, jobs=2, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_program_that_nobody_looks_at_prints_warnings_alone(python: Python, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import lehi_cli as lehi\n"
        'lehi.compare("digits", "sgd,adam", seeds=1, steps=5)\n'
        'open("runs/.comparisons/broken.json", "w").close()\n'
        "lehi.report()\n"
    )
    done = python("-W", "error", "program.py")
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: skipped runs/.comparisons/broken.json: damaged")
    assert line.endswith("(delete it)")


@pytest.mark.slow
def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    said = in_a_terminal('import lehi_cli as lehi; lehi.compare("digits", "sgd,adam", seeds=1, steps=50)', tmp_path)
    assert "all runs" in said
    assert "2 of 2 done" in said
    assert "sgd seed 0" in said
    assert in_a_terminal("import lehi_cli as lehi; lehi.train('digits', steps=5, progress=False)", tmp_path) == ""


def in_a_terminal(code: str, folder: Path) -> str:
    """What a program writes to its terminal."""
    parent, child = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, stdout=child, stderr=child)
    os.close(child)
    found = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    os.close(parent)
    assert process.wait(timeout=PATIENCE) == 0, found.decode()
    return found.decode()


@contextmanager
def displays(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a notebook is asked to show, and how it changes."""
    import IPython.display

    shown: list[str] = []

    class Handle:
        def update(self, page: Any) -> None:
            shown.append(f"update {page.data}")

    def display(page: Any, display_id: bool = False) -> Handle:
        shown.append(f"{'line' if display_id else 'below'} {page.data}")
        return Handle()

    with monkeypatch.context() as changed:
        changed.setattr(IPython.display, "display", display)
        yield shown


def test_a_notebook_gets_one_line_and_what_must_be_known_below(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"task": "digits", "optimizer": "a<b", "total": 2}
    events = [
        Progress("notice", message="mind <this>"),
        Progress("started", **about),
        Progress("step", fraction=0.5, loss=1.0, **about),
        Progress("finished", fraction=1.0, status="ok", finished=1, **about),
        Progress("finished", fraction=1.0, status="error", message="boom", seed=1, finished=2, **about),
        Progress("note", message="measuring"),
    ]
    with displays(monkeypatch) as shown:
        bar = NotebookBar()
        for event in events:
            bar(event)
    assert shown == [
        "below <pre>mind &lt;this&gt;</pre>",
        'line <progress value="0.000" max="2"></progress> 0 of 2 runs, digits a&lt;b seed 0',
        'update <progress value="0.500" max="2"></progress> 0 of 2 runs, digits a&lt;b seed 0',
        'update <progress value="1.000" max="2"></progress> 1 of 2 runs, digits a&lt;b seed 0',
        'update <progress value="2.000" max="2"></progress> 2 of 2 runs, digits a&lt;b seed 1',
        "below <pre>digits a&lt;b seed 1: error boom</pre>",
    ]


WAITING = '''
import os
import sys

from torch.optim import SGD


class Waiting(SGD):
    """Tells that it was reached, and waits to be interrupted."""

    def step(self, closure=None):
        if os.path.exists("fifo"):
            with open("fifo", "w") as fifo:
                fifo.write("reached")
            import time
            time.sleep(600)
        return super().step(closure)


if __name__ == "__main__":
    import lehi_cli as lehi

    try:
        lehi.train("digits", Waiting, steps=5, executor=sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted", *sorted(f"{run.label} {run.status}" for run in lehi.report(task="*").runs))
    os.remove("fifo")
    result = lehi.train("digits", Waiting, steps=5, executor=sys.argv[1])
    print("then", *sorted(f"{run.label} {run.status}" for run in result.runs))
'''


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "pool"])
def test_an_interrupt_comes_after_everything_is_stored(executor: str, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "waiting.py", executor],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    try:
        reached, _, _ = select.select([reader], [], [], PATIENCE)
        os.killpg(process.pid, signal.SIGINT if reached else signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        os.close(reader)
        process.kill()
    assert out.splitlines() == ["interrupted Waiting interrupted", "then Waiting ok"], out + err
