"""`lehi watch`: the curves of runs that are under way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cases import runs_of
from commanded import Lehi
from rich.console import Console
from stored import write

from lehi_cli.experiment.watching import PATIENCE, Watching
from lehi_cli.render.watch import Curves
from lehi_cli.runs.comparisons import ComparisonRecord, Comparisons, Member, now
from lehi_cli.runs.recorder import Recorder
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

ROOT = Path("runs")
Python = Callable[..., subprocess.CompletedProcess[str]]


def begun(spec: RunSpec) -> Recorder:
    """A run that this process is at."""
    recorder = Store(ROOT).claim(spec, {"device": "cpu"})
    assert recorder is not None
    return recorder


def go_on(recorder: Recorder, step: int, **losses: float) -> None:
    """Rows of one step, written so that others see them."""
    for split, loss in losses.items():
        place = {"epoch": 0.1, "step": step, "samples": step, "passes": 2.0 * step, "seconds": 0.5 * step}
        recorder.add({"split": split, **place, "loss": loss, "lr_now": 0.1}, {})
    recorder.flush()


@pytest.fixture
def store() -> Store:
    store = Store(ROOT)
    store.prepare()
    return store


def frame(watching: Watching, width: int = 80, height: int = 24, color: bool = False) -> str:
    console = Console(width=width, height=height, force_terminal=True, color_system="256" if color else None)
    with console.capture() as captured:
        console.print(Curves(console, "passes").frame(watching.look()))
    return captured.get()


# what is watched


def test_rows_are_seen_as_they_come(store: Store) -> None:
    recorder = begun(runs_of("adam")[0])
    watching = Watching(store)
    (item,) = watching.look()
    assert (item.is_running, item.step, item.last("val")) == (True, 0, None)
    go_on(recorder, 1, train=3.0, val=2.0)
    go_on(recorder, 2, train=2.5)
    (item,) = watching.look()
    assert item.curves == {"train": ([2.0, 4.0], [3.0, 2.5]), "val": ([2.0], [2.0])}
    assert (item.step, item.last("train"), item.last("val")) == (2, 2.5, 2.0)
    recorder.finish("ok", {}, {})
    (item,) = watching.look()
    assert (item.is_running, item.run.status) == (False, "ok")


@pytest.mark.parametrize(("x", "place"), [("passes", 4.0), ("steps", 2), ("seconds", 1.0)])
def test_curves_are_against_what_was_asked_for(store: Store, x: str, place: float) -> None:
    go_on(begun(runs_of("adam")[0]), 2, val=2.0)
    (item,) = Watching(store, x=x).look()
    assert item.curves["val"] == ([place], [2.0])


def test_runs_that_begin_later_are_taken_up_and_those_that_ended_before_are_not(store: Store) -> None:
    first, second, third = runs_of("adam,sgd,lion")
    write(store, first)
    running = begun(second)
    watching = Watching(store)
    assert [item.run.run_id for item in watching.look()] == [second.run_id]
    running.finish("ok", {}, {})
    assert not watching.is_over
    last = begun(third)
    assert [item.run.run_id for item in watching.look()] == [second.run_id, third.run_id]
    last.finish("ok", {}, {})
    for _ in range(PATIENCE):
        assert not watching.is_over
        watching.look()
    assert watching.is_over


def test_chosen_runs_are_watched_until_they_ended(store: Store) -> None:
    first, second = runs_of("adam,sgd")
    write(store, first)
    recorder = begun(second)
    watching = Watching(store, [first.run_id[:6], second.run_id])
    assert len(watching.look()) == 2
    assert not watching.is_over
    recorder.finish("error", {}, {})
    watching.look()
    assert watching.is_over


def test_a_run_that_is_removed_is_not_waited_for(store: Store) -> None:
    write(store, runs_of("adam")[0])
    watching = Watching(store, [runs_of("adam")[0].run_id])
    assert watching.look()
    store.discard(runs_of("adam")[0].run_id)
    assert watching.look() == []
    assert watching.is_over


def test_a_damaged_shard_is_named_and_the_others_are_drawn(store: Store) -> None:
    recorder = begun(runs_of("adam")[0])
    go_on(recorder, 1, val=3.0)
    go_on(recorder, 2, val=2.0)
    (ROOT / runs_of("adam")[0].run_id / "metrics-0000.parquet").write_bytes(b"x")
    (item,) = Watching(store).look()
    assert item.curves["val"][1] == [2.0]
    assert "metrics-0000.parquet: damaged" in store.notices[0].message


# how it is drawn


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (50, 24)])
def test_a_frame_fits_the_terminal(store: Store, width: int, height: int) -> None:
    for i, spec in enumerate(runs_of("adam,sgd:label=größe,lion,lehi", seeds=4)):
        go_on(begun(spec), 1 + i, train=3.0, val=2.0)
    text = frame(Watching(store), width, height)
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) < height
    assert "digits: validation loss" in text
    assert ("digits: training loss" in text) == (width >= 80)
    assert "16 runs: 16 running" in text


def test_a_run_keeps_its_mark_when_another_ends(store: Store) -> None:
    first, second = (begun(spec) for spec in runs_of("adam,sgd"))
    go_on(first, 1, val=3.0)
    go_on(second, 1, val=2.0)
    watching = Watching(store)
    before = frame(watching)
    first.finish("ok", {}, {})
    after = frame(watching)
    marks = [re.findall(r"^(\S) digits (\w+) seed 0", text, re.MULTILINE) for text in (before, after)]
    assert sorted(marks[0]) == sorted(marks[1])
    assert len(marks[0]) == 2
    assert "step 1, val loss 3, ok" in after


def test_without_colour_curves_are_told_apart_by_characters(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in runs_of("adam,sgd"):
        recorder = begun(spec)
        go_on(recorder, 1, val=3.0)
        go_on(recorder, 2, val=2.0)
    assert "━━" in frame(Watching(store), color=True)
    monkeypatch.setenv("NO_COLOR", "1")
    text = frame(Watching(store), color=True)
    assert "\x1b[38" not in text
    assert {"● digits", "+ digits"} <= set(re.findall(r"^\S digits", text, re.MULTILINE))


# the command


def test_a_chosen_run_that_ended_is_shown_at_once(lehi: Lehi, store: Store) -> None:
    write(store, runs_of("adam")[0], [2.0, 1.0], train=[3.0])
    result = lehi("watch", runs_of("adam")[0].run_id[:8])
    assert result.code == 0
    assert result.out == "digits adam seed 0: step 2, train loss 3, val loss 1, ok\n"


def test_a_run_that_failed_is_an_exit_code(lehi: Lehi, store: Store) -> None:
    write(store, runs_of("adam")[0], status="error")
    assert lehi("watch", runs_of("adam")[0].run_id).code == 1


def test_the_runs_of_a_comparison_can_be_chosen(lehi: Lehi, store: Store) -> None:
    members = [Member(write(store, run).run_id, run.label) for run in runs_of("adam,sgd")]
    write(store, runs_of("lion")[0])
    record = ComparisonRecord("compare", members, created=now())
    Comparisons(store).save(record)
    result = lehi("watch", "--comparison", record.id[:4])
    assert result.code == 0
    assert [line.split()[1] for line in result.out.splitlines()] == ["adam", "sgd"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 0, "nothing is running in runs"),
        (("zz",), 2, "no run 'zz' in runs"),
        (("--comparison", "zz"), 2, "comparison 'zz' is not there"),
        (("a", "--comparison", "zz"), 2, "runs and --comparison are two choices"),
        (("--x", "epochs"), 2, "--x 'epochs' is not allowed"),
        (("--runs", "nowhere"), 2, "no runs in nowhere"),
    ],
)
def test_what_cannot_be_watched_is_said(lehi: Lehi, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = lehi("watch", *arguments)
    assert result.code == code
    assert said in result.err


@pytest.fixture
def watcher(store: Store) -> Iterator[tuple[Recorder, subprocess.Popen[str]]]:
    """A run of this process, and another process that watches it through a pipe."""
    recorder = begun(runs_of("adam")[0])
    process = subprocess.Popen(
        [sys.executable, "-m", "lehi_cli", "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield recorder, process
    process.kill()
    process.communicate()


def test_a_line_comes_with_every_change_while_another_process_trains(
    watcher: tuple[Recorder, subprocess.Popen[str]],
) -> None:
    recorder, process = watcher
    assert process.stdout is not None
    assert process.stdout.readline() == "digits adam seed 0: nothing written yet\n"
    for step, loss in ((1, 3.0), (2, 2.0)):
        go_on(recorder, step, train=loss, val=loss - 1)
        assert (
            process.stdout.readline()
            == f"digits adam seed 0: step {step}, train loss {loss:g}, val loss {loss - 1:g}\n"
        )
    recorder.finish("ok", {}, {})
    out, err = process.communicate(timeout=120)
    assert out == "digits adam seed 0: step 2, train loss 2, val loss 1, ok\n"
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_ends_the_watching_alone(watcher: tuple[Recorder, subprocess.Popen[str]]) -> None:
    recorder, process = watcher
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "")
    go_on(recorder, 1, val=1.0)
    assert [run.status for run in Store(ROOT).runs()] == ["running"]


@pytest.mark.usefixtures("store")
def test_watching_imports_no_torch(python: Python) -> None:
    code = (
        "import sys\nfrom lehi_cli.cli import main\n"
        "try: main(['watch'])\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy.stats', 'optuna', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
