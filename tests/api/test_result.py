"""A result: its verdicts, runs and metrics are those of the document and the store; assertions; every format."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html import escape, unescape
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import duckdb
import pytest
from documents import ROOT
from render.test_html import BROWSER, browse

import lehi_cli
from lehi_cli.errors import AssertionFalseError, AssertionInconclusiveError, LehiError, StoreError
from lehi_cli.render.export import formatted
from lehi_cli.runs.comparisons import Comparisons


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled") / "runs"
    optims = {"adam": "adam", "slow": "sgd:lr=1e-3", "slower": "sgd:lr=1e-4"}
    lehi_cli.compare(["digits", "diabetes"], optims, seeds=3, steps=40, runs=root, progress=False)
    return root


@pytest.fixture
def result(filled: Path, tmp_path: Path) -> lehi_cli.Result:
    """On a copy of the store of its own."""
    return lehi_cli.report(runs=copytree(filled, tmp_path / "runs"))


def looks(result: lehi_cli.Result) -> int:
    return sum(len(looks) for looks in Comparisons(result.store).looked().values())


def test_the_verdicts_are_those_of_the_document(result: lehi_cli.Result) -> None:
    document = json.loads(result.save("page.json").read_text(encoding="utf-8"))
    rows = [(section, verdict) for section in document["sections"] for verdict in section["verdicts"]]
    assert len(rows) == len(result.verdicts) == 8  # two optimizers, two metrics, two tasks
    for (section, row), verdict in zip(rows, result.verdicts, strict=True):
        assert (verdict.task, verdict.optimizer, verdict.reference) == (section["task"], row["label"], row["reference"])
        assert (verdict.metric, verdict.word, verdict.n) == (row["metric"], row["verdict"], row["n"])
        assert verdict.p == row["p_adjusted"]
        assert verdict.verdict.difference == row["difference"]
        ends = (row["difference"], *row["interval"])
        shown = [math.expm1(end) if row["scale"]["kind"] == "ratio" else end for end in ends]
        assert [verdict.difference, *verdict.interval] == pytest.approx(shown)
        assert verdict.interval.low < verdict.difference < verdict.interval.high
    first = next(verdict for verdict in result.verdicts if verdict.optimizer == "slower")
    assert str(first).startswith("slower against adam on digits, val_loss: worse, ")
    assert str(first).endswith(", 3 seeds, at equal price")


def test_a_sweep_and_a_single_run_have_no_verdicts(tmp_path: Path) -> None:
    swept = lehi_cli.sweep("digits", "sgd", over="lr=0.01,0.1", seeds=2, executor="mock", progress=False)
    assert swept.verdicts == []
    assert len(swept.runs) == 4
    with pytest.raises(AssertionInconclusiveError, match="these are trials"):
        swept.assert_true("sgd.val_loss < 3")
    single = lehi_cli.train("digits", executor="mock", progress=False)
    assert single.verdicts == []
    assert repr(single) == "<lehi result, 1 run>\nno verdict: nothing is compared here"


def test_the_metrics_are_the_rows_of_the_store(result: lehi_cli.Result) -> None:
    stored = duckdb.sql("select * from read_parquet('runs/*/metrics-*.parquet', union_by_name=true)").arrow()
    stored = stored if hasattr(stored, "to_pylist") else stored.read_all()
    table = result.metrics()
    keys = ("run_id", "split", "step")

    def rows(of: Any) -> list[dict[str, Any]]:
        return sorted(of.to_pylist(), key=lambda row: [str(row[key]).zfill(9) for key in keys])

    assert sorted(table.column_names) == sorted(stored.column_names)
    assert rows(table) == rows(stored)
    frame = table.to_pandas()
    assert len(frame) == table.num_rows
    assert set(frame["label"]) == {"adam", "slow", "slower"}
    assert frame.groupby("task", observed=True)["accuracy"].count()["diabetes"] == 0
    assert frame["run_id"].nunique() == 18


def test_runs_that_are_gone_are_missed(result: lehi_cli.Result) -> None:
    rmtree(result.runs[0].folder)
    with pytest.raises(StoreError, match=f"run {result.runs[0].run_id} is gone"):
        result.metrics()


def test_an_assertion_holds_or_says_why_not(result: lehi_cli.Result) -> None:
    result.assert_true("adam < slower @ val_loss", "adam <= slow*1.05")
    with pytest.raises(AssertionFalseError, match=r"slower < adam on digits.* is false: .+") as false:
        result.assert_true("slower < adam", "adam < slow")
    assert false.value.exit_code == 3
    assert isinstance(false.value, AssertionError)
    assert isinstance(false.value, LehiError)
    with pytest.raises(AssertionInconclusiveError, match="is inconclusive: ") as unsure:
        result.assert_true("adam < 0.93*adam")
    assert unsure.value.exit_code == 4
    assert unsure.value.hint == "more seeds may settle it"


def test_assertions_of_the_call_are_in_the_result() -> None:
    found = lehi_cli.compare(
        "digits", "adam,sgd", seeds=2, steps=20, assertions=["adam < sgd", "adam < 100"], progress=False
    )
    assert [check.assertion.text for check in found.checks] == ["adam < sgd", "adam < 100"]
    assert found.checks[1].outcome == "true"


def test_a_look_is_remembered_once(result: lehi_cli.Result) -> None:
    before = looks(result)
    result.assert_true("adam < slower")  # which the page shows
    assert looks(result) == before
    for _ in range(2):
        result.assert_true("slow < slower @ val_loss")  # which it does not
        assert looks(result) == before + 2  # one on each task
    again = lehi_cli.report(result.comparison)
    assert formatted(again.report, "json") == formatted(result.report, "json")


FORMATS = {"r.html": "html", "r.htm": "html", "r.md": "markdown", "r.csv": "csv", "r.json": "json", "r.tex": "latex"}


@pytest.mark.parametrize(("name", "kind"), [*FORMATS.items(), ("r.txt", "table")])
def test_a_result_is_saved_in_the_format_of_its_name(name: str, kind: str, result: lehi_cli.Result) -> None:
    path = result.save(name)
    text = path.read_bytes().decode()
    assert path == Path(name)
    assert text.rstrip("\n") == formatted(result.report, kind).rstrip("\n")
    assert result.save("named.otherwise", format=kind).read_bytes().decode() == text


def test_a_result_is_shown_in_full_as_text_and_in_short_as_a_value(result: lehi_cli.Result) -> None:
    assert str(result) == result.save("r.txt").read_text(encoding="utf-8").rstrip("\n")
    first, *answers = repr(result).splitlines()
    assert first == "<lehi result, 18 runs>"
    assert len(answers) == 2
    assert all(answer in str(result).replace("\n", " ") or answer[:60] in str(result) for answer in answers)


def test_a_notebook_shows_the_page_in_a_frame(result: lehi_cli.Result) -> None:
    frame = result._repr_html_()
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" title="lehi report" style="[^"]*" onload="[^"]*"></iframe>', frame)
    assert found is not None
    assert unescape(found[1]) == formatted(result.report, "html")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_frame_is_as_tall_as_the_page_within_limits(result: lehi_cli.Result, tmp_path: Path) -> None:
    short = f"<iframe{result._repr_html_().partition('<iframe')[2]}".replace(
        escape(formatted(result.report, "html")), escape("<!doctype html><p style='height: 300px'>short</p>")
    )
    measure = """<script>onload = () => setTimeout(() => {
      const seen = [...document.querySelectorAll("iframe")].map(frame => [frame.clientHeight, frame.clientWidth,
        frame.contentDocument.documentElement.scrollHeight, frame.contentDocument.querySelectorAll("table").length]);
      document.body.textContent = "RESULT" + JSON.stringify(seen) + "END"; })</script>"""
    address = tmp_path / "notebook.html"
    address.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{result._repr_html_()}{short}{measure}', encoding="utf-8"
    )
    said = browse(address, tmp_path / "profile", "--window-size=1000,800")
    (height, width, page, tables), (low, _, content, _) = json.loads(
        unescape(re.search("RESULT(.*)END", said)[1])  # type: ignore[index]
    )
    assert page > 960 == height  # 60 lines of 16 pixels
    assert width > 900
    assert tables >= 4
    assert low == content
    assert 300 <= low < 400


USER = """
from functools import partial

import torch

import lehi_cli as lehi


class Mine(torch.optim.SGD):
    pass


def watch(event: lehi.Progress) -> None:
    if event.kind == "finished":
        print(event.optimizer, event.seed, event.status)


TASK = {"name": "mine", "data": {"source": "digits"}, "metrics": ["accuracy"]}

several: list[lehi.Optimizer] = [Mine, partial(Mine, lr=0.1), "adam"]
result: lehi.Result = lehi.compare([TASK, "digits"], several, seeds=[1, 2], progress=watch)
labelled = lehi.compare("digits", {"a": Mine, "b": "adam"}, overrides={"model.hidden": (8, 8)}, jobs=2, runs="here")
worst: float = max(verdict.interval.high for verdict in result.verdicts)
words: list[str] = [verdict.word for verdict in result.verdicts]
statuses: dict[str, str] = {run.run_id: run.status for run in result.runs}
try:
    result.assert_true("lehi <= adam*1.05 @ val_loss")
except lehi.LehiError as error:
    print(error.message, error.hint, error.exit_code)
print(result.save("r.html").stat().st_size, result.metrics().num_rows, lehi.report(task="digits").comparison)
swept = lehi.sweep("digits", "adam", over=["lr=1e-4..1e-2/log3"], seeds=2)
trained = lehi.train("digits", Mine, smoke=True)
lehi.train("digits", jobz=2)
"""


@pytest.mark.slow
def test_a_program_that_uses_it_is_type_checked(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    command += ["--config-file", str(tmp_path / "none.ini")]
    (tmp_path / "none.ini").write_text(
        "[mypy]\nfollow_imports = silent\n[mypy-pyarrow.*,scipy.*]\nignore_missing_imports = true\n"
    )
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env={"MYPYPATH": str(ROOT), "PATH": ""}
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert 'Unexpected keyword argument "jobz" for "train"' in errors[0]
