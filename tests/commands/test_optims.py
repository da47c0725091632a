"""`lehi optims`: the list, one by its name, the checks, and a file to start from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result
from rich.console import Console

from lehi_cli.commands.optims import optimizers_table, options_tables
from lehi_cli.conformance.optimizers import CHECKS
from lehi_cli.registry import optimizers, pytorch_optimizer_tested
from lehi_cli.registry.optimizers import OptimizerRecord, Option
from lehi_cli.render.document import Table
from lehi_cli.render.table import print_table

Lehi = Callable[..., Result]

TWO = """
from torch.optim import SGD
from lehi_cli.registry.optimizers import Option, OptimizerRecord

OPTIMIZERS = [
    OptimizerRecord("good", "SGD", ":SGD", (Option("lr", 0.1, "rate"),)),
    OptimizerRecord("dear", "SGD", ":SGD", (Option("lr", 0.1, "rate"),), passes="2"),
]
"""


@pytest.mark.parametrize("verb", [[], ["show"]])
def test_one_is_shown_with_the_verb_and_without(lehi: Lehi, verb: list[str]) -> None:
    result = lehi("optims", *verb, "adam")
    assert result.code == 0
    assert result.out.startswith("adam: Adam\n")


def drawn(width: int, *tables: Table) -> list[str]:
    """The lines of tables on a terminal."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    for table in tables:
        print_table(console, table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_row_of_every_part_says_something(width: int) -> None:
    for name in [*(record.name for record in optimizers.load()), "po.Yogi"]:
        record = optimizers.find(name)
        lines = drawn(width, *options_tables(record))
        named = [line.split() for line in lines if line.split(" ")[0] in {option.name for option in record.options}]
        assert len(named) >= len(record.options)
        assert all(len(words) > 1 for words in named), (name, lines)
        assert max(map(len, lines)) <= width


def test_options_on_a_narrow_terminal() -> None:
    record = OptimizerRecord(
        "mine",
        "mine",
        ":mine",
        (
            Option("lr", 0.1, "learning rate", within="(0, inf)"),
            Option("rule", "first", "which of the three rules decides on the rate", ("first", "second", "third")),
        ),
        space={"lr": "1e-3..1/log"},
    )
    assert drawn(60, *options_tables(record)) == [
        "option   default   meaning",
        "────────────────────────────────────────────────────────────",
        "lr       0.1       learning rate",
        "rule     first     which of the three rules decides on the",
        "                   rate",
        "",
        "option   allowed",
        "─────────────────────────────",
        "lr       (0, inf)",
        "rule     first, second, third",
        "option   tuning space",
        "─────────────────────",
        "lr       1e-3..1/log",
    ]


def test_one_without_a_tuning_space_has_no_table_of_it() -> None:
    assert len(options_tables(OptimizerRecord("mine", "mine", ":mine", (Option("lr", 0.1, "learning rate"),)))) == 1


def test_the_list_takes_two_parts_on_a_narrow_terminal() -> None:
    lines = drawn(80, optimizers_table())
    assert [line.split() for line in lines if line.startswith("optimizer ")] == [
        ["optimizer", "passes", "state", "summary"],
        ["optimizer", "kind", "source"],
    ]


def test_a_name_that_is_none_has_the_nearest(lehi: Lehi) -> None:
    assert "did you mean 'adamax'" in lehi("optims", "adamx").err
    assert "Did you mean 'check'" in lehi("optims", "chek", "mine.py").err


def test_a_task_is_shown_without_the_verb_too(lehi: Lehi) -> None:
    assert lehi("tasks", "digits").out == lehi("tasks", "show", "digits").out


def test_a_registered_one_is_checked(lehi: Lehi) -> None:
    result = lehi("optims", "check", "sgd", "po.Lion")
    assert [line for line in result.out.splitlines() if not line.startswith(" ")] == ["sgd", "po.Lion"]
    for check in CHECKS:
        assert result.out.count(f" {check}: ") == 2


def test_all_in_a_file_are_checked_and_one_failure_is_enough(lehi: Lehi, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO)
    result = lehi("optims", "check", "two.py")
    assert result.code == 1
    good, dear = result.out.split("dear\n")
    assert "FAIL" not in good
    assert good.endswith("22 passed, 1 skipped\n")
    assert "  FAIL passes are as stated: counted 1 a step over 120 steps, but the record states passes='2'\n" in dear
    assert dear.endswith("21 passed, 1 failed, 1 skipped\n")


PLANS = {
    "train": ("train", "--optim", "po.Yogi", "--seeds", "2"),
    "grid": ("sweep", "--optims", "po.Yogi", "--over", "lr=0.01,0.1"),
    "trials": ("sweep", "--optims", "po.Yogi,sgd", "--trials", "2", "--sampler", "tpe"),
    "compare": ("compare", "--optims", "sgd,po.Yogi,po.Yogi:lr=0.1"),
    "auto": ("compare", "--optims", "sgd,po.Yogi", "--seeds", "auto:4"),
    "tuned": ("compare", "--optims", "sgd,po.Yogi", "--tune", "2"),
    "smoke": ("compare", "--optims", "sgd,po.Yogi", "--smoke"),
}


@pytest.mark.parametrize("quietly", ["--dry-run", "--quiet", "--json"])
@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_says_once_what_is_to_be_known_of_its_optimizers(
    lehi: Lehi, monkeypatch: pytest.MonkeyPatch, plan: str, quietly: str
) -> None:
    monkeypatch.setattr(pytorch_optimizer_tested, "installed", lambda: "99.0.0")
    result = lehi(*PLANS[plan], "--task", "digits", "--steps", "6", "--executor", "mock", quietly)
    assert result.code == 0, result.err
    assert result.err.count("warning: po.Yogi: pytorch-optimizer 99.0.0 was not tested, ") == 1
    assert "was not tested" not in result.out


def test_a_notice_of_a_built_in_one_is_said_too(lehi: Lehi) -> None:
    asked = ("--task", "digits", "--steps", "2", "--executor", "mock")
    assert "warning: bdhf: US patent" in lehi("train", "--optim", "bdhf", *asked).err
    assert "warning" not in lehi("train", "--optim", "hf", *asked).err


@pytest.mark.parametrize("name", ["mine", "mine.py"])
def test_a_new_one_runs_and_conforms(lehi: Lehi, tmp_path: Path, name: str) -> None:
    assert lehi("optims", "new", name).out == "wrote mine.py; try: lehi optims check mine.py\n"
    result = lehi("optims", "check", "mine.py")
    assert result.code == 0, result.out
    assert lehi("compare", "--task", "digits", "--optims", "mine.py,adam", "--smoke").code == 0
    before = (tmp_path / "mine.py").read_text()
    again = lehi("optims", "new", name)
    assert again.code == 2
    assert "already exists" in again.err
    assert (tmp_path / "mine.py").read_text() == before


@pytest.mark.parametrize("name", ["my-optimizer", "../x", "1st", "", ".py"])
def test_names_that_are_none_are_refused(lehi: Lehi, tmp_path: Path, name: str) -> None:
    result = lehi("optims", "new", name)
    assert result.code == 2
    assert "cannot be the name of an optimizer" in result.err
    assert not list(tmp_path.iterdir())


UNREADABLE = {
    "no file": (None, "there is no file"),
    "no list": ("import torch", "bad.py defines no optimizers"),
    "empty list": ("OPTIMIZERS = []", "bad.py defines no optimizers"),
    "syntax": ("OPTIMIZERS = [", "fails to load: SyntaxError: '[' was never closed (bad.py, line 1)"),
    "raises": ("1 / 0", "fails to load: ZeroDivisionError: division by zero"),
    "kind": (TWO.replace('passes="2"', 'kind="magic"'), "optimizer 'dear': kind 'magic' is not one of gradient,"),
    "field": (TWO.replace("passes=", "pases="), "unexpected keyword argument 'pases'"),
    "twice": (TWO.replace('"dear"', '"good"'), "bad.py defines optimizer 'good' twice"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(lehi: Lehi, tmp_path: Path, case: str) -> None:
    content, message = UNREADABLE[case]
    if content is not None:
        (tmp_path / "bad.py").write_text(content)
    result = lehi("optims", "check", "bad.py")
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
