"""Same plan, same numbers, whatever the executor; and no run is lost, whatever happens to it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cases import Recording, runs_of

from lehi_cli.errors import StoreError, UsageError
from lehi_cli.execute.conduct import Settings, conduct, split
from lehi_cli.execute.environment import pick_device
from lehi_cli.execute.mock import Mock
from lehi_cli.execute.place import Place, cores, deal
from lehi_cli.execute.pool import Pool
from lehi_cli.execute.serial import Serial
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

Python = Callable[..., subprocess.CompletedProcess[str]]
HERE = Place("cpu", Path())
MIXED = [
    *runs_of("lehi,lehibrid,adam,muon", seeds=2),
    *runs_of("lehi,lehibrid,adam,muon", task="markov", budget=Budget("steps", 5)),
]


def numbers(store: Store, runs: Sequence[RunSpec]) -> dict[str, list[dict[str, object]]]:
    """All stored metrics but the times."""
    found = {}
    for run in runs:
        shards = sorted((store.root / run.run_id).glob("*.parquet"))
        rows = [row for shard in shards for row in pq.read_table(shard, partitioning=None).to_pylist()]
        found[run.run_id] = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    return found


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("serial"))
    Serial().run(MIXED, HERE, store, Recording())
    return store


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_a_pool_gives_the_numbers_of_a_serial_run(serial: Store, tmp_path: Path, jobs: int) -> None:
    store, watch = Store(tmp_path), Recording()
    Pool(jobs).run(MIXED, HERE, store, watch)
    assert set(watch.ended().values()) == {("ok", "")}
    assert numbers(store, MIXED) == numbers(serial, MIXED)


def test_a_second_serial_run_gives_the_numbers_of_the_first(serial: Store, tmp_path: Path) -> None:
    store = Store(tmp_path)
    Serial().run(MIXED, HERE, store, Recording())
    assert numbers(store, MIXED) == numbers(serial, MIXED)


def test_runs_are_watched_from_start_to_end(tmp_path: Path) -> None:
    (run,) = runs_of("adam")
    watch = Recording()
    Serial().run([run], HERE, Store(tmp_path), watch)
    kinds = [kind for kind, _, _ in watch.events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"pulse"}


BROKEN = """
import os, signal
import torch
from torch import nn

class Model(nn.Linear):
    def __init__(self, dataset, fail):
        super().__init__(64, 10)
        self.calls, self.fail = 0, fail

    def forward(self, x):
        self.calls += self.training
        if self.calls == 12:
            if self.fail == "raise":
                raise RuntimeError("no more")
            if self.fail == "memory":
                raise torch.OutOfMemoryError("too big")
            if self.fail == "allocate":
                torch.empty(2**55)
            if self.fail == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)

TASK = {
    "name": "broken", "summary": "fails on purpose", "data": {"source": "digits"},
    "model": {"kind": ":Model", "fail": "none"}, "loss": "cross_entropy", "batch_size": 64, "budget": {"steps": 25},
}
"""


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    return str(path)


@pytest.mark.parametrize(("fail", "status"), [("raise", "error"), ("memory", "oom"), ("allocate", "oom")])
@pytest.mark.parametrize("executor", ["serial", "pool"])
def test_a_run_that_fails_is_stored_and_the_others_go_on(
    broken: str, tmp_path: Path, executor: str, fail: str, status: str
) -> None:
    bad = runs_of("adam", task=broken, overrides=[f"model.fail={fail}", "evaluations=2"])
    good = runs_of("sgd", task=broken)
    store, watch = Store(tmp_path / "runs"), Recording()
    conduct([*bad, *good], store, Settings("cpu", executor, jobs=2), watch)
    stored = store.find(bad[0].run_id)
    assert stored is not None
    assert stored.status == status
    assert any(part in stored.error["message"] for part in ("no more", "too big", "allocate"))
    assert "forward" in stored.error["traceback"]
    assert store.metrics(stored).curve("train", "loss")[0]
    assert watch.ended()[good[0].run_id] == ("ok", "")


def test_a_killed_worker_takes_only_its_own_run_with_it(broken: str, tmp_path: Path) -> None:
    bad = runs_of("adam", task=broken, overrides=["model.fail=kill"])
    good = runs_of("sgd,adam", task=broken, seeds=2)
    store, watch = Store(tmp_path / "runs"), Recording()
    Pool(2).run([*bad, *good], HERE, store, watch)
    assert watch.ended()[bad[0].run_id][0] == "killed"
    stored = store.find(bad[0].run_id)
    assert stored is not None
    assert stored.status == "killed"
    assert "SIGKILL" in stored.error["message"]
    assert [watch.ended()[run.run_id] for run in good] == [("ok", "")] * 4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings("cpu", "serial"), cores()),
        (Settings("cpu", "serial", jobs=2), cores()),
        (Settings("cpu", "pool", jobs=2), max(1, cores() // 2)),
        (Settings("cpu", "pool", jobs=2, threads=3), 3),
    ],
)
def test_threads_are_those_asked_for_and_recorded(
    broken: str, tmp_path: Path, settings: Settings, expected: int
) -> None:
    small, large = runs_of("sgd"), runs_of("sgd", task=broken)
    store = Store(tmp_path / "runs")
    conduct([*small, *large], store, settings, Recording())
    assert [run.environment["threads"] for run in stored(store, [*small, *large])] == [1, expected]


def stored(store: Store, runs: Sequence[RunSpec]) -> list[StoredRun]:
    found = [store.find(run.run_id) for run in runs]
    assert None not in found
    return found  # type: ignore[return-value]


def test_gpus_are_dealt_in_turn() -> None:
    assert [deal("cuda", worker, 2) for worker in range(5)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]
    assert deal("cuda", 3, 1) == "cuda"
    assert deal("cuda:1", 0, 4) == "cuda:1"
    assert deal("cpu", 3, 4) == "cpu"


def test_a_worker_has_the_surroundings_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "task.py").write_text(BROKEN.replace("self.fail = 0, fail", "self.fail = 0, os.environ['LEHI_TEST']"))
    runs = runs_of("sgd,adam", task=str(tmp_path / "task.py"))
    for fail, status in (("none", "ok"), ("raise", "error")):
        monkeypatch.setenv("LEHI_TEST", fail)
        store = Store(tmp_path / fail)
        conduct(runs, store, Settings("cpu", "pool", jobs=2), Recording())
        assert [run.status for run in stored(store, runs)] == [status, status]


def test_made_up_results_are_the_same_every_time(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        watch = Recording()
        conduct(MIXED, store, Settings(executor="mock"), watch)
        assert set(watch.ended().values()) == {("ok", "")}
    assert numbers(stores[0], MIXED) == numbers(stores[1], MIXED)
    losses = [rows[-1]["loss"] for rows in numbers(stores[0], MIXED).values()]
    assert len(set(losses)) == len(MIXED)
    assert all(run.is_fake for run in stored(stores[0], MIXED))


def test_made_up_results_are_not_taken_for_trained_ones(tmp_path: Path) -> None:
    runs, store = runs_of("adam"), Store(tmp_path)
    conduct(runs, store, Settings(executor="mock"), Recording())
    assert split(runs, store) == ([], runs)
    assert split(runs, store, mock=True) == (runs, [])
    conduct(runs, store, Settings("cpu"), Recording())
    assert not stored(store, runs)[0].is_mock
    watch = Recording()
    conduct(runs, store, Settings(executor="mock"), watch)
    assert not watch.events
    assert not stored(store, runs)[0].is_mock


def test_a_plan_is_tried_out_without_torch(tmp_path: Path, python: Python) -> None:
    code = """
import sys
from lehi_cli.cli import main
try:
    main(["compare", "--task", "digits,mnist", "--optims", "lehi,adam:lr=1e-4..1e-1/log8", "--seeds", "4",
          "--executor", "mock", "--quiet"])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["False"]
    assert "digits [FAKE DATA]" in done.stdout
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 2 * 9 * 4


def test_finished_runs_are_reused_and_failed_ones_tried_again(broken: str, tmp_path: Path) -> None:
    runs = runs_of("adam,sgd")
    bad = runs_of("adam", task=broken, overrides=["model.fail=raise"])
    store = Store(tmp_path / "runs")
    conduct([*runs, *bad], store, Settings("cpu"), Recording())
    watch = Recording()
    conduct([*runs, *bad], store, Settings("cpu"), watch)
    assert list(watch.ended()) == [bad[0].run_id]
    done, missing = split([*runs, *bad], store)
    assert (len(done), len(missing)) == (2, 1)


def test_fresh_trains_everything_again(tmp_path: Path) -> None:
    runs = runs_of("adam")
    store = Store(tmp_path)
    conduct(runs, store, Settings("cpu"), Recording())
    first = store.find(runs[0].run_id)
    watch = Recording()
    conduct(runs, store, Settings("cpu", fresh=True), watch)
    second = store.find(runs[0].run_id)
    assert first is not None
    assert second is not None
    assert second.started > first.started
    assert watch.ended()[runs[0].run_id] == ("ok", "")


def test_bad_options_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    runs = runs_of("adam", overrides=["model.hidden=0"])
    with pytest.raises(UsageError, match="cannot be built"):
        conduct(runs, Store(tmp_path / "runs"), Settings("cpu"), Recording())
    assert not (tmp_path / "runs").exists()


def test_a_store_that_fails_stops_the_work(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    for executor in (Serial(), Pool(1), Mock()):
        with pytest.raises(StoreError, match="cannot write"):
            executor.run(runs_of("adam"), HERE, Store(tmp_path / "runs"), Recording())


@pytest.mark.parametrize(
    ("name", "message"),
    [("tpu", "unknown|unsupported"), ("cuda:99", "not there"), ("meta", "unsupported"), ("", "unknown")],
)
def test_devices_that_are_not_there_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pick_device(name)
