"""Runs on disk: claimed once, replaced atomically, and read back whatever happened to them."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import runs_of
from conftest import Result

from lehi_cli.errors import StoreError
from lehi_cli.runs.files import write_json
from lehi_cli.runs.liveness import is_abandoned
from lehi_cli.runs.recorder import Recorder
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.shards import COLUMNS
from lehi_cli.runs.specs import RunSpec, format_value
from lehi_cli.runs.store import Store

ROW = {
    "split": "val",
    "epoch": 0.5,
    "step": 3,
    "samples": 96,
    "passes": 5.0,
    "seconds": 0.1,
    "loss": 0.7,
    "lr_now": 0.1,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def run() -> RunSpec:
    return runs_of("adam")[0]


def begin(store: Store, run: RunSpec) -> Recorder:
    recorder = store.claim(run, {"device": "cpu"})
    assert recorder is not None
    return recorder


def test_a_run_is_read_back_as_it_was_written(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    found = store.find(run.run_id)
    assert found is not None
    assert found.status == "running"
    recorder.add(ROW, {"accuracy": 0.9})
    recorder.flush()
    recorder.add({**ROW, "split": "train", "step": 6, "loss": math.nan}, {})
    recorder.finish("ok", {"steps": 6}, {})
    found = store.find(run.run_id)
    assert found is not None
    assert (found.status, found.task, found.label, found.seed) == ("ok", "digits", "adam", 0)
    assert found.options["lr"] == 1e-3
    assert found.outcome == {"steps": 6}
    assert found.budget == "25 steps"
    metrics = store.metrics(found)
    assert metrics.curve("val", "accuracy") == ([3], [0.9])
    assert metrics.names() == ["accuracy"]
    at, losses = metrics.curve("train", "loss")
    assert at == [6]
    assert math.isnan(losses[0])
    assert metrics.curve("val", "nothing") == ([], [])
    assert not store.notices


def rows_of(run: RunSpec) -> dict[str, list[object]]:
    """Columns of a run with every kind of gap: a metric in some rows, one in later shards, NaN, rows of two splits."""
    rows = [
        {
            **ROW,
            "split": "train" if i % 3 else "val",
            "step": i,
            "passes": 1.5 * i,
            "loss": math.nan if i == 4 else 0.1 * i,
        }
        for i in range(20)
    ]
    metrics: list[dict[str, float]] = [
        {"accuracy": 0.5 + i / 100} if i % 3 == 0 else {"rank": float(i)} if i > 9 else {} for i in range(20)
    ]
    named = dict.fromkeys(name for row, more in zip(rows, metrics, strict=True) for name in (*row, *more))
    columns = {name: [{**row, **more}.get(name) for row, more in zip(rows, metrics, strict=True)] for name in named}
    return columns | {"label": [run.label] * 20, "seed": [run.seed] * 20}


@pytest.mark.parametrize("rows_per_shard", [1, 7, 10, 20])
def test_a_run_is_read_alike_however_it_was_cut_into_shards(store: Store, run: RunSpec, rows_per_shard: int) -> None:
    columns = rows_of(run)
    recorder = begin(store, run)
    for i in range(20):
        row = {name: columns[name][i] for name in ROW}
        recorder.add(row, {name: columns[name][i] for name in ("accuracy", "rank") if columns[name][i] is not None})  # type: ignore[misc]
        if i % rows_per_shard == rows_per_shard - 1:
            recorder.flush()
    recorder.finish("ok", {}, {})
    found = store.find(run.run_id)
    assert found is not None
    asked = [
        (split, name, x) for split in ("train", "val", "test") for name in columns for x in ("step", "passes", "epoch")
    ]
    for split, name, x in asked:
        rows = [i for i in range(20) if columns["split"][i] == split and columns[name][i] is not None]
        expected = ([columns[x][i] for i in rows], [columns[name][i] for i in rows])
        # A run anew for each question: what was read with the run and what is fetched later answer alike.
        for metrics in (store.metrics(found), RunMetrics(columns)):
            assert repr(metrics.curve(split, name, x)) == repr(expected), (split, name, x)
    assert sorted(store.metrics(found).names()) == ["accuracy", "rank"]
    assert not store.notices


def test_a_column_read_later_is_never_joined_to_another_attempt(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    for step in (1, 2, 3):
        recorder.add({**ROW, "step": step}, {"rank": 1.0})
    recorder.finish("error", {}, {})
    found = store.find(run.run_id)
    assert found is not None
    metrics = store.metrics(found)
    assert metrics.curve("val", "loss")[0] == [1, 2, 3]
    again = begin(store, run)
    again.add({**ROW, "step": 9}, {"rank": 2.0})
    again.finish("ok", {}, {})
    assert metrics.curve("val", "rank") == ([9], [2.0])
    assert metrics.curve("val", "loss")[0] == [9]
    store.discard(run.run_id)
    fresh = store.metrics(found)
    assert fresh.names() == []
    assert fresh.curve("val", "loss") == ([], [])


def test_a_run_that_ended_is_parsed_once_and_again_when_it_changes(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    first = store.find(run.run_id)
    assert first is not None
    assert first.status == "running"
    recorder.finish("error", {}, {"type": "E", "message": "m"})
    ended = store.find(run.run_id)
    assert ended is not None
    assert ended.status == "error"
    assert store.find(run.run_id) is ended
    assert store.runs()[0] is ended
    other = Store(store.root)  # another process
    begin(other, run).finish("ok", {"steps": 1}, {})
    found = store.find(run.run_id)
    assert found is not None
    assert (found.status, found.outcome) == ("ok", {"steps": 1})
    other.discard(run.run_id)
    assert store.find(run.run_id) is None
    assert store.runs() == []


def test_an_id_is_computed_once_and_does_not_travel(run: RunSpec) -> None:
    assert run.run_id == run.run_id
    sent = pickle.loads(pickle.dumps(run))
    assert "run_id" not in vars(sent)
    assert sent == run
    assert sent.run_id == run.run_id


def test_shards_are_wide_typed_and_dictionary_encoded(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    recorder.add(ROW, {"accuracy": 0.9})
    recorder.finish("ok", {}, {})
    (shard,) = (store.root / run.run_id).glob("metrics-*.parquet")
    table = pq.read_table(shard, partitioning=None)
    assert table.column_names == [*COLUMNS, "accuracy"]
    assert str(table.schema.field("label").type).startswith("dictionary")
    assert table.schema.field("step").type == "int64"
    (row,) = table.to_pylist()
    assert row["run_id"] == run.run_id
    assert row["budget"] == "25 steps"
    assert row["options"] == ":".join(
        f"{key}={format_value(run.optimizer.options[key])}" for key in sorted(run.optimizer.options)
    )
    assert "betas=0.9/0.999" in row["options"]


def test_shards_without_options_and_budget_are_read(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    for step in (1, 2):
        recorder.add({**ROW, "step": step}, {"accuracy": 0.9})
        recorder.flush()
    recorder.finish("ok", {}, {})
    path = store.root / run.run_id / "metrics-0000.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["options", "budget"]), path)
    found = store.find(run.run_id)
    assert found is not None
    metrics = store.metrics(found)
    assert metrics.curve("val", "loss") == ([1, 2], [0.7, 0.7])
    assert metrics.curve("val", "lr_now") == ([1, 2], [0.1, 0.1])  # of columns that are read when asked for
    assert metrics.names() == ["accuracy"]
    assert not store.notices


def test_settings_and_budgets_are_told_apart_in_sql(lehi: Callable[..., Result]) -> None:
    for steps in ("5", "10"):
        lehi("compare", "--task", "digits", "--optims", "lehi:lr=1e-3,lehi:lr=1e-2", "--seeds", "2", "--steps", steps)
    query = """
        SELECT optimizer, options, budget, count(DISTINCT seed) AS seeds, avg(loss) AS test_loss, avg(passes) AS passes
        FROM read_parquet('runs/*/metrics-*.parquet', union_by_name = true)
        WHERE task = 'digits' AND data = 'real' AND split = 'test'
        GROUP BY ALL
        ORDER BY budget, test_loss
    """
    rows = duckdb.sql(query).fetchall()
    assert sorted((row[2], re.search(":lr=([^:]*)", row[1])[1], row[3]) for row in rows) == [
        (budget, lr, 2) for budget in ("10 steps", "5 steps") for lr in ("0.001", "0.01")
    ]


def test_nothing_but_whole_files_is_left(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    recorder.add(ROW, {})
    recorder.finish("ok", {}, {})
    names = sorted(path.name for path in (store.root / run.run_id).iterdir())
    assert names == ["metrics-0000.parquet", "run.json"]
    with pytest.raises(TypeError):
        write_json(store.root / "other.json", {"bad": object()})
    assert not list(store.root.glob("*other*"))


def test_what_is_done_or_under_way_is_not_claimed_again(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    assert store.claim(run, {}) is None
    recorder.finish("ok", {}, {})
    assert store.claim(run, {}) is None


@pytest.mark.parametrize("status", ["error", "interrupted", "killed", "oom", "timeout"])
def test_what_failed_starts_afresh(store: Store, run: RunSpec, status: str) -> None:
    recorder = begin(store, run)
    recorder.add(ROW, {})
    recorder.finish(status, {}, {"type": "E", "message": "m"})
    begin(store, run)
    assert [path.name for path in (store.root / run.run_id).iterdir()] == ["run.json"]
    assert not list(store.root.glob(".retired-*"))


def test_a_run_whose_process_died_was_killed(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    recorder.state["owner"]["pid"] = gone.pid
    write_json(store.root / run.run_id / "run.json", recorder.state)
    found = store.find(run.run_id)
    assert found is not None
    assert found.status == "killed"
    begin(store, run)


def test_a_run_on_another_host_is_left_alone_while_it_shows_life(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    recorder.state["owner"] = {"host": "elsewhere", "pid": 1}
    path = store.root / run.run_id / "run.json"
    write_json(path, recorder.state)
    assert not is_abandoned(path.parent)
    os.utime(path, (0, 0))
    assert is_abandoned(path.parent)


CLAIM = """
import sys
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.runs.specs import Budget, parse_optimizers
from lehi_cli.runs.store import Store
from pathlib import Path

(run,) = plan(Request(["digits"], parse_optimizers("adam"), [0], budget=Budget("steps", 25)))
print("ready", flush=True)
sys.stdin.readline()
print(Store(Path("runs")).claim(run, {}) is not None, flush=True)
sys.stdin.readline()  # an owner that left would leave the run to be taken over
"""


def test_of_many_processes_one_gets_the_run(store: Store, run: RunSpec, tmp_path: Path) -> None:
    begin(store, run).finish("error", {}, {})
    pipe = subprocess.PIPE
    claimants = [
        subprocess.Popen([sys.executable, "-c", CLAIM], cwd=tmp_path, stdin=pipe, stdout=pipe, text=True)
        for _ in range(6)
    ]

    def tell_all() -> list[str]:
        for claimant in claimants:
            assert claimant.stdin is not None
            claimant.stdin.write("\n")
            claimant.stdin.flush()
        return heard()

    def heard() -> list[str]:
        return [claimant.stdout.readline().strip() for claimant in claimants if claimant.stdout is not None]

    assert heard() == ["ready"] * 6
    assert sorted(tell_all()) == ["False"] * 5 + ["True"]
    for claimant in claimants:
        claimant.communicate()


DAMAGE: dict[str, bytes | dict[str, object]] = {
    "empty": b"",
    "cut": b'{"schema": 1, "run_id": "x", ',
    "not an object": b"[1, 2]",
    "keys missing": b"{}",
    "no text": b"\xff\xfe\x00",
    "unknown status": {"status": "fine"},
    "another schema": {"schema": 2},
    "no time": {"started": "yesterday"},
    "an outcome that is none": {"outcome": "ok"},
    "passes without a number": {"outcome": {"steps": 1, "passes": None}},
    "a checksum that is none": {"outcome": {"data_checksum": 7}},
}


SPEC_DAMAGE: dict[str, tuple[str, str, object]] = {
    "no list of metrics": ("task", "metrics", None),
    "metrics without a name": ("task", "metrics", [1]),
    "data that is none": ("task", "data", "digits"),
    "two budgets": ("task", "budget", {"steps": 1, "epochs": 1}),
    "a budget without a kind": ("task", "budget", 5),
    "options that are none": ("optimizer", "options", []),
}


@pytest.mark.parametrize("kind", SPEC_DAMAGE)
def test_a_spec_that_no_report_can_read_is_named_and_skipped(store: Store, run: RunSpec, kind: str) -> None:
    begin(store, run).finish("ok", {}, {})
    path = store.root / run.run_id / "run.json"
    part, name, value = SPEC_DAMAGE[kind]
    content = json.loads(path.read_text())
    content["spec"][part][name] = value
    path.write_text(json.dumps(content))
    assert not store.runs()
    (notice,) = store.notices
    assert "damaged" in notice.message


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_json_is_named_and_skipped(store: Store, kind: str) -> None:
    bad, good = runs_of("adam,sgd")
    for run in (bad, good):
        begin(store, run).finish("ok", {}, {})
    path = store.root / bad.run_id / "run.json"
    damage = DAMAGE[kind]
    content = json.dumps(json.loads(path.read_text()) | damage).encode() if isinstance(damage, dict) else damage
    path.write_bytes(content)
    assert [run.run_id for run in store.runs()] == [good.run_id]
    (notice,) = store.notices
    assert bad.run_id in notice.message
    assert "damaged" in notice.message


def test_a_damaged_shard_is_named_and_the_rest_read(store: Store, run: RunSpec) -> None:
    recorder = begin(store, run)
    for step in (1, 2):
        recorder.add({**ROW, "step": step}, {})
        recorder.flush()
    recorder.finish("ok", {}, {})
    (store.root / run.run_id / "metrics-0000.parquet").write_bytes(b"PAR1 and then nothing")
    found = store.find(run.run_id)
    assert found is not None
    assert store.metrics(found).curve("val", "loss") == ([2], [0.7])
    assert "metrics-0000.parquet: damaged" in store.notices[0].message


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda table: table.drop_columns("passes"), "no column passes"),
        (lambda table: table.set_column(table.column_names.index("loss"), "loss", [["a"]]), "loss is no number"),
    ],
)
def test_a_shard_without_what_reports_need_is_damaged(
    store: Store, run: RunSpec, damage: Callable[[pa.Table], pa.Table], said: str
) -> None:
    recorder = begin(store, run)
    recorder.add(ROW, {})
    recorder.finish("ok", {}, {})
    path = store.root / run.run_id / "metrics-0000.parquet"
    pq.write_table(damage(pq.read_table(path)), path)
    found = store.find(run.run_id)
    assert found is not None
    assert store.metrics(found).curve("val", "loss") == ([], [])
    assert said in store.notices[0].message


def test_folders_that_are_no_runs_do_not_disturb(store: Store, run: RunSpec) -> None:
    begin(store, run).finish("ok", {}, {})
    (store.root / "notes").mkdir()
    (store.root / ".hidden").mkdir()
    (store.root / "file.txt").write_text("x")
    assert len(store.runs()) == 1
    os.utime(store.root / "notes", (0, 0))
    store.runs()
    assert "notes" in store.notices[0].message


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot write runs"):
        Store(tmp_path / "file" / "runs").prepare()
    with pytest.raises(StoreError, match="no runs in"):
        Store(tmp_path / "nowhere").runs()


NO_ROOM = """
import resource, signal, sys
from lehi_cli.cli import main

# Files of this process cannot grow, as on a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
main(["compare", "--task", "digits", "--smoke"])
"""


def test_a_full_disk_is_refused_before_anything_is_written(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = python("-c", NO_ROOM)
    assert done.returncode == 2
    assert "cannot write runs" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_discarding_spares_what_is_under_way(store: Store) -> None:
    done, running = runs_of("adam,sgd")
    begin(store, done).finish("ok", {}, {})
    begin(store, running)
    for run in (done, running):
        store.discard(run.run_id)
    assert store.find(done.run_id) is None
    assert store.find(running.run_id) is not None


def test_killed_is_recorded_even_before_the_run_could_write(store: Store, run: RunSpec) -> None:
    store.prepare()
    store.mark_killed(run, "SIGKILL")
    found = store.find(run.run_id)
    assert found is not None
    assert (found.status, found.error["message"]) == ("killed", "SIGKILL")


def travelled(folder: Path, run: RunSpec, status: str = "ok") -> dict[str, bytes]:
    """A run's record as another machine would send it."""
    recorder = begin(Store(folder), run)
    recorder.add(ROW, {"accuracy": 0.9})
    recorder.finish(status, {"steps": 3}, {})
    return {path.name: path.read_bytes() for path in (folder / run.run_id).iterdir()}


def test_a_record_from_elsewhere_is_taken_over(store: Store, run: RunSpec, tmp_path: Path) -> None:
    recorder = begin(store, run)
    recorder.receive(travelled(tmp_path / "elsewhere", run), {"retries": 1})
    found = store.find(run.run_id)
    assert found is not None
    assert (found.status, found.outcome, found.environment) == ("ok", {"steps": 3}, {"device": "cpu", "retries": 1})
    assert store.metrics(found).curve("val", "accuracy") == ([3], [0.9])
    assert store.claim(run, {}) is None


def test_a_record_of_another_run_is_refused(store: Store, run: RunSpec, tmp_path: Path) -> None:
    recorder = begin(store, run)
    with pytest.raises(StoreError, match="came back as run"):
        recorder.receive(travelled(tmp_path / "elsewhere", runs_of("sgd")[0]), {})
    with pytest.raises(StoreError, match="running"):
        recorder.receive({"run.json": (store.root / run.run_id / "run.json").read_bytes()}, {})


def test_made_up_results_are_marked(store: Store, run: RunSpec) -> None:
    recorder = store.claim(run, {"mock": True})
    assert recorder is not None
    recorder.add(ROW, {})
    recorder.finish("ok", {}, {})
    found = store.find(run.run_id)
    assert found is not None
    assert found.is_mock
    assert found.is_fake
    (shard,) = found.folder.glob("metrics-*.parquet")
    assert pq.read_table(shard, partitioning=None).to_pylist()[0]["data"] == "fake"


def test_what_an_earlier_version_marked_as_looked_at_is_read(store: Store, run: RunSpec) -> None:
    recorder = store.claim(run, {})
    assert recorder is not None
    recorder.finish("ok", {"steps": 25}, {})
    path = store.root / run.run_id / "run.json"
    assert not Store(store.root).runs()[0].adaptive
    path.write_text(json.dumps({**json.loads(path.read_text()), "seeds": "auto"}))
    assert Store(store.root).runs()[0].adaptive
