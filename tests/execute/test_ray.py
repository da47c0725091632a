"""Runs on a Ray cluster: what travels, what comes back, what is lost and found again, and what is refused."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cases import Recording, runs_of
from interrupted import interrupted

from lehi_cli.errors import DataError, UsageError
from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.execute.payload import execute_payload, pack, sources_of, unpack
from lehi_cli.execute.place import Place
from lehi_cli.execute.ray_cluster import Node, Share, device_of, find_cluster, share
from lehi_cli.registry import optimizers
from lehi_cli.registry.code import code_hash
from lehi_cli.registry.plugins import load_file
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store

Python = Callable[..., subprocess.CompletedProcess[str]]
TESTS = Path(__file__).parents[1]
HERE = Place("cpu", Path(), 1)

TASK = """
from torch import nn

class Model(nn.Linear):
    def __init__(self, dataset):
        super().__init__(64, 10)

TASK = {
    "name": "mine", "summary": "s", "data": {"source": "digits"}, "model": {"kind": ":Model"},
    "loss": "cross_entropy", "batch_size": 64, "budget": {"steps": 25},
}
"""
OPTIMIZER = """
from lehi_cli.registry.optimizers import Option, OptimizerRecord
from torch.optim import SGD

class Signed(SGD):
    pass

OPTIMIZERS = [OptimizerRecord("signed", "for tests", ":Signed", (Option("lr", 0.1, "rate"),), passes="1")]
"""


def own(tmp_path: Path) -> RunSpec:
    """A run of a task and an optimizer that are files here, and gone by the time it is carried out."""
    (tmp_path / "task.py").write_bytes(TASK.replace("\n", "\r\n").encode())
    (tmp_path / "optimizer.py").write_text(OPTIMIZER)
    (run,) = runs_of(str(tmp_path / "optimizer.py"), task=str(tmp_path / "task.py"))
    return run


def test_files_named_by_a_path_travel_with_the_run(tmp_path: Path) -> None:
    run = own(tmp_path)
    payload = pickle.loads(pickle.dumps(pack(run, HERE)))
    assert set(payload.sources) == {str(tmp_path / "task.py"), str(tmp_path / "optimizer.py")}
    for path in payload.sources:
        Path(path).unlink()
    load_file.cache_clear()
    there = unpack(payload)
    assert there.run_id == run.run_id
    assert there.task.origin != run.task.origin
    assert unpack(payload) == there
    report = execute_payload(payload)
    assert (report.status, report.message) == ("ok", "")
    assert json.loads(report.files["run.json"])["run_id"] == run.run_id
    assert "metrics-0000.parquet" in report.files


def test_what_a_file_imports_from_its_folder_travels_too(tmp_path: Path) -> None:
    run = own(tmp_path)
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    (tmp_path / "never.py").write_text("")
    text = (tmp_path / "task.py").read_text()
    (tmp_path / "task.py").write_text(f"{text}\ndef wide():\n    from beside import WIDTH\n    return WIDTH\n")
    payload = pack(run, HERE)
    assert {Path(path).name for path in payload.sources} == {"task.py", "optimizer.py", "beside.py"}
    there = Path(unpack(payload).task.origin)
    assert (there.parent / "beside.py").read_text() == "WIDTH = 3\n"
    assert code_hash(":wide", str(there)) == code_hash(":wide", str(tmp_path / "task.py"))


def test_what_is_built_in_stays_where_it_is() -> None:
    (run,) = runs_of("lehi")
    assert sources_of(run) == {}
    assert unpack(pack(run, HERE)) == run


def test_a_node_with_other_code_refuses_the_run() -> None:
    (run,) = runs_of("lehi")
    for other, message in (
        (replace(run, optimizer_code="0"), "has other code for lehi"),
        (replace(run, task=replace(run.task, code={**run.task.code, "lehi_cli.models.mlp:mlp": "0"})), "mlp:mlp"),
    ):
        with pytest.raises(UsageError, match=message):
            execute_payload(pack(other, HERE))
    with pytest.raises(UsageError, match=r"not 9\.9"):
        execute_payload(replace(pack(run, HERE), version="9.9"))
    with pytest.raises(UsageError, match="has lehi"):
        execute_payload(replace(pack(run, HERE), run_id="0"))


def test_a_node_without_the_plugin_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = runs_of("adam")
    unknown = replace(run, optimizer=replace(run.optimizer, name="adan_of_a_plugin"))
    with pytest.raises(UsageError, match=r"on the Ray node .*: unknown optimizer"):
        execute_payload(pack(unknown, HERE))
    optimizers.load.cache_clear()


def test_a_node_without_the_data_says_so(tmp_path: Path) -> None:
    (run,) = runs_of("adam", task="mnist")
    with pytest.raises(DataError, match=r"on the Ray node .*, which has no .*nothing") as caught:
        execute_payload(pack(run, Place("cpu", tmp_path / "nothing", 1)))
    assert "every node needs the data" in caught.value.hint


NODES = (Node(8, 4), Node(16, 2), Node(2))
SHARES = [
    # threads of the task, of the place, device, jobs, expected
    (1, None, "cpu", 1, Share(1, 1, 0.0)),
    (None, None, "cpu", 1, Share(2, 2, 0.0)),
    (None, None, "cpu", 2, Share(1, 1, 0.0)),
    (None, None, "cpu", 99, Share(1, 1, 0.0)),
    (None, 4, "cpu", 1, Share(4, 4, 0.0)),
    (None, 99, "cpu", 1, Share(99, 16, 0.0)),
    (1, None, "cuda", 1, Share(1, 1, 1.0)),
    (1, None, "cuda", 8, Share(1, 1, 0.5)),
]


@pytest.mark.parametrize(("task", "place", "device", "jobs", "expected"), SHARES)
def test_a_run_gets_its_share_of_a_node(
    task: int | None, place: int | None, device: str, jobs: int, expected: Share
) -> None:
    (run,) = runs_of("adam")
    run = replace(run, task=replace(run.task, threads=task))
    assert share(run, Place(device, Path(), place), NODES, jobs) == expected


def test_the_device_is_the_same_on_every_node() -> None:
    assert device_of("auto", NODES) == "cuda"
    assert device_of("auto", [Node(2)]) == "cpu"
    assert device_of("cpu", NODES) == "cpu"
    with pytest.raises(UsageError, match="no node"):
        device_of("cuda", [Node(2)])
    with pytest.raises(UsageError, match="names one GPU"):
        device_of("cuda:1", NODES)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        conduct(runs_of("adam"), Store(tmp_path / "runs"), Settings("cpu", "ray"), Recording())
    assert caught.value.hint == "pip install 'lehi[ray]'"
    assert not (tmp_path / "runs").exists()


COMMAND = ("-m", "lehi_cli", "compare", "--task", "digits", "--smoke")


def test_nobody_at_the_address_is_said_at_once(python: Python, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
    for given, message in (
        (address, "no Ray cluster answers"),
        ("here", "is not host:port"),
        ("ray://1:2", "is not host:port"),
    ):
        done = python(*COMMAND, "--ray-address", given)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_something_else_at_the_address_is_not_taken_for_ray(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: Python
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = python(*COMMAND, "--ray-address", f"127.0.0.1:{silent.getsockname()[1]}")
    assert done.returncode == 2
    assert "no Ray cluster answers" in done.stderr


def test_a_cluster_that_is_gone_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert find_cluster() == "local"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gone = f"127.0.0.1:{silent.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(gone)
    assert find_cluster() == "local"
    monkeypatch.setenv("RAY_ADDRESS", gone)
    with pytest.raises(UsageError, match="no Ray cluster answers"):
        find_cluster()


def test_an_address_is_for_ray(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ray-address is for --executor ray"):
        conduct(runs_of("adam"), Store(tmp_path), Settings("cpu", "pool", ray_address="auto"), Recording())


CLUSTER = """
import subprocess
from pathlib import Path

from cases import Recording, runs_of
from ray.cluster_utils import Cluster

from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.runs.specs import Budget
from lehi_cli.runs.store import Store

{body}
"""


def on_two_nodes(python: Python, body: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a cluster of its own: two nodes of one core each."""
    start = """
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
settings = Settings("cpu", ray_address=cluster.address)
"""
    surroundings = {"PYTHONPATH": str(TESTS), "RAY_USAGE_STATS_ENABLED": "0"}
    done = python("-c", CLUSTER.format(body=start + body), **surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_ray_gives_the_numbers_of_a_serial_run(python: Python, tmp_path: Path) -> None:
    body = """
runs = [
    *runs_of("lehi,lehibrid,adam,muon", seeds=2),
    *runs_of("lehi,lehibrid,adam,muon", task="markov", budget=Budget("steps", 5)),
]
conduct(runs, Store(Path("serial")), Settings("cpu"), Recording())
watch = Recording()
conduct(runs, Store(Path("ray")), settings, watch)
assert set(watch.ended().values()) == {("ok", "")}, watch.ended()
"""
    on_two_nodes(python, body)
    folders = sorted(path for path in (tmp_path / "serial").iterdir() if not path.name.startswith("."))
    assert len(folders) == 12
    for folder in folders:
        assert rows(folder) == rows(tmp_path / "ray" / folder.name)


def rows(folder: Path) -> list[dict[str, Any]]:
    """What a run logged, without times; how long a run takes decides how many shards hold it."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.glob("*.parquet"))]
    return [row for table in tables for row in table.drop_columns(["seconds"]).to_pylist()]


FALL = """
import os, sys, time
from pathlib import Path

HERE = Path({folder!r})

def wait_for(condition):
    while not condition():
        time.sleep(0.05)

def at_work():
    if not sys.argv[0].endswith("default_worker.py"):
        return  # built beforehand, to see whether it can be
    import ray
    node = ray.get_runtime_context().get_node_id()
    (HERE / f"at-{{node}}").touch()
    wait_for(lambda: len(list(HERE.glob("at-*"))) == 2)
    if (HERE / "doomed").exists():
        if (HERE / "doomed").read_text() == node:
            (HERE / "fallen").touch()
            # A machine that is lost takes its workers with it.
            os.kill(os.getppid(), 9)
            os.kill(os.getpid(), 9)
        wait_for((HERE / "fallen").exists)  # so that there is nobody else to take the run
"""


@pytest.mark.slow
def test_runs_of_a_lost_node_are_retried_elsewhere(python: Python, tmp_path: Path) -> None:
    task = TASK.replace("super().__init__(64, 10)", "super().__init__(64, 10)\n        at_work()")
    (tmp_path / "falling.py").write_text(FALL.format(folder=str(tmp_path)) + task)
    body = """
store = Store(Path("runs"))

class Dooming(Recording):
    lost = False

    def finished(self, run, status, message):
        super().finished(run, status, message)
        on_second = store.find(run.run_id).environment["node"].endswith(second.node_id[:8])
        if len(self.ended()) >= 8 and on_second and not self.lost:
            self.lost = True
            Path("doomed.part").write_text(second.node_id)
            Path("doomed.part").rename("doomed")

    def retried(self, run, message):
        print("RETRIED", run.run_id, message)

watch = Dooming()
conduct(runs_of("adam,lehi", seeds=12, task="falling.py"), store, settings, watch)
assert set(watch.ended().values()) == {("ok", "")}, watch.ended()
assert watch.lost
"""
    done = on_two_nodes(python, body)
    states = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    assert len(states) == 24
    assert {state["status"] for state in states} == {"ok"}
    assert len({state["environment"]["node"] for state in states}) == 2
    retried = {state["run_id"] for state in states if state["environment"]["retries"]}
    said = [line.split() for line in done.stdout.splitlines() if line.startswith("RETRIED")]
    assert retried
    assert {words[1] for words in said} == retried
    assert "Raylet" not in done.stdout + done.stderr


@pytest.mark.slow
def test_what_kills_every_worker_is_killed(python: Python, tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(
        TASK.replace('"mine"', '"deadly"').replace(
            "super().__init__(64, 10)",
            'super().__init__(64, 10)\n        import os, sys; "ray" in sys.modules and os.kill(os.getpid(), 9)',
        )
    )
    body = """
Recording.retried = lambda self, run, message: print("RETRIED", message)
runs = [*runs_of("adam", task="deadly.py"), *runs_of("adam,lehi", seeds=2)]
# What is built first to see whether it can be must live.
import lehi_cli.execute.preflight as preflight
preflight.preflight = lambda *_: None
watch, store = Recording(), Store(Path("runs"))
conduct(runs, store, settings, watch)
statuses = [store.find(run.run_id).status for run in runs]
assert statuses == ["killed", "ok", "ok", "ok", "ok"], statuses
dead = store.find(runs[0].run_id)
assert dead.environment["retries"] == 2
assert "3 times" in dead.error["message"], dead.error
"""
    assert on_two_nodes(python, body).stdout.count("RETRIED") == 2


@pytest.mark.slow
def test_an_interrupt_stores_what_ran_on_the_cluster(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    stop = f"""
        super().__init__(64, 10)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 12:
            import time; open({str(fifo)!r}, 'w').close()
            while True:
                time.sleep(0.05)  # Ray's interrupt is not a signal: it waits for Python to come round
        return super().forward(x)
"""
    (tmp_path / "mine.py").write_text(TASK.replace("\n        super().__init__(64, 10)\n", stop))
    command = ["compare", "--task", "mine.py", "--optims", "sgd,adam", "--seeds", "4", "--executor", "ray"]
    done = interrupted(command, tmp_path, fifo)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stdout
    assert "Traceback" not in done.stderr
    folders = [path.parent for path in (tmp_path / "runs").glob("*/run.json")]
    assert {json.loads((folder / "run.json").read_text())["status"] for folder in folders} == {"interrupted"}
    assert any(folder.glob("metrics-*.parquet") for folder in folders)
