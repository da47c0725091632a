"""What a report says of where its numbers come from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.provenance import provenance
from lehi_cli.analysis.results import Section
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.runs.store import Store

CPU = {"device": "cpu", "device_name": "x86_64", "threads": 1, "lehi": "0.1.0", "torch": "2.11", "numpy": "2.0",
       "python": "3.11.7", "platform": "Linux"}  # fmt: skip
GPU = CPU | {"device": "cuda:0", "device_name": "NVIDIA H100", "threads": 8, "torch": "2.12"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "runs")


def record(store: Store, run: RunSpec, place: Mapping[str, Any], status: str, started: str) -> None:
    recorder = store.claim(run, place)
    assert recorder is not None
    outcome = Outcome(status, 25, 25.0, 0.5, 650, 5200, "init", "order", f"{run.task.name}-sum", {})
    recorder.finish(status, asdict(outcome), {})
    path = store.root / run.run_id / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": started}))


def of(store: Store, sections: Sequence[Section] | None = None, command: Sequence[str] = ("report",)) -> dict[str, str]:
    return dict(provenance(arrange(store, store.runs()) if sections is None else sections, command))


def test_everything_is_said_once(store: Store, tmp_path: Path) -> None:
    first, second = runs_of("adam", seeds=2)
    (third,) = runs_of("adam", task="diabetes", budget=Budget("epochs", 1), fake=True)
    record(store, first, CPU, "ok", "2026-01-02T03:04:05.678+00:00")
    record(store, second, GPU, "ok", "2026-01-03T03:04:05.678+00:00")
    record(store, third, CPU, "diverged", "2026-01-04T00:00:00.001+00:00")
    pairs = provenance(arrange(store, store.runs()), ["report", "--task", "digits", "--optims", "a*b c"])
    assert pairs == [
        ("command", "lehi report --task digits --optims 'a*b c'"),
        ("data", "digits digits-sum; diabetes diabetes-sum FAKE DATA"),
        ("budget", "25 steps; 1 epoch"),
        ("seeds", "0, 1"),
        ("runs", "3: 2 ok, 1 diverged"),
        ("started", "2026-01-02 03:04:05 to 2026-01-04 00:00:00 UTC"),
        ("device", "cpu (x86_64, 1 thread); cuda:0 (NVIDIA H100, 8 threads)"),
        ("lehi", "0.1.0"),
        ("torch", "2.11, 2.12"),
        ("numpy", "2.0"),
        ("python", "3.11.7"),
        ("platform", "Linux"),
    ]
    assert str(tmp_path) not in repr(pairs)


@pytest.mark.parametrize("argument", ["a b", "it's", "$HOME", "--x=*", ""])
def test_the_command_can_be_pasted_into_a_shell(argument: str) -> None:
    said = of(Store(Path("none")), [], ["report", argument])["command"]
    assert shlex.split(said) == ["lehi", "report", argument]


def test_what_is_not_known_is_left_out() -> None:
    assert provenance([], []) == []


def test_a_run_without_an_environment_is_counted(store: Store) -> None:
    (run,) = runs_of("adam")
    record(store, run, {}, "killed", "2026-01-02T03:04:05.678+00:00")
    found = of(store)
    assert found["runs"] == "1: 1 killed"
    assert found["started"] == "2026-01-02 03:04:05 UTC"
    assert not {"device", "torch"} & found.keys()


@pytest.mark.parametrize(
    ("seeds", "said"),
    [([3], "3"), ([7, 2], "2, 7"), (range(5, 30), "5 to 29"),
     ([*range(25), 99], f"{', '.join(map(str, range(20)))}, … (26 in all)")],
)  # fmt: skip
def test_many_seeds_are_said_briefly(store: Store, seeds: Sequence[int], said: str) -> None:
    for run in runs_of("sgd", seeds=100):
        if run.seed in seeds:
            record(store, run, CPU, "ok", "2026-01-02T03:04:05.678+00:00")
    assert of(store)["seeds"] == said
