"""A small report to the letter, as a terminal shows it and as JSON has it; run as a script, this writes it anew."""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of
from rich.console import Console
from stored import write, write_all

from lehi_cli.analysis.arrivals import parse_target
from lehi_cli.experiment.report import Report, View, make_report
from lehi_cli.gate import parse
from lehi_cli.render.json import to_json
from lehi_cli.render.report import to_document
from lehi_cli.render.terminal import print_parts
from lehi_cli.runs.store import Store

GOLDEN = Path(__file__).parent / "golden"


def report(root: Path) -> Report:
    """Three optimizers on two tasks, one of which diverges once, with everything that can be asked."""
    store = Store(root)
    store.prepare()
    write_all(store, "adam,sgd,lehi", [[0.50, 0.60, 0.55], [0.81, 0.90, 0.95], [0.45, 0.52, 0.49]])
    for run in runs_of("adam,sgd,lehi", task="diabetes", seeds=3):
        lost = (run.optimizer.name, run.seed) == ("sgd", 1)
        write(store, run, [2.0, 0.7 + 0.1 * run.seed], status="diverged" if lost else "ok")
    view = View(
        x="steps",
        cost=True,
        target=parse_target("val_loss=0.6"),
        assertions=[parse("lehi < adam"), parse("lehi.passes_per_step < 1")],
        command=["report", "--cost"],
    )
    return make_report(store, store.runs(), view)


def as_text(found: Report) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system=None, legacy_windows=False)
    print_parts(console, to_document(found).parts)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def as_json(found: Report) -> str:
    return f"{to_json(found)}\n"


WRITERS = {"terminal.txt": as_text, "report.json": as_json}


def test_the_terminal_to_the_letter(tmp_path: Path) -> None:
    assert as_text(report(tmp_path / "runs")) == (GOLDEN / "terminal.txt").read_text(encoding="utf-8")


def test_the_json_document_key_by_key(tmp_path: Path) -> None:
    found, golden = as_json(report(tmp_path / "runs")), (GOLDEN / "report.json").read_text(encoding="utf-8")
    for (place, value), (same, expected) in zip(leaves(json.loads(found)), leaves(json.loads(golden)), strict=True):
        assert place == same
        if place.endswith("/run_id"):  # a hash of the optimizers' code, which goes on
            assert re.fullmatch("[0-9a-f]{16}", value), place
            continue
        # The last digits are those of the numerical libraries' versions.
        assert value == (pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected), place


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that is neither an object nor an array, with its place, in order."""
    if isinstance(content, dict | list):
        yield place, type(content)
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, f"{place}/{key}")
    else:
        yield place, content


if __name__ == "__main__":
    for name in sys.argv[1:] or WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / name).write_text(WRITERS[name](report(Path(folder) / "runs")), encoding="utf-8")
