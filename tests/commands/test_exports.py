"""Every format of `lehi report`, from the real command: the same facts in each, on any terminal."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from commanded import Lehi, change, document, fill, rows
from conftest import Result

import lehi_cli

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")
SUFFIXES = {"table": ".txt", "markdown": ".md", "csv": ".csv", "json": ".json", "latex": ".tex", "html": ".html"}
ODD = {
    "pipe": "a|b",
    "tag": "<b>bold</b>",
    "percent": "50%_x",
    "markup": "[red]R[/red]",
    "rocket": "🚀",
    "script": "日本語",
    "backslash": "back\\slash",
    "star": "*star*",
    "entity": "&amp;",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, three optimizers of which one diverges, two seeds."""
    optims = "lehi,adam,sgd:lr=1e6:label=wild"
    more = ("--task", "digits,diabetes", "--optims", optims, "--steps", "10", "--seeds", "2")
    return fill(tmp_path_factory.mktemp("trained") / "runs", "compare", *more)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels with whatever means something somewhere."""
    optims = ",".join(f"sgd:lr={0.01 * (i + 1):g}:label={label}" for i, label in enumerate(ODD.values()))
    more = ("--task", "digits", "--optims", optims, "--steps", "4", "--seeds", "2", "--executor", "mock")
    return fill(tmp_path_factory.mktemp("odd") / "runs", "compare", *more)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_file_says_where_its_numbers_come_from(lehi: Lehi, runs: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out{SUFFIXES[kind]}"
    result = lehi("report", "--runs", str(runs), "--task", "digits", "--output", str(path))
    assert result.code == 0
    assert result.out == ""
    assert f"wrote {path}" in result.err
    text = path.read_text(encoding="utf-8").replace("\\_", "_")
    known = document(lehi("report", "--runs", str(runs), "--task", "digits", "--json"))
    (section,) = known["sections"]
    environment = section["series"][0]["runs"][0]["environment"]
    facts = ["digits", "10 steps", "lehi", "adam", "wild", "diverged", environment["device"], lehi_cli.__version__]
    facts += [environment["torch"], known["provenance"]["data"].split()[1], "lehi report"]
    for fact in facts:
        assert fact in text, fact
    assert "fake data" not in text.lower()
    seeds = {row["seed"] for row in table(text)} if kind == "csv" else {"0", "1"}
    assert seeds == {"0", "1"}
    assert kind == "csv" or "0, 1" in text


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("how", [["--fake-data"], ["--executor", "mock"]], ids=["fake", "mock"])
def test_what_is_not_real_is_marked_everywhere(lehi: Lehi, tmp_path: Path, kind: str, how: list[str]) -> None:
    store = fill(tmp_path / "runs", "compare", "--task", "digits", "--steps", "2", "--seeds", "2", *how)
    text = lehi("report", "--runs", str(store), "--format", kind).out
    if kind == "csv":
        assert {row["fake_data"] for row in table(text)} == {"true"}
    elif kind == "json":
        assert all(section["fake_data"] for section in json.loads(text)["sections"])
        assert json.loads(text)["provenance"]["data"].endswith("FAKE DATA")
    else:
        assert text.count("FAKE DATA") >= 3  # in the heading, and with the figures or tables below it


def test_the_document_and_the_table_are_the_same_facts(lehi: Lehi, runs: Path) -> None:
    shown = rows(lehi("report", "--runs", str(runs), "--task", "digits").out)
    (section,) = document(lehi("report", "--runs", str(runs), "--task", "digits", "--json"))["sections"]
    assert [row[0] for row in shown] == [series["label"] for series in section["series"]]
    for row, series in zip(shown, section["series"], strict=True):
        loss = series["final"]["val_loss"]
        if loss["mean"] is None:
            assert (row[2], loss["n"], row[1]) == ("-", 0, "0/2")
            assert [run["status"] for run in series["runs"]] == ["diverged"] * 2
        else:
            mean, sd = row[2].rstrip("*").split("±")
            assert float(mean) == pytest.approx(loss["mean"], abs=5e-3)
            assert float(sd) == pytest.approx(loss["sd"], rel=0.05)


def test_csv_has_a_row_for_every_run_and_every_digit(lehi: Lehi, runs: Path) -> None:
    found = table(lehi("report", "--runs", str(runs), "--format", "csv").out)
    assert len(found) == 12
    assert [row["status"] for row in found].count("diverged") == 4
    assert all(row["val_loss"] == "" for row in found if row["status"] == "diverged")
    assert all(row["steps"] == "2" for row in found if row["status"] == "diverged")
    assert all(row["val_mae"] == "" for row in found if row["task"] == "digits")
    assert len({row["run_id"] for row in found}) == 12
    assert {row["command"] for row in found} == set(
        document(lehi("report", "--runs", str(runs), "--json"))["provenance"]["command"].splitlines()
    )
    for section in document(lehi("report", "--runs", str(runs), "--json"))["sections"]:
        for series in section["series"]:
            own = [row for row in found if row["task"] == section["task"] and row["label"] == series["label"]]
            values = [float(row["test_loss"]) for row in own if row["test_loss"]]
            assert len(own) == 2
            if values:
                assert sum(values) / 2 == pytest.approx(series["final"]["test_loss"]["mean"], rel=1e-12)


def test_a_file_is_replaced_and_the_format_asked_for_wins(lehi: Lehi, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    path.write_text("x" * 10**6)
    assert lehi("report", "--runs", str(runs), "--output", str(path)).code == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert lehi("report", "--runs", str(runs), "--format", "csv", "--output", str(path)).code == 0
    assert path.read_text(encoding="utf-8").startswith("task,fake_data,")
    assert lehi("report", "--runs", str(runs), "--json", "--output", str(path)).code == 0
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_path_that_is_no_text_is_written_as_far_as_it_goes(
    lehi: Lehi, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    link = tmp_path / "r\udcff"
    link.symlink_to(runs)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert lehi("report", "--task", "*", "--runs", str(link), "--format", kind, "--output", "out").code == 0
    assert "lehi" in (tmp_path / "out").read_text(encoding="utf-8")
    assert "r?" in (tmp_path / "summary.md").read_text(encoding="utf-8")


BAD = [
    (("--format", "htm"), "unknown format 'htm'; did you mean 'html'?"),
    (("--format", ""), "unknown format ''"),
    (("--json", "--format", "html"), "--json and --format html are two formats"),
    (("--output", "nowhere/out.csv"), "cannot write nowhere/out.csv: No such file or directory"),
    (("--output", "."), "the name . does not tell a format"),
    (("--output", "report.doc"), "the name report.doc does not tell a format"),
    (("--format", "csv", "--output", "."), "cannot write .: Is a directory"),
    (("--format", "latex", "--output", "/dev/null/x.tex"), "cannot write /dev/null/x.tex: Not a directory"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_what_cannot_be_written_gets_one_message(
    lehi: Lehi, runs: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = lehi("report", "--runs", str(runs), *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_odd_labels_are_whole_in_data_formats(lehi: Lehi, odd: Path) -> None:
    every = set(ODD.values())
    assert {row["label"] for row in table(lehi("report", "--runs", str(odd), "--format", "csv").out)} == every
    (section,) = document(lehi("report", "--runs", str(odd), "--json"))["sections"]
    assert {series["label"] for series in section["series"]} == every
    assert {verdict["label"] for verdict in section["verdicts"]} == every - {ODD["pipe"]}


@pytest.mark.parametrize("label", ["two\nlines", "bell\a", "\x1b[31mred", "\udcff"])
def test_a_label_is_one_line_that_commands_nothing(lehi: Lehi, tmp_path: Path, label: str) -> None:
    result = lehi("compare", "--task", "digits", "--optims", f"sgd,adam:label={label}", "--steps", "2")
    assert result.code == 2
    assert "has a line break or what is no character" in result.err
    assert label not in result.err
    assert not list(tmp_path.iterdir())


def test_rates_that_have_names_of_their_own_are_not_called_by_the_first(lehi: Lehi, odd: Path) -> None:
    text = lehi("report", "--runs", str(odd)).out
    (row,) = rows(text[text.index("final validation loss against learning rate") :])
    assert row[0] == "sgd"


class Page(HTMLParser):
    """The text of table cells, and every tag that occurs."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self._inside = tag in ("td", "th")
        if self._inside:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


def test_odd_labels_read_the_same_in_html(lehi: Lehi, odd: Path) -> None:
    page = Page(lehi("report", "--runs", str(odd), "--format", "html").out)
    assert set(ODD.values()) <= set(page.cells)
    assert "b" not in page.tags


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("table", ["a|b", "<b>bold</b>", "50%_x", "[red]R[/red]", "🚀", "日本語", "back\\slash", "*star*", "&amp;"]),
        ("markdown", ["a\\|b", "\\<b>bold\\</b>", "[red]R[/red]", "back\\\\slash", "\\*star\\*", "\\&amp;"]),
        (
            "latex",
            [r"a\textbar{}b", "$<$b$>$bold", r"50\%\_x", "[red]R[/red]", r"back\textbackslash{}slash", r"\&amp;"],
        ),
    ],
)
def test_odd_labels_are_escaped_where_they_must_be(lehi: Lehi, odd: Path, kind: str, written: list[str]) -> None:
    text = lehi("report", "--runs", str(odd), "--format", kind).out
    for label in written:
        assert label in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_terminal_without_unicode_gets_every_format(
    lehi: Lehi, odd: Path, monkeypatch: pytest.MonkeyPatch, kind: str, encoding: str
) -> None:
    raw = io.BytesIO()
    with monkeypatch.context() as patched:
        stream = io.TextIOWrapper(raw, encoding=encoding)
        patched.setattr(sys, "stdout", stream)
        result = lehi("report", "--runs", str(odd), "--format", kind)
        stream.flush()
    assert (result.code, result.err) == (0, "")
    # A page is UTF-8 as it says; other exports are where there is only ASCII, which is a part of it.
    is_utf8 = kind == "html" or (encoding == "ascii" and kind != "table")
    text = raw.getvalue().decode("utf-8" if is_utf8 else encoding)
    assert kind != "html" or set(ODD.values()) <= set(Page(text).cells)
    assert "digits" in text
    if kind == "json":  # nothing is lost
        assert set(ODD.values()) == {series["label"] for series in json.loads(text)["sections"][0]["series"]}


def test_a_reader_that_stops_early_sees_no_traceback(runs: Path) -> None:
    command = [sys.executable, "-m", "lehi_cli", "report", "--runs", str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_no_terminal_is_so_narrow_that_a_number_is_cut(
    lehi: Lehi, runs: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    arguments = ("report", "--runs", str(runs), "--task", "digits")
    cells = {cell for row in rows(lehi(*arguments).out) for cell in row}
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    narrow = lehi(*arguments)
    assert narrow.code == 0
    for cell in cells:
        assert cell in narrow.out


def failed(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    error = {"type": "Boom", "message": f"out | of\n{kind} <b>"}

    def edit(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "status": kind, "outcome": {}, "error": error} if state["label"] == "adam" else state

    return edit


@pytest.mark.parametrize("status", ["planned", "running", "pruned", "error", "oom", "timeout", "interrupted", "killed"])
def test_runs_that_did_not_end_well_are_shown_and_have_no_value(lehi: Lehi, tmp_path: Path, status: str) -> None:
    more = ("--task", "digits", "--optims", "lehi,adam", "--steps", "2", "--seeds", "2", "--executor", "mock")
    store = fill(tmp_path / "runs", "compare", *more)
    change(store, failed(status))
    for kind in FORMATS:
        result = lehi("report", "--runs", str(store), "--format", kind, "--cost", "--target", "val_loss=0.5")
        assert (result.code, result.err) == (0, ""), kind
        assert status in result.out
    shown = {row[0]: row for row in rows(lehi("report", "--runs", str(store)).out)}
    assert shown["adam"][1:3] == ["0/2", "-"]
    assert shown["adam"][-1] == f"2 {status}"
    assert shown["lehi"][1] == "2"
    csv_rows = table(lehi("report", "--runs", str(store), "--format", "csv").out)
    assert [row["val_loss"] for row in csv_rows if row["status"] == status] == ["", ""]


def test_all_runs_diverged_is_a_table_without_numbers(lehi: Lehi, tmp_path: Path) -> None:
    optims = "sgd:lr=1e6,sgd:lr=2e6"
    result = lehi("compare", "--task", "digits", "--optims", optims, "--steps", "3", "--seeds", "2", "--quiet")
    assert result.code == 0
    assert [row[1:4] for row in rows(result.out)] == [["0/2", "-", "-"]] * 2
    assert "*" not in "".join(cell for row in rows(result.out) for cell in row)
    for kind in FORMATS:
        assert lehi("report", "--format", kind, "--cost").code == 0


def test_a_value_that_is_no_number_wins_nothing(lehi: Lehi, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    more = ("--task", "digits", "--optims", "lehi,adam", "--steps", "2", "--seeds", "2", "--executor", "mock")
    store = fill(tmp_path / "runs", "compare", *more)
    for path in store.glob("*/metrics-*.parquet"):
        found = pq.read_table(path)
        lines = found.to_pylist()
        for line in lines:
            if line["label"] == "lehi":
                line["accuracy"] = 0.99 if line["seed"] else float("nan")
        pq.write_table(pa.Table.from_pylist(lines, schema=found.schema), path)
    own = {row[0]: row for row in rows(lehi("report", "--runs", str(store)).out)}
    assert not own["lehi"][3].endswith("*")
    assert own["adam"][3].endswith("*")
    for kind in FORMATS:
        assert lehi("report", "--runs", str(store), "--format", kind).code == 0
    document(lehi("report", "--runs", str(store), "--json"))


@pytest.mark.parametrize("kind", FORMATS)
def test_one_optimizer_and_one_seed_is_a_report_too(lehi: Lehi, runs: Path, kind: str) -> None:
    result: Result = lehi(
        "report", "--runs", str(runs), "--optims", "adam", "--seeds", "1,", "--task", "digits", "--format", kind
    )
    assert result.code == 0
    assert "adam" in result.out
    assert "verdict against" not in result.out
