"""Same plan, same numbers, whatever the executor; and no run is lost, whatever happens to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cases import Recording, runs_of

from lehi_cli.errors import StoreError, UsageError
from lehi_cli.execute.conduct import Settings, conduct, differences, split
from lehi_cli.execute.environment import pick_device
from lehi_cli.execute.place import Place
from lehi_cli.execute.pool import run_pool
from lehi_cli.execute.serial import run_serial
from lehi_cli.specs import Budget, RunSpec
from lehi_cli.store import Store

HERE = Place("cpu", Path())
MIXED = [*runs_of("lehi,lehibrid,adam,muon", seeds=2), *runs_of("lehi,adam", task="markov", budget=Budget("steps", 5))]


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
    run_serial(MIXED, HERE, store, Recording())
    return store


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_a_pool_gives_the_numbers_of_a_serial_run(serial: Store, tmp_path: Path, jobs: int) -> None:
    store, watch = Store(tmp_path), Recording()
    run_pool(MIXED, HERE, store, watch, jobs)
    assert set(watch.ended().values()) == {("ok", "")}
    assert numbers(store, MIXED) == numbers(serial, MIXED)


def test_a_second_serial_run_gives_the_numbers_of_the_first(serial: Store, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_serial(MIXED, HERE, store, Recording())
    assert numbers(store, MIXED) == numbers(serial, MIXED)


def test_runs_are_watched_from_start_to_end(tmp_path: Path) -> None:
    (run,) = runs_of("adam")
    watch = Recording()
    run_serial([run], HERE, Store(tmp_path), watch)
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
    run_pool([*bad, *good], HERE, store, watch, jobs=2)
    assert watch.ended()[bad[0].run_id][0] == "killed"
    stored = store.find(bad[0].run_id)
    assert stored is not None
    assert stored.status == "killed"
    assert "SIGKILL" in stored.error["message"]
    assert [watch.ended()[run.run_id] for run in good] == [("ok", "")] * 4


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
    for execute in (run_serial, lambda *arguments: run_pool(*arguments, 1)):
        with pytest.raises(StoreError, match="cannot write"):
            execute(runs_of("adam"), HERE, Store(tmp_path / "runs"), Recording())


@pytest.mark.parametrize(
    ("name", "message"),
    [("tpu", "unknown|unsupported"), ("cuda:99", "not there"), ("meta", "unsupported"), ("", "unknown")],
)
def test_devices_that_are_not_there_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pick_device(name)


def test_runs_from_different_places_are_pointed_out() -> None:
    same = {"device": "cpu", "threads": 1, "torch": "2.15"}
    assert not differences([same, dict(same), {}])
    (notice,) = differences([same, same | {"torch": "2.11"}])
    assert "torch: 2.11, 2.15" in notice.message
