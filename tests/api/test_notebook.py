"""The example's notebook, run by a real kernel: what it shows, and how it is told of progress."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from documents import ROOT
from nbconvert.preprocessors import ExecutePreprocessor

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of code with their outputs."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("LEHI_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        changed.setenv("PYTHONWARNINGS", "error::UserWarning,error::RuntimeWarning,error::FutureWarning")
        changed.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        changed.delenv("LEHI_RUNS", raising=False)
        changed.setenv("PYTHONPATH", str(ROOT))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        folder = tmp_path_factory.mktemp("notebook")
        ExecutePreprocessor(timeout=300).preprocess(notebook, {"metadata": {"path": str(folder)}})
    assert len(list((folder / "runs").glob("*/run.json"))) == 12  # of which adam's are in both comparisons
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cell: Any, kind: str) -> list[str]:
    """What a cell shows as `text/html` or `text/plain`, or prints on `stdout` or `stderr`."""
    if "/" in kind:
        return [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]
    return [output.text for output in cell.outputs if output.get("name") == kind]


def test_the_notebook_is_kept_without_outputs() -> None:
    kept = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(kept)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in kept.cells if cell.cell_type == "code")


def test_every_cell_runs_without_a_word_on_stderr(cells: list[Any]) -> None:
    for cell in cells:
        assert [output for output in cell.outputs if output.output_type == "error"] == []
        assert outputs(cell, "stderr") == []


def test_a_comparison_shows_its_progress_in_one_line_and_then_its_page(cells: list[Any]) -> None:
    line, page = outputs(cells[0], "text/html")
    assert line.startswith('<progress value="6.000" max="6"></progress> 6 of 6 runs, digits ')
    assert page.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "lehi on digits: val loss" in unescape(page)
    assert outputs(cells[0], "text/plain")[-1].startswith("<lehi result, 6 runs>")


def test_the_numbers_are_there(cells: list[Any]) -> None:
    (said,) = outputs(cells[1], "stdout")
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "adam against lehi on digits, val_loss",
        "adam against lehi on digits, val_accuracy",
    ]
    (table,) = outputs(cells[1], "text/html")
    assert all(f"<th>{name}</th>" in table for name in ("adam", "lehi"))


def test_an_optimizer_of_a_file_is_compared_and_one_of_a_cell_refused(cells: list[Any]) -> None:
    (line,) = outputs(cells[3], "text/html")
    assert "6 of 6 runs" in line
    (said,) = outputs(cells[3], "stdout")
    assert said.startswith("<lehi result, 9 runs>")
    assert "Signs:lr=0.003" in said
    (refused,) = outputs(cells[4], "stdout")
    assert refused.startswith(
        "Typed is defined in a notebook or at a prompt, where worker processes cannot import it; "
    )
    assert "%%writefile my_file.py" in refused
    assert not Path("my_optimizer.py").exists()
