"""Output whose reader goes away, and output that does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commanded import Lehi, fill

PATIENCE = 120.0
VERBS = (["--help"], ["optims"], ["tasks"], ["report", "--full"], ["report", "--json"], ["report", "--format", "html"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = ("--task", "digits", "--optims", "lehi,adam", "--steps", "10", "--seeds", "2")
    return fill(tmp_path_factory.mktemp("trained") / "runs", "compare", *more)


def run(
    arguments: list[str], runs: Path, stdout: int, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lehi_cli", *arguments],
        env={**os.environ, "LEHI_RUNS": str(runs)},
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", VERBS, ids=" ".join)
def test_a_reader_that_has_gone_ends_it_quietly(runs: Path, arguments: list[str]) -> None:
    writer = closed_pipe()
    done = run(arguments, runs, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_reader_of_both_streams_that_has_gone_ends_it_quietly(runs: Path) -> None:
    writer = closed_pipe()
    for arguments in (["report"], ["no-such-verb"], ["report", "--task", "no-such-task"]):
        assert run(arguments, runs, stdout=writer, stderr=writer).returncode == 141
    os.close(writer)


def test_the_first_line_is_what_head_shows(runs: Path) -> None:
    command = f"{sys.executable} -m lehi_cli report --full --runs {runs} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    first, code = done.stdout.splitlines()
    assert first.startswith("digits  10 steps")
    assert code in ("141", "0")  # of a report that was written before head had gone
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", VERBS, ids=" ".join)
def test_output_that_does_not_fit_is_an_error(runs: Path, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run(arguments, runs, stdout=full.fileno())
        assert (done.returncode, done.stderr) == (2, "error: cannot write the output: No space left on device\n")
        assert run(["report", "--runs", "nowhere"], runs, stdout=subprocess.PIPE, stderr=full.fileno()).returncode == 2


def test_output_that_nobody_asked_for_is_no_error(runs: Path) -> None:
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m lehi_cli report --runs {runs} >&-"], timeout=PATIENCE)
    assert done.returncode == 0


def test_the_streams_are_the_callers_again(lehi: Lehi, runs: Path) -> None:
    before = sys.stdout, sys.stderr
    for _ in range(2):
        assert lehi("report", "--runs", str(runs)).out
    assert (sys.stdout, sys.stderr) == before
