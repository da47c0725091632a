"""`lehi data`, as it is typed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Result

from lehi_cli.data import catalog
from lehi_cli.data.catalog import CORPORA

Lehi = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a damaged Shakespeare and a part of Penn Treebank that is its own."""
    folder = tmp_path / "sets"
    for path in ("tinyshakespeare/input.txt", "protein-tertiary-structure/n_splits.txt"):
        (folder / path).parent.mkdir(parents=True)
    (folder / "tinyshakespeare/input.txt").write_text("to be")
    (folder / "protein-tertiary-structure/n_splits.txt").write_text("5\n")
    return folder


@pytest.mark.parametrize("verb", [("data",), ("data", "list")])
def test_the_list_says_what_is_there(lehi: Lehi, folder: Path, verb: tuple[str, ...]) -> None:
    result = lehi(*verb, "--data-dir", str(folder))
    assert result.code == 0, result.err
    rows = {cells[0]: cells for cells in (line.strip("| ").split("|") for line in result.out.splitlines()[2:-1])}
    table = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert set(table) == set(CORPORA)
    assert {name: cells[3] for name, cells in table.items() if cells[3] != "no"} == {
        "shakespeare": "damaged",
        "protein": "partly",
    }
    assert table["shakespeare"][2] == "1.1 MB"
    assert str(folder) in result.out


def test_the_folder_may_come_from_the_environment(lehi: Lehi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEHI_DATA", str(folder))
    assert "damaged" in lehi("data").out
    assert lehi("data", "path").out == f"{folder}\n"
    assert lehi("data", "path", "shakespeare").out == f"{folder / 'tinyshakespeare'}\n"


def test_fetching_what_is_there_does_nothing(lehi: Lehi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protein = CORPORA["protein"]
    there = replace(protein, files=tuple(file for file in protein.files if file.path.endswith("n_splits.txt")))
    monkeypatch.setattr(catalog, "CORPORA", {**CORPORA, "protein": there})
    monkeypatch.setattr("lehi_cli.data.fetch.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    result = lehi("data", "fetch", "protein", "--data-dir", str(folder))
    assert (result.code, result.out) == (0, "")
    assert result.err == f"protein: already there, in {folder / 'protein-tertiary-structure'}\n"


def test_a_failed_fetch_is_one_clear_error(lehi: Lehi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    ptb = CORPORA["ptb"]
    refused = replace(ptb, files=tuple(replace(file, url="http://127.0.0.1:9/") for file in ptb.files))
    monkeypatch.setattr(catalog, "CORPORA", {**CORPORA, "ptb": refused})
    result = lehi("data", "fetch", "ptb", "--data-dir", str(folder))
    assert result.code == 2
    assert result.err.startswith("error: http://127.0.0.1:9/ cannot be fetched: ")
    assert str(folder / "ptb/ptb.train.txt") in result.err
    assert "Traceback" not in result.err


def test_an_unknown_name_is_a_usage_error(lehi: Lehi) -> None:
    result = lehi("data", "fetch", "pbt")
    assert result.code == 2
    assert "unknown data set 'pbt'; did you mean 'ptb'?" in result.err


def test_a_run_without_its_files_says_how_to_get_them(lehi: Lehi, tmp_path: Path) -> None:
    result = lehi("train", "--task", "ptb", "--data-dir", str(tmp_path / "none"))
    assert result.code == 2
    assert "lacks ptb.train.txt, ptb.valid.txt, ptb.test.txt" in result.err
    assert f"lehi data fetch ptb --data-dir {tmp_path / 'none'}" in result.err


def test_listing_starts_without_torch(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = (
        "import sys\nfrom lehi_cli.data.folder import data_folder\nfrom lehi_cli.commands.data import data_table\n"
        "data_table(data_folder())\nsys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"
    )
    assert python("-c", code).returncode == 0
