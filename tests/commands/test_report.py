"""`lehi report`, `tasks` and `optims`: what is there, without training and without torch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

Lehi = Callable[..., Result]
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stored(lehi: Lehi) -> None:
    lehi("compare", "--task", "digits,diabetes", "--optims", "lehi,adam", "--steps", "10", "--seeds", "2", "--quiet")


@pytest.mark.usefixtures("stored")
def test_a_report_shows_what_compare_showed(lehi: Lehi) -> None:
    compared = lehi("compare", "--task", "digits", "--optims", "lehi,adam", "--steps", "10", "--seeds", "2")
    reported = lehi("report", "--task", "digits", "--optims", "lehi,adam")
    assert reported.code == 0
    assert reported.out == compared.out.replace(", at defaults", "", 1)  # which only the comparison knows
    assert lehi("report").out.endswith(compared.out)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ((), 8),
        (("--task", "digits"), 4),
        (("--task", "digits,diabetes", "--optims", "adam"), 4),
        (("--seeds", "1,"), 4),
        (("--status", "ok", "--task", "diabetes", "--optims", "lehi", "--seeds", "0,"), 1),
    ],
)
def test_filters_narrow_the_report(lehi: Lehi, filters: tuple[str, ...], count: int) -> None:
    document = json.loads(lehi("report", "--json", *filters).out)
    runs = [run for section in document["sections"] for series in section["series"] for run in series["runs"]]
    assert len(runs) == count


@pytest.mark.usefixtures("stored")
def test_no_match_says_what_there_is(lehi: Lehi) -> None:
    result = lehi("report", "--task", "mnist")
    assert result.code == 2
    assert "digits, diabetes" in result.err
    assert "lehi, adam" in result.err


@pytest.mark.usefixtures("stored")
def test_budgets_are_kept_apart(lehi: Lehi) -> None:
    lehi("compare", "--task", "digits", "--optims", "lehi,adam", "--steps", "11", "--seeds", "1")
    result = lehi("report", "--task", "digits")
    assert "digits (budget 10 steps)  10 steps" in result.out
    assert "digits (budget 11 steps)  11 steps" in result.out
    assert "digits: 2 sections that cannot be compared with each other: they differ in budget" in result.out
    assert "across" not in result.out


@pytest.mark.usefixtures("stored")
def test_options_tell_series_of_one_name_apart(lehi: Lehi) -> None:
    for rate in ("0.01", "0.1"):
        lehi("train", "--task", "digits", "--optim", f"sgd:lr={rate}", "--steps", "10")
    result = lehi("report", "--task", "digits", "--optims", "sgd")
    assert "sgd:lr=0.01" in result.out
    assert "sgd:lr=0.1" in result.out


@pytest.mark.usefixtures("stored")
def test_damaged_runs_are_named_and_the_rest_reported(lehi: Lehi, tmp_path: Path) -> None:
    first, second, *_ = sorted((tmp_path / "runs").iterdir())
    (first / "run.json").write_text("{")
    next(second.glob("*.parquet")).write_bytes(b"nothing")
    result = lehi("report")
    assert result.code == 0
    assert f"{first.name}/run.json: damaged" in result.err
    assert f"{second.name}/metrics-0000.parquet: damaged" in result.err
    assert "digits" in result.out


def test_an_empty_store_says_so(lehi: Lehi, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    result = lehi("report")
    assert result.code == 2
    assert "lehi compare" in result.err


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["tasks"], ["tasks", "show", "digits"], ["optims"], ["optims", "lehi"], ["report"],
                  ["compare", "--task", "digits", "--optims", "lehi,adam", "--steps", "10", "--seeds", "2"],
                  ["compare", "--task", "digits", "--optims", "lehi,adam", "--steps", "10", "--seeds", "2",
                   "--dry-run"]],
    ids=" ".join,
)  # fmt: skip
def test_listing_planning_and_reporting_import_no_torch(python: Python, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom lehi_cli.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy.stats', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_tasks_are_listed_and_shown(lehi: Lehi) -> None:
    listed = lehi("tasks")
    for name in ("digits", "breast_cancer", "diabetes", "quadratic", "markov"):
        assert name in listed.out
    shown = lehi("tasks", "show", "digits")
    assert "digits.yaml" in shown.out
    assert "batch_size" in shown.out


def test_optimizers_are_listed_and_shown(lehi: Lehi) -> None:
    assert "arXiv 2605.06945" in lehi("optims").out
    shown = lehi("optims", "lehibrid")
    for text in ("theta", "mix, max", "rademacher", "5/3"):
        assert text in shown.out


@pytest.mark.usefixtures("stored")
def test_a_terminal_without_unicode_gets_question_marks(python: Python) -> None:
    done = python("-m", "lehi_cli", "report", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "val loss" in done.stdout


def test_the_version_is_printed(lehi: Lehi) -> None:
    assert lehi("--version").out.startswith("lehi 0.")
