"""`--cost`, as it is typed: what is measured, what is read again, and what stands in where there is no measurement."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanded import Lehi, document, fill, rows
from conftest import Result

Python = Callable[..., subprocess.CompletedProcess[str]]
COMPARE = ("compare", "--task", "diabetes", "--optims", "lehi,adam", "--steps", "3", "--seeds", "1")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("measured") / "runs", *COMPARE, "--cost")


def prices(result: Result) -> dict[str, Any]:
    (section,) = document(result)["sections"]
    found: dict[str, Any] = section["prices"]
    return found


def price_table(text: str) -> list[list[str]]:
    return rows(text[text.index("price of a step") :])


def test_what_was_measured_is_shown_again(lehi: Lehi, measured: Path) -> None:
    (path,) = (measured / ".costs").iterdir()
    found = prices(lehi("report", "--runs", str(measured), "--cost", "--json"))
    assert (found["source"], found["reference"], found["device"]) == ("measured", "lehi", "cpu")
    lehi_price, adam = found["prices"]
    assert (lehi_price["label"], lehi_price["ratio"], adam["label"]) == ("lehi", 1.0, "adam")
    assert lehi_price["passes_per_step"] == pytest.approx(5 / 3)
    assert adam["passes_per_step"] == 1
    assert adam["state_bytes_per_parameter"] == pytest.approx(8, abs=0.2)  # two numbers of four bytes
    assert adam["ratio_interval"][0] <= adam["ratio"] <= adam["ratio_interval"][1]
    own, other = (each["ms"] for each in json.loads(path.read_text())["optimizers"])
    logs = [math.log(b / a) for a, b in zip(own, other, strict=True)]
    assert adam["ratio"] == pytest.approx(math.exp(sum(logs) / len(logs)))
    shown = price_table(lehi("report", "--runs", str(measured), "--cost").out)
    assert [(row[0], row[1]) for row in shown] == [("lehi", "1.667"), ("adam", "1")]


def test_the_reference_turns_the_ratio_round(lehi: Lehi, measured: Path) -> None:
    arguments = ("report", "--runs", str(measured), "--cost", "--json")
    _, adam = prices(lehi(*arguments))["prices"]
    turned = prices(lehi(*arguments, "--reference", "adam"))
    assert turned["reference"] == "adam"
    own, other = turned["prices"]
    assert own["ratio"] == pytest.approx(1 / adam["ratio"])
    assert other["ratio"] == 1


def test_nothing_is_shown_that_was_not_asked_for(lehi: Lehi, measured: Path) -> None:
    assert "price of a step" not in lehi("report", "--task", "*", "--runs", str(measured)).out
    assert document(lehi("report", "--task", "*", "--runs", str(measured), "--json"))["sections"][0]["prices"] is None


def test_a_report_of_prices_imports_no_torch(python: Python, measured: Path) -> None:
    arguments = ["report", "--runs", str(measured), "--cost", "--format", "html", "--assert", "lehi < adam"]
    code = (
        "import sys\nfrom lehi_cli.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 4, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'optuna'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def broken(content: dict[str, Any], **changes: Any) -> str:
    first, *rest = content["optimizers"]
    return json.dumps({**content, "optimizers": [{**first, **changes}, *rest]})


DAMAGED: dict[str, Callable[[dict[str, Any]], str | bytes]] = {
    "empty": lambda _: "",
    "cut": lambda content: json.dumps(content)[:200],
    "list": lambda _: "[]",
    "null": lambda _: "null",
    "another version": lambda content: json.dumps({**content, "schema": 99}),
    "no optimizers": lambda _: '{"schema": 1}',
    "not a number": lambda content: broken(content, ms=[math.nan]),
    "below zero": lambda content: broken(content, ms=[-1.0]),
    "text for a time": lambda content: broken(content, ms=["fast"]),
    "text for passes": lambda content: broken(content, passes_per_step="many"),
    "text for memory": lambda content: broken(content, peak_bytes="much"),
    "an unknown key": lambda content: broken(content, colour="red"),
    "not text": lambda _: b"\xff\xfe",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_measurement_is_named_and_the_clocks_stand_in(lehi: Lehi, measured: Path, damage: str) -> None:
    (path,) = (measured / ".costs").iterdir()
    whole = path.read_bytes()
    found = DAMAGED[damage](json.loads(whole))
    path.write_bytes(found if isinstance(found, bytes) else found.encode())
    try:
        result = lehi("report", "--runs", str(measured), "--cost")
    finally:
        path.write_bytes(whole)
    assert result.code == 0
    assert result.err.count("warning") == 1
    assert f"skipped {path}: damaged" in result.err
    assert "measure again with lehi compare --cost" in result.err
    assert "by the clocks of the runs, paired by seed" in result.out


def test_where_nothing_was_measured_the_clocks_of_the_runs_do(lehi: Lehi, tmp_path: Path) -> None:
    store = fill(tmp_path / "runs", *COMPARE[:-1], "2")
    result = lehi("report", "--runs", str(store), "--cost")
    assert (result.code, result.err) == (0, "")
    assert [row[0] for row in price_table(result.out)] == ["lehi", "adam"]
    found = prices(lehi("report", "--runs", str(store), "--cost", "--json"))
    assert found["source"] == "runs"
    assert all(price["peak_bytes"] is None for price in found["prices"])
    assert not (store / ".costs").exists()


def test_what_is_made_up_has_no_price_of_its_own(lehi: Lehi, tmp_path: Path) -> None:
    made_up = ("--executor", "mock", "--cost", "--seeds", "2")
    result = lehi(*COMPARE[:-2], *made_up)
    assert result.code == 0
    assert "prices come from the runs' own clocks: there is no device here to measure on" in result.err
    assert "price of a step on mock (none: synthetic metrics): by the clocks of the runs" in result.out
    assert [row[-1] for row in price_table(result.out)] == ["-", "-"]
    found = prices(lehi(*COMPARE[:-2], *made_up, "--json"))
    assert [price["state_bytes_per_parameter"] for price in found["prices"]] == [None, None]
    assert not (tmp_path / "runs" / ".costs").exists()


def test_a_dry_run_measures_nothing(lehi: Lehi, tmp_path: Path) -> None:
    assert lehi(*COMPARE, "--cost", "--dry-run").code == 0
    assert not list(tmp_path.glob("runs/.costs"))
