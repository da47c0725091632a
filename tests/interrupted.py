"""Commands that are interrupted in the middle of a run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 120.0  # seconds: for a process that hangs, which no other should be held up by


def interrupted(arguments: Sequence[str], folder: Path, fifo: Path) -> subprocess.CompletedProcess[str]:
    """Run `lehi` and press Ctrl-C when a run has come so far as to open the FIFO.

    Args:
        arguments: of the command.
        folder: where it runs.
        fifo: made here; something in the run opens it for writing, and then waits to be interrupted.
    """
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "-m", "lehi_cli", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_interrupts,
    )
    try:
        reached, _, _ = select.select([reader], [], [], PATIENCE)
        os.killpg(process.pid, signal.SIGINT if reached else signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        os.close(reader)
        process.kill()
    assert reached, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _hear_interrupts() -> None:
    """Undo what a shell does to its background jobs: they, and all they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
