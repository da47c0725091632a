"""One row per run, to the letter, out of a real store."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.render.csv import sections_to_csv
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

GOLDEN = Path(__file__).parent / "golden" / "runs.csv"
PLACE = {"device": "cpu", "device_name": 'a, "b"', "threads": 2, "lehi": "0.1", "torch": "2.0", "python": "3.11"}
STARTED = "2026-01-02T03:04:05.678+00:00"
PAIRS = [("command", "lehi report --optims 'a*b|c_d'"), ("seeds", "0, 1")]


def record(store: Store, run: RunSpec, status: str, values: list[float], metric: str) -> None:
    """Write a run with one training row and a validation row per value, and a test row where it reached the end."""
    recorder = store.claim(run, PLACE)
    assert recorder is not None
    base = {"epoch": 1.0, "samples": 64, "passes": 1.5, "seconds": 0.25, "lr_now": 0.01}
    recorder.add({**base, "split": "train", "step": 1, "loss": 9.0}, {"rank": 1.0})
    for step, value in enumerate(values):
        recorder.add({**base, "split": "val", "step": step, "loss": value}, {metric: value / 2})
    if status == "ok":
        recorder.add({**base, "split": "test", "step": len(values), "loss": 0.1 + 0.2}, {metric: 1e-7})
    outcome = Outcome(status, 3, 4.5, 0.125, 650, 5200, "init", "order", "data", {})
    error = {"type": "ValueError", "message": "first, line\nsecond", "traceback": "..."} if status == "error" else {}
    recorder.finish(status, {} if error else asdict(outcome), error)


def sheet(tmp_path: Path) -> str:
    store = Store(tmp_path / "store")
    good, bad = runs_of("sgd:lr=0.1:label=a*b|c_d", seeds=2)
    (other,) = runs_of("adam", task="diabetes", fake=True)
    record(store, good, "ok", [2.0, 1 / 3], "accuracy")
    record(store, bad, "diverged", [2.0, 1e30], "accuracy")
    record(store, other, "error", [2.0], "mae")
    for run in (good, bad, other):
        path = store.root / run.run_id / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"started": STARTED}))
    by_id = {run.run_id: run for run in store.runs()}
    return sections_to_csv(arrange(store, [by_id[run.run_id] for run in (good, bad, other)]), PAIRS)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def without_ids(text: str) -> str:
    """The sheet without what changes with the code of a task."""
    for row in rows(text):
        text = text.replace(row["run_id"], "<run id>")
    return text


def test_the_whole_sheet(tmp_path: Path) -> None:
    assert without_ids(sheet(tmp_path)).encode() == GOLDEN.read_bytes()


def test_numbers_are_whole_and_those_of_runs_that_did_not_end_are_left_out(tmp_path: Path) -> None:
    good, bad, other = rows(sheet(tmp_path))
    assert (float(good["val_loss"]), float(good["test_loss"])) == (1 / 3, 0.1 + 0.2)
    assert (good["val_accuracy"], good["test_accuracy"], good["val_mae"]) == (repr(1 / 6), "1e-07", "")
    assert (bad["status"], bad["val_loss"], bad["test_loss"], bad["passes"]) == ("diverged", "", "", "4.5")
    assert (other["status"], other["fake_data"], other["passes"]) == ("error", "true", "")
    assert other["error"] == "ValueError: first, line"


def test_rows_can_be_read_back(tmp_path: Path) -> None:
    found = rows(sheet(tmp_path))
    assert [(row["task"], row["label"], row["seed"]) for row in found] == [
        ("digits", "a*b|c_d", "0"), ("digits", "a*b|c_d", "1"), ("diabetes", "adam", "0"),
    ]  # fmt: skip
    assert {row["device_name"] for row in found} == {'a, "b"'}
    assert {row["command"] for row in found} == {PAIRS[0][1]}
    assert "lr=0.1" in found[0]["options"].split(":")
    assert "betas=0.9/0.999" in found[2]["options"].split(":")


def test_no_sections_leave_the_heading() -> None:
    assert sections_to_csv([], []).startswith("task,fake_data,budget,")
    assert rows(sections_to_csv([], [])) == []
