"""Time of the commands that do not need torch, against an empty Python process.

    python benchmarks/bench_commands.py

`lehi report` reads a store of 100 runs, made here by training a few steps each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import ratios, save, seconds_in_turn, show

ROUNDS = 11
RUNS = ("compare", "--task", "digits", "--optims", "lehi,adam,sgd,rmsprop,nadam", "--seeds", "20", "--quiet", "--json")


def command(folder: Path, *arguments: str) -> Callable[[], None]:
    """A function that runs Python with `arguments` in `folder`."""

    def run() -> None:
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)

    return run


def main() -> None:
    """Make the store, then measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command(folder, "-m", "lehi_cli", *RUNS)()
        actions = {
            "python": command(folder, "-c", "pass"),
            "lehi --help": command(folder, "-m", "lehi_cli", "--help"),
            "lehi optims": command(folder, "-m", "lehi_cli", "optims"),
            "lehi report (100 runs)": command(folder, "-m", "lehi_cli", "report"),
            "lehi compare (100 runs, all stored)": command(folder, "-m", "lehi_cli", *RUNS),
        }
        summary = ratios(seconds_in_turn(actions, ROUNDS), "python")
    show("commands", summary, "python")
    save("commands", {"rounds": ROUNDS, "commands": summary})


if __name__ == "__main__":
    main()
