"""`lehi report` with its filters, as they are typed: which runs are left, and that verdicts are on what is shown."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of
from commanded import Lehi, change, document, fill, labels, rows
from conftest import Result
from stored import write

from lehi_cli.runs.specs import Budget, OptimSpec
from lehi_cli.runs.store import Store


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, three optimizers of which one diverges, two seeds: twelve runs."""
    optims = "lehi,adam,sgd:lr=1e6:label=wild"
    more = ("--task", "digits,diabetes", "--optims", optims, "--steps", "3", "--seeds", "2")
    return fill(tmp_path_factory.mktemp("trained") / "runs", "compare", *more)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two optimizers, one of them in two kinds, at three rates: made up, best at 0.01 whoever it is."""
    more = ("--optims", "lehi:factor=rademacher,lehi:factor=sampled,adam", "--over", "lr=1e-3..1e-1/log3")
    return fill(
        tmp_path_factory.mktemp("grid") / "runs",
        *("sweep", "--task", "digits", *more, "--steps", "4", "--seeds", "2", "--executor", "mock"),
    )


def chosen(result: Result) -> list[tuple[str, str, int, str]]:
    """Task, label, seed and status of every run of a JSON document."""
    return [
        (section["task"], series["label"], run["seed"], run["status"])
        for section in document(result)["sections"]
        for series in section["series"]
        for run in series["runs"]
    ]


def verdicts(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    found = [verdict for section in document(result)["sections"] for verdict in section["verdicts"]]
    return {(verdict["label"], verdict["metric"]): verdict for verdict in found}


FILTERS: list[tuple[str, int]] = [
    ("", 12),
    ("--task digits", 6),
    ("--task dia*", 6),
    ("--task d*", 12),
    ("--task digits,diabetes", 12),
    ("--task ?igits", 6),
    ("--optims adam", 4),
    ("--optims sgd", 4),
    ("--optims wild", 4),
    ("--optims sgd:lr=1e6", 4),
    ("--optims sgd:lr=1000000.0", 4),
    ("--optims l*,w*", 8),
    ("--label wild", 4),
    ("--label a*,wild", 8),
    ("--seeds 1", 6),
    ("--seeds 1,", 6),
    ("--seeds 0,1,7", 12),
    ("--status ok", 8),
    ("--status diverged", 4),
    ("--status ok,diverged", 12),
    ("--since 1h", 12),
    ("--since 2000-01-01 --until 2100-01-01", 12),
    ("--task digits --optims adam,wild --seeds 1, --status ok", 1),
    ("--task digits --optims adam,sgd --label adam --since 1d", 2),
]


@pytest.mark.parametrize(("typed", "count"), FILTERS, ids=[row[0] or "none" for row in FILTERS])
def test_each_filter_leaves_what_it_says(lehi: Lehi, runs: Path, typed: str, count: int) -> None:
    assert len(chosen(lehi("report", "--runs", str(runs), "--json", *typed.split()))) == count


def test_filters_meet(lehi: Lehi, runs: Path) -> None:
    left = chosen(lehi("report", "--runs", str(runs), "--json", "--task", "dig*", "--optims", "sgd", "--seeds", "1"))
    assert left == [("digits", "wild", 0, "diverged")]


EMPTY = [
    "--seeds 7,",
    "--until 1h",
    "--since 2100-01-01",
    "--optims adam --status diverged",
    "--label wild --status ok",
]


@pytest.mark.parametrize("typed", EMPTY)
def test_nothing_left_says_what_there_is(lehi: Lehi, runs: Path, typed: str) -> None:
    result = lehi("report", "--runs", str(runs), *typed.split())
    assert (result.code, result.out) == (2, "")
    assert f"no stored run in {runs} matches" in result.err
    assert "stored: digits, diabetes; lehi, adam, wild; seeds 0, 1" in result.err
    assert "; started " in result.err


BAD = [
    ("--task digit", "unknown task 'digit'; did you mean 'digits'?"),
    ("--task Digits", "unknown task 'Digits'"),
    ("--task digits,mnist", "unknown task 'mnist'"),
    ("--task x*", "unknown task 'x*'"),
    ("--task ,", "--task ',' names nothing"),
    ("--optims lehi,adm", "unknown optimizer 'adm'; did you mean 'adam'?"),
    ("--optims sgd:lr=1", "unknown optimizer 'sgd:lr=1'"),
    ("--optims lehi,lehi", "'lehi' is given twice"),
    ("--label sgd", "unknown label 'sgd'"),
    ("--seeds x", "malformed seeds 'x'"),
    ("--seeds auto", "adds seeds until a comparison is settled"),
    ("--status okay", "unknown status 'okay'; did you mean 'ok'?"),
    ("--since yesterday", "malformed time --since 'yesterday'"),
    ("--until 2026-02-30", "malformed time --until '2026-02-30'"),
    ("--since 2026-02-02 --until 2026-02-01", "is later than --until"),
    ("--metric acc", "unknown metric 'acc'; did you mean 'accuracy'?"),
    ("--metric loss,loss", "'loss' is given twice"),
    ("--split valid", "unknown split 'valid'; did you mean 'val'?"),
    ("--best-by loss", "malformed column 'loss'"),
    ("--split train --metric accuracy", "--split train has no accuracy"),
    ("--best-by train_accuracy", "no column train_accuracy"),
    ("--best-by val_acc", "unknown metric 'acc'; did you mean 'accuracy'?"),
    ("--by factr", "unknown option 'factr'; did you mean 'factor'?"),
    ("--by lr,lr", "'lr' is given twice"),
    ("--by ,", "--by ',' names nothing"),
]


@pytest.mark.parametrize(("typed", "message"), BAD, ids=[row[0] for row in BAD])
def test_what_is_misspelt_is_refused(lehi: Lehi, runs: Path, typed: str, message: str) -> None:
    result = lehi("report", "--runs", str(runs), *typed.split())
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_an_empty_list_is_not_no_list(lehi: Lehi, runs: Path) -> None:
    for option in ("--task", "--optims", "--label", "--status", "--metric", "--split", "--by", "--best-by", "--since"):
        assert lehi("report", "--runs", str(runs), option, "").code == 2, option


def test_a_day_counts_whole_and_a_moment_to_the_second(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    noon = datetime(2026, 3, 4, 12).astimezone().astimezone(UTC)
    for seed, run in enumerate(runs_of("adam", seeds=3)):
        write(store, run, started=(noon + timedelta(days=seed - 1)).isoformat(timespec="milliseconds"))

    def seeds(*typed: str) -> list[int]:
        return [seed for *_, seed, _ in chosen(lehi("report", "--json", *typed))]

    assert seeds("--since", "2026-03-04") == [1, 2]
    assert seeds("--until", "2026-03-04") == [0, 1]
    assert seeds("--since", "2026-03-04", "--until", "2026-03-04") == [1]
    assert seeds("--since", "2026-03-04T12:00:00", "--until", "2026-03-05T11:59:59") == [1]
    assert seeds("--since", "2026-03-04T12:00:01") == [2]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Three seeds. On validation adam is lower by about 1, its accuracy higher by 0.1; on test it is the higher."""
    store = Store(tmp_path / "runs")
    finals = {"sgd": ((2.0, 2.1, 2.2), (0.50, 0.51, 0.52), (1.0, 1.1, 1.2)),
              "adam": ((1.0, 1.1001, 1.1999), (0.60, 0.6101, 0.6199), (3.0, 3.1001, 3.1999))}  # fmt: skip
    for run in runs_of("sgd,adam", seeds=3):
        val, accuracy, test = finals[run.optimizer.name]
        i = run.seed
        write(store, run, [4.0, val[i]], train=[4.0, val[i] / 2], accuracy=[0.1, accuracy[i]], test=[test[i]])
    return store.root


def test_the_metric_that_is_shown_is_the_one_that_is_judged(lehi: Lehi, made: Path) -> None:
    result = lehi("report", "--metric", "accuracy", "--split", "val")
    assert [row[2] for row in rows(result.out)] == ["0.6100±0.0100*", "0.510±0.010"]
    assert "adam is better than sgd on digits: val error rate 0.10000 lower" in result.out
    assert "| adam, val loss" not in result.out
    (only,) = verdicts(lehi("report", "--metric", "accuracy", "--split", "val", "--json")).values()
    assert (only["metric"], only["verdict"], only["family"]) == ("val_accuracy", "better", 1)
    assert only["difference"] == pytest.approx(-0.1)  # of error rates


def test_the_split_that_is_shown_is_the_one_that_is_judged(lehi: Lehi, made: Path) -> None:
    assert verdicts(lehi("report", "--json"))["adam", "val_loss"]["verdict"] == "better"
    on_test = verdicts(lehi("report", "--metric", "loss", "--split", "test", "--json"))
    assert list(on_test) == [("adam", "test_loss")]
    assert on_test["adam", "test_loss"]["verdict"] == "worse"
    (means,) = [
        {series["label"]: series["final"]["test_loss"]["mean"] for series in section["series"]}
        for section in document(lehi("report", "--json"))["sections"]
    ]
    assert means["adam"] - means["sgd"] == pytest.approx(2.0)
    assert on_test["adam", "test_loss"]["difference"] > 0
    both = verdicts(lehi("report", "--metric", "loss", "--json"))
    assert {key: verdict["family"] for key, verdict in both.items()} == {
        ("adam", "val_loss"): 2,
        ("adam", "test_loss"): 2,
    }


def test_training_is_shown_and_not_judged(lehi: Lehi, made: Path) -> None:
    result = lehi("report", "--split", "train")
    assert [row[:3] for row in rows(result.out)] == [["adam", "3", "0.550±0.050*"], ["sgd", "3", "1.050±0.050"]]
    assert "verdict against" not in result.out
    mixed = verdicts(lehi("report", "--split", "train,val", "--metric", "loss", "--json"))
    assert list(mixed) == [("adam", "val_loss")]


def test_a_seed_that_is_filtered_out_is_out_of_the_verdict(lehi: Lehi, made: Path) -> None:
    two = verdicts(lehi("report", "--seeds", "0,2", "--json"))["adam", "val_loss"]
    assert two["n"] == 2
    assert two["difference"] == pytest.approx((math.log(1.0 / 2.0) + math.log(1.1999 / 2.2)) / 2)
    one = verdicts(lehi("report", "--seeds", "0,", "--json"))["adam", "val_loss"]
    assert (one["n"], one["verdict"], one["family"]) == (1, "inconclusive", 0)
    assert verdicts(lehi("report", "--optims", "adam", "--json")) == {}


def test_the_best_setting_is_of_many_and_says_so(lehi: Lehi, grid: Path) -> None:
    arguments = ("report", "--runs", str(grid), "--best-by", "val_loss")
    assert sorted(labels(lehi(*arguments, "--json"))[0]) == ["adam:lr=0.01", lehi_best(lehi, grid)]
    text = lehi(*arguments).out
    assert "best of 6 settings by val_loss, on the runs shown: this favours whoever tried more" in text
    assert "adam:lr=0.01: best of 3 settings by val_loss" in text


def lehi_best(lehi: Lehi, grid: Path) -> str:
    """The label of the lowest mean validation loss among the settings of lehi, by hand."""
    (section,) = document(lehi("report", "--runs", str(grid), "--optims", "lehi", "--json"))["sections"]
    means = {series["label"]: series["final"]["val_loss"]["mean"] for series in section["series"]}
    return min(means, key=lambda label: means[label])


def test_groups_are_by_value_and_the_best_within_each(lehi: Lehi, grid: Path) -> None:
    result = lehi("report", "--runs", str(grid), "--by", "factor")
    shown = rows(result.out)
    assert [row[0] for row in shown] == ["lehi:factor=rademacher", "lehi:factor=sampled", "adam"]
    assert [row[6] for row in shown] == ["0.01"] * 3
    assert "each: best of 3 settings by val_loss, on the runs shown" in result.out
    assert "no verdict: these are trials, from which settings are chosen" in result.out
    assert verdicts(lehi("report", "--runs", str(grid), "--by", "factor", "--json")) == {}


def test_every_pair_of_values_is_a_group(lehi: Lehi, grid: Path) -> None:
    (found,) = labels(lehi("report", "--runs", str(grid), "--by", "factor,lr", "--json"))
    kinds = ("lehi:factor=rademacher", "lehi:factor=sampled", "adam")
    assert found == [f"{kind}:lr={rate}" for kind in kinds for rate in ("0.001", "0.01", "0.1")]


@pytest.mark.parametrize(
    ("optims", "left"),
    [
        ("lehi:factor=sampled", {"lehi:factor=sampled"}),
        ("lehi:lr=1e-2", {"lehi:factor=sampled", "lehi:factor=rademacher"}),
        ("*:lr=0.01:factor=sampled,adam", {"lehi:factor=sampled", "adam"}),
    ],
)
def test_settings_are_chosen_by_their_options(lehi: Lehi, grid: Path, optims: str, left: set[str]) -> None:
    found = labels(lehi("report", "--runs", str(grid), "--optims", optims, "--by", "factor", "--json"))
    assert set(found[0]) == left


@pytest.mark.parametrize(
    ("optims", "reference"),
    [
        ("adam,lehi:factor=sampled", "adam:lr=0.001"),
        ("lehi:factor=sampled,adam", "lehi:factor=sampled:lr=0.001"),
        ("l*:factor=sampled, adam", "lehi:factor=sampled:lr=0.001"),
        ("adam:lr=0.1,adam:lr=0.01", "adam:lr=0.1"),
    ],
)
def test_the_first_that_is_named_is_the_reference(lehi: Lehi, tmp_path: Path, optims: str, reference: str) -> None:
    settings = [f"{name}:lr={rate}" for name in ("adam", "lehi:factor=sampled") for rate in ("1e-3", "1e-2", "1e-1")]
    compared = ("compare", "--task", "digits", "--optims", ",".join(settings), "--steps", "4", "--seeds", "2")
    store = fill(tmp_path / "runs", *compared, "--executor", "mock")
    out = lehi("report", "--runs", str(store), "--optims", optims).out
    assert re.search(rf"(against|and|than) {re.escape(reference)} on digits", out)


def test_thirteen_optimizers_are_a_table_without_a_verdict(lehi: Lehi, tmp_path: Path) -> None:
    store = fill(
        tmp_path / "runs",
        *("compare", "--task", "digits", "--optims", "sgd:lr=1e-3..1e-1/log13", "--seeds", "2"),
        *("--steps", "2", "--executor", "mock"),
    )
    result = lehi("report", "--runs", str(store))
    assert len(rows(result.out)) == 13
    assert "no verdict: the best of 13 settings wins by chance; name up to 12" in result.out
    narrowed = lehi("report", "--runs", str(store), "--optims", "sgd:lr=0.001,sgd:lr=0.1")
    assert "between sgd:lr=0.1 and sgd:lr=0.001 on digits" in narrowed.out


def test_what_cannot_be_compared_is_kept_apart_and_named(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for run in runs_of("sgd,adam", seeds=2):
        write(store, run, [2.0, 1.0])
        write(store, replace(run, task=replace(run.task, budget=Budget("steps", 50))), [2.0, 0.5])
        write(store, replace(run, optimizer=OptimSpec(run.optimizer.name, {**run.optimizer.options, "lr": 0.5})))
    result = lehi("report")
    assert "digits (budget 25 steps)  25 steps" in result.out
    assert "digits (budget 50 steps)  50 steps" in result.out
    assert "digits: 2 sections that cannot be compared with each other: they differ in budget" in result.out
    assert labels(lehi("report", "--json")) == [
        ["sgd:lr=0.001", "sgd:lr=0.5", "adam:lr=0.001", "adam:lr=0.5"],
        ["sgd", "adam"],
    ]
    assert {verdict["n"] for verdict in verdicts(lehi("report", "--json")).values()} == {2}


def test_two_versions_of_the_data_are_two_sections(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for run in runs_of("sgd,adam", seeds=2):
        write(store, run, [2.0, 1.0 + run.seed], data=["aaaaaa1111", "bbbbbb2222"][run.seed])
    result = lehi("report")
    assert "digits (data aaaaaa)" in result.out
    assert "digits (data bbbbbb)" in result.out
    assert "they differ in data" in result.out
    assert "verdict against" not in result.out


def test_tasks_of_one_name_from_two_files_are_two_sections(lehi: Lehi, tmp_path: Path) -> None:
    from lehi_cli.registry import tasks

    text = Path(tasks.find("digits").origin).read_text(encoding="utf-8").replace("name: digits", "name: mine")
    for folder, batch in (("one", "batch_size: 64"), ("two", "batch_size: 32")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(text.replace("batch_size: 64", batch))
        more = ("--optims", "sgd,adam", "--steps", "3", "--seeds", "2", "--executor", "mock")
        fill(tmp_path / "runs", "compare", "--task", f"{folder}/mine.yaml", *more)
    result = lehi("report", "--task", "mine")
    assert "mine (batch_size 64) [FAKE DATA]" in result.out
    assert "mine (batch_size 32) [FAKE DATA]" in result.out
    assert "they differ in batch_size" in result.out
    both = lehi("compare", "--task", "one/mine.yaml,two/mine.yaml", "--steps", "3")
    assert both.code == 2
    assert "task 'mine' is given twice" in both.err


def test_made_up_and_trained_results_never_meet(lehi: Lehi, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for run in runs_of("sgd,adam", seeds=4):
        write(store, run, [2.0, 1.0 + run.seed], mock=run.seed > 1)
    first, second = document(lehi("report", "--json"))["sections"]
    assert [section["fake_data"] for section in (first, second)] == [False, True]
    assert [section["seeds"] for section in (first, second)] == [[0, 1], [2, 3]]
    assert "trained or made-up results" in lehi("report").out


def test_a_store_without_runs_is_said_to_be_so(lehi: Lehi, tmp_path: Path) -> None:
    assert "no runs in runs" in lehi("report").err
    (tmp_path / "runs").mkdir()
    assert "no runs in runs" in lehi("report").err
    (tmp_path / "file").write_text("")
    result = lehi("report", "--runs", "file")
    assert (result.code, result.out) == (2, "")
    assert "no runs in file" in result.err


def test_seeds_run_twice_and_unknown_statuses_are_told(lehi: Lehi, tmp_path: Path) -> None:
    more = ("--task", "digits", "--optims", "sgd,adam", "--steps", "2", "--seeds", "2", "--executor", "mock")
    store = fill(tmp_path / "runs", "compare", *more)
    change(store, lambda state: {**state, "status": "splendid"} if state["label"] == "adam" else None)
    result = lehi("report", "--runs", str(store))
    assert result.code == 0
    assert result.err.count("unknown status 'splendid'") == 2
    assert [row[0] for row in rows(result.out)] == ["sgd"]
