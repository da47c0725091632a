"""`lehi report --runs a --runs b`: several folders of runs, read as one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cases import runs_of
from commanded import Lehi, document, labels
from stored import write_all

from lehi_cli.runs.comparisons import Comparisons
from lehi_cli.runs.store import Store
from lehi_cli.runs.stores import open_stores

A, B = Path("a"), Path("b")
BOTH = ("--runs", "a", "--runs", "b")
LOSSES = [[1.0, 1.1, 1.2], [2.0, 2.2, 2.1]]


@pytest.fixture(autouse=True)
def folders() -> None:
    """Adam in one folder, SGD and Lion in the other."""
    for root, optimizers, losses in ((A, "adam", LOSSES[:1]), (B, "sgd,lion", LOSSES)):
        store = Store(root)
        store.prepare()
        write_all(store, optimizers, losses)


def test_runs_of_all_folders_are_compared(lehi: Lehi) -> None:
    apart = [run["run_id"] for root in "ab" for run in runs(lehi, "--runs", root)]
    together = [run["run_id"] for run in runs(lehi, *BOTH)]
    assert sorted(together) == sorted(apart)
    assert len(together) == 9
    assert sorted(labels(lehi("report", *BOTH, "--json"))[0]) == ["adam", "lion", "sgd"]


def runs(lehi: Lehi, *arguments: str) -> list[dict[str, str]]:
    sections = document(lehi("report", "--role", "all", *arguments, "--json"))["sections"]
    return [run for section in sections for series in section["series"] for run in series["runs"]]


def test_the_environment_names_several_too(lehi: Lehi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEHI_RUNS", "a:b")
    assert len(runs(lehi)) == 9
    assert len(runs(lehi, "--runs", "a")) == 3


def test_a_run_that_is_in_both_is_one_run(lehi: Lehi) -> None:
    shutil.copytree(A, B, dirs_exist_ok=True)
    assert len(runs(lehi, *BOTH)) == 9
    assert len(runs(lehi, "--runs", "a", "--runs", "a/", "--runs", "b/../a")) == 3


@pytest.mark.parametrize("changed", ["run.json", "metrics-0000.parquet"])
def test_a_run_that_is_not_the_same_in_both_is_an_error(lehi: Lehi, changed: str) -> None:
    shutil.copytree(A, B, dirs_exist_ok=True)
    run = runs_of("adam")[0].run_id
    path, other = B / run / changed, B / runs_of("lion", seeds=2)[1].run_id / changed
    if changed == "run.json":
        path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    else:
        shutil.copy(other, path)
    for asked in ((), ("--task", "digits"), ("--json",)):
        result = lehi("report", *BOTH, *asked)
        assert result.code == 2
        assert f"error: run {run} is not the same in a and b" in result.err
        assert f"lehi runs diff a/{run} b/{run}" in result.err


def test_a_damaged_copy_is_named_and_the_other_is_shown(lehi: Lehi) -> None:
    shutil.copytree(A, B, dirs_exist_ok=True)
    run = runs_of("adam")[0].run_id
    (A / run / "run.json").write_text("{")
    result = lehi("report", *BOTH, "--json")
    assert f"skipped a/{run}/run.json: damaged" in result.err
    assert len(runs(lehi, *BOTH)) == 9


def test_a_folder_that_is_not_there_is_an_error(lehi: Lehi) -> None:
    for order in (("a", "nowhere"), ("nowhere", "a")):
        result = lehi("report", *(word for root in order for word in ("--runs", root)))
        assert result.code == 2
        assert "error: no runs in nowhere" in result.err
    assert not Path("nowhere").exists()


def test_nothing_that_matches_names_every_folder(lehi: Lehi) -> None:
    assert "no stored run in a and b matches" in lehi("report", *BOTH, "--seeds", "7,").err


def test_looks_go_to_the_first_folder_and_those_of_all_count(lehi: Lehi) -> None:
    first = lehi("report", *BOTH, "--seeds", "2", "--optims", "adam,sgd")
    assert "warning: this look is remembered in a, the first of the folders" in first.err
    assert [len(list(root.glob(".comparisons/*.json"))) for root in (A, B)] == [1, 0]
    again = lehi("report", *BOTH, "--seeds", "2", "--optims", "adam,sgd")
    assert (again.out, again.err) == (first.out, "")
    more = lehi("report", "--runs", "b", "--runs", "a", "--optims", "adam,sgd", "--json")
    (judged,) = [item["verdicts"] for item in document(more)["sections"]]
    assert judged[0]["method"] == "anytime"


def test_a_comparison_of_any_folder_is_found_once(lehi: Lehi) -> None:
    for root in (B, A):
        lehi("compare", "--task", "digits", "--optims", "adam,sgd", "--steps", "5", "--seeds", "2", "--runs", str(root))
        shutil.copytree(B, A, dirs_exist_ok=True)
    (record,) = Comparisons(open_stores([A, B])).shown
    shown = lehi("report", *BOTH, "--comparison", record.id[:4])
    assert shown.code == 0, shown.err
    assert shown.out == lehi("report", "--runs", "b", "--comparison", record.id).out
    wrong = lehi("report", *BOTH, "--comparison", "zzz")
    assert f"in a and b: {record.id}" in wrong.err


def test_what_was_measured_anywhere_counts(lehi: Lehi) -> None:
    more = ("--task", "digits", "--optims", "adam,sgd", "--steps", "5", "--seeds", "2", "--cost", "--quiet")
    lehi("compare", *more, "--runs", "b")
    (measured,) = B.glob(".costs/*.json")
    (A / ".costs").mkdir()
    measured.rename(A / ".costs" / measured.name)
    asked = ("report", *BOTH, "--cost", "--optims", "adam,sgd")
    assert lehi(*asked).out.count("by the clocks of the runs") == 1  # those that were made up
    shutil.rmtree(A / ".costs")
    assert lehi(*asked).out.count("by the clocks of the runs") == 2


def test_verbs_that_train_take_one_folder(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "digits", *BOTH)
    assert result.code == 2
    assert "--runs takes one value, but is given 2 times" in result.err
