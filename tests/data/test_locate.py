"""Where `data.path` is looked for, and that what is trained on is what the run was planned with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from cases import Recording, runs_of
from conftest import Result
from PIL import Image

from lehi_cli.data import catalog
from lehi_cli.data.locate import at_hand
from lehi_cli.errors import DataError
from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.execute.payload import execute_payload, pack
from lehi_cli.execute.place import Place
from lehi_cli.runs.store import Store

Lehi = Callable[..., Result]

TASK = """
name: mine
summary: a table beside its task
data: {source: csv, path: PATH, target: y}
model: {kind: linear}
loss: mse
metrics: [mae]
batch_size: 8
budget: {epochs: 2}
evaluations: 2
threads: 1
"""


def table(path: Path, seed: int = 0) -> Path:
    """A table of 30 rows."""
    values = np.random.RandomState(seed).standard_normal((30, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["x,y", *(f"{x},{y}" for x, y in values), ""]))
    return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The folder of a task, the working folder and the data folder, with a task that names the table `t/a.csv`."""
    made = {name: tmp_path / name for name in ("task", "working", "data")}
    for folder in made.values():
        folder.mkdir()
    (made["task"] / "mine.yaml").write_text(TASK.replace("PATH", "t/a.csv"))
    monkeypatch.chdir(made["working"])
    monkeypatch.setenv("LEHI_DATA", str(made["data"]))
    return made


def compare(lehi: Lehi, *more: str, task: str = "../task/mine.yaml") -> Result:
    return lehi("compare", "--task", task, "--optims", "adam,sgd", "--seeds", "1", *more)


def specs(folder: Path) -> dict[str, dict[str, object]]:
    """The data of the runs in a store, by id."""
    found = [json.loads(path.read_text()) for path in folder.glob("*/run.json")]
    assert {run["status"] for run in found} <= {"ok"}, found
    return {run["run_id"]: run["spec"]["task"]["data"] for run in found}


@pytest.mark.parametrize("where", ["task", "working", "data"])
def test_a_table_is_found_in_each_place_and_is_the_same_run(lehi: Lehi, folders: dict[str, Path], where: str) -> None:
    table(folders[where] / "t/a.csv")
    assert compare(lehi).code == 0
    known = specs(Path("runs"))
    assert len(known) == 2
    assert {data["path"] for data in known.values()} == {"t/a.csv"}
    for other in ("working", "data", "task"):  # copies of the same bytes
        table(folders[other] / "t/a.csv")
        assert "(0 new, 2 reused)" in compare(lehi).err
    (folders[where] / "t/a.csv").unlink()
    assert "(0 new, 2 reused)" in compare(lehi).err


def test_copies_that_differ_are_named(lehi: Lehi, folders: dict[str, Path]) -> None:
    first, second = table(folders["task"] / "t/a.csv"), table(folders["data"] / "t/a.csv", seed=1)
    result = compare(lehi)
    assert result.code == 2
    assert "is in 2 places, and what is there differs" in result.err
    assert str(first) in result.err
    assert str(second) in result.err
    assert not Path("runs").exists()
    assert compare(lehi, "--set", f"data.path={second}").code == 0


def test_one_file_by_two_ways_is_one_place(lehi: Lehi, folders: dict[str, Path]) -> None:
    table(folders["data"] / "t/a.csv")
    (folders["working"] / "t").symlink_to(folders["data"] / "t")
    assert compare(lehi, "--data-dir", str(folders["working"])).code == 0


def test_what_is_nowhere_is_said_with_every_place(lehi: Lehi, folders: dict[str, Path]) -> None:
    result = compare(lehi)
    assert result.code == 2
    for folder in folders.values():
        assert str(folder / "t/a.csv") in result.err
    assert "--fake-data" in result.err
    built_in = compare(lehi, task="csv")
    assert f"looked for {folders['working']}/table.csv, {folders['data']}/table.csv" in built_in.err
    assert compare(lehi, "--fake-data").code == 0


def test_a_smoke_run_does_without_what_is_nowhere(lehi: Lehi, folders: dict[str, Path]) -> None:
    result = lehi("train", "--task", str(folders["task"] / "mine.yaml"), "--optim", "adam", "--smoke")
    assert result.code == 0
    assert "(the smoke run uses fake data instead)" in result.err
    assert "1 run in runs (1 new, 0 reused)\n" in result.err  # and none of it before, with the real data


@pytest.mark.parametrize("option", ["--quiet", "--dry-run"])
def test_a_smoke_run_refuses_copies_that_differ(lehi: Lehi, folders: dict[str, Path], option: str) -> None:
    table(folders["task"] / "t" / "a.csv")
    table(folders["data"] / "t" / "a.csv", seed=1)
    result = lehi("train", "--task", str(folders["task"] / "mine.yaml"), "--optim", "adam", "--smoke", option)
    assert (result.code, result.out) == (2, "")
    assert "error: task 'mine': data.path 't/a.csv' is in 2 places, and what is there differs" in result.err
    assert "fake" not in result.err


def test_a_smoke_run_refuses_a_table_that_is_no_table(lehi: Lehi, folders: dict[str, Path]) -> None:
    place = table(folders["working"] / "t" / "a.csv")
    place.write_text(place.read_text() + "1\n")
    result = lehi("train", "--task", str(folders["task"] / "mine.yaml"), "--optim", "adam", "--smoke")
    assert result.code == 2
    assert "is not a table" in result.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(("task", "name"), [("shakespeare", "shakespeare"), ("smnist", "mnist")])
def test_a_smoke_run_refuses_a_damaged_data_set(lehi: Lehi, folders: dict[str, Path], task: str, name: str) -> None:
    smoke = ("train", "--task", task, "--optim", "adam", "--smoke")
    for file in catalog.find(name).files:
        place = folders["data"] / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("something else")
    result = lehi(*smoke)
    assert result.code == 2
    assert "has md5 " in result.err
    assert not Path("runs").exists()


def test_the_path_may_be_set_on_the_command_line(lehi: Lehi, folders: dict[str, Path]) -> None:
    table(folders["working"] / "other.csv")
    options = ("--set", "data.path=other.csv", "--set", "data.target=y", "--epochs", "1")
    assert compare(lehi, *options, task="csv").code == 0
    assert compare(lehi, "--set", f"data.path={folders['working']}/../working/other.csv").code == 0


def test_tasks_check_finds_the_table_of_a_task(lehi: Lehi, folders: dict[str, Path]) -> None:
    assert "looked for" in lehi("tasks", "check", "../task/mine.yaml").out
    table(folders["task"] / "t/a.csv")
    assert "inputs [8, 1]" in lehi("tasks", "check", "../task/mine.yaml").out


def test_a_pool_trains_on_the_table_that_was_found(folders: dict[str, Path], tmp_path: Path) -> None:
    table(folders["task"] / "t/a.csv")
    runs = runs_of("adam,sgd", task="../task/mine.yaml")
    watch = Recording()
    conduct(runs, Store(tmp_path / "pool"), Settings("cpu", executor="pool", jobs=2), watch)
    assert set(watch.ended().values()) == {("ok", "")}
    conduct(runs, Store(tmp_path / "serial"), Settings("cpu"), watch)
    assert specs(tmp_path / "pool") == specs(tmp_path / "serial")


def test_a_table_that_changed_since_the_plan_is_refused(folders: dict[str, Path]) -> None:
    path = table(folders["working"] / "t/a.csv")
    (run,) = runs_of(task="../task/mine.yaml")
    ready = at_hand(run, folders["data"])
    assert (ready.task.data["path"], run.task.data["path"]) == (str(path), "t/a.csv")
    table(path, seed=1)
    with pytest.raises(DataError, match=r"working/t/a\.csv is not what it was when the run was planned"):
        at_hand(run, folders["data"])
    copy = table(folders["data"] / "t/a.csv")  # the same bytes as at first, elsewhere
    assert at_hand(run, folders["data"]).task.data["path"] == str(copy)
    path.unlink()
    copy.unlink()
    with pytest.raises(DataError, match=r"looked for .*working/t/a\.csv, .*task/t/a\.csv, .*data/t/a\.csv"):
        at_hand(run, folders["data"])


def test_a_table_that_appears_after_the_plan_is_refused(folders: dict[str, Path]) -> None:
    (run,) = runs_of(task="../task/mine.yaml")
    table(folders["working"] / "t/a.csv")
    with pytest.raises(DataError, match="is not what it was when the run was planned"):
        at_hand(run, folders["data"])


def test_a_changed_table_fails_the_run_and_no_other(folders: dict[str, Path], tmp_path: Path) -> None:
    """A run whose table is replaced while others train is not trained on what came in its place."""
    path = table(folders["working"] / "t/a.csv")
    runs = runs_of("adam,sgd", task="../task/mine.yaml")

    class Replacing(Recording):
        def finished(self, run, status, message):  # type: ignore[no-untyped-def]
            super().finished(run, status, message)
            table(path, seed=1)

    watch = Replacing()
    conduct(runs, Store(tmp_path / "runs"), Settings("cpu"), watch)
    (first, second) = watch.ended().values()
    assert first == ("ok", "")
    assert second[0] == "error"
    assert "is not what it was when the run was planned" in second[1]


def test_a_node_finds_the_table_or_names_it(folders: dict[str, Path]) -> None:
    path = table(folders["task"] / "t/a.csv")
    (run,) = runs_of(task="../task/mine.yaml")
    payload = pack(run, Place("cpu", folders["data"], 1))
    assert execute_payload(payload).status == "ok"
    table(path, seed=1)
    with pytest.raises(DataError, match=r"t/a\.csv is not what it was .*on the Ray node"):
        execute_payload(payload)
    path.unlink()
    with pytest.raises(DataError, match=r"there is no 't/a\.csv'; looked for .*on the Ray node") as caught:
        execute_payload(payload)
    assert "every node needs the data" in caught.value.hint


def test_a_folder_of_images_may_have_other_times_on_a_node(folders: dict[str, Path]) -> None:
    images = folders["working"] / "images"
    for label in ("a", "b"):
        for number in range(4):
            (images / label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(images / label / f"{number}.png")
    (run,) = runs_of(task="imagefolder")
    assert run.data_place == str(images)
    os.utime(images / "a" / "0.png", (0, 0))
    with pytest.raises(DataError, match="is not what it was"):
        at_hand(run, folders["data"])
    assert at_hand(run, folders["data"], planned_here=False).task.data["path"] == str(images)


def test_a_link_that_leads_nowhere_in_a_folder_is_passed_over(folders: dict[str, Path]) -> None:
    images = folders["working"] / "images"
    images.mkdir()
    (images / "gone.png").symlink_to("nowhere.png")
    (run,) = runs_of(task="imagefolder")
    assert run.task.data["fingerprint"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which reads everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_said(folders: dict[str, Path], tmp_path: Path) -> None:
    path = table(folders["working"] / "t/a.csv")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(gettempdir()):
            break
        folder.chmod(folder.stat().st_mode | 0o555)
    with as_nobody(), pytest.raises(DataError, match=r"a\.csv cannot be read: Permission denied"):
        runs_of(task="../task/mine.yaml")


def test_a_name_that_no_file_can_have_is_an_error_in_words(lehi: Lehi, folders: dict[str, Path]) -> None:
    result = compare(lehi, "--set", f"data.path={'a' * 300}.csv")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "File name too long" in result.err


def test_what_another_source_makes_of_a_path_is_its_own_business(folders: dict[str, Path]) -> None:
    (run,) = runs_of(task="../task/mine.yaml")
    own = replace(run, task=replace(run.task, data={**run.task.data, "source": ":mine"}))
    assert at_hand(own, folders["data"]) is own
