"""LaTeX to the letter, and through the real pdfLaTeX where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from render.sample import AWKWARD, DOCUMENT

from lehi_cli.render.document import Column, Document, Part, Table
from lehi_cli.render.latex import document_to_latex, escape

GOLDEN = Path(__file__).parent / "golden" / "report.tex"


def table_of(rows: list[list[str]], headings: list[Column]) -> str:
    return document_to_latex(Document([Part("task", "", [Table(headings, rows)])]))


def test_the_whole_document() -> None:
    assert document_to_latex(DOCUMENT) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% of a_b & c #1 $x {y}", r"50\% of a\_b \& c \#1 \$x \{y\}"),
        ("~ ^ \\", r"\textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("a < b > c | d", r"a $<$ b $>$ c \textbar{} d"),
        ("--task a---b", r"-{}-task a-{}-{}-b"),
        ("1±2 · 3", r"1$\pm$2 $\cdot$ 3"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_is_printed_as_it_is(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("cell", "right", "expected"),
    [
        ("-0.5", True, "$-$0.5"),
        ("-0.5", False, "-0.5"),
        ("1e-05", True, "1e$-$05"),
        ("-0.01 [-0.02, -.5]", True, r"$-$0.01 [$-$0.02, $-$.5]"),
        ("inf [-inf, inf]", True, r"$\infty$ [$-$$\infty$, $\infty$]"),
        ("2 ok, 1 info", True, "2 ok, 1 info"),
        ("2026-11-21", True, "2026-11-21"),
        ("-", True, "--"),
        ("-", False, "--"),
        ("-1±2*", True, r"\textbf{$-$1$\pm$2}\rlap{*}"),
    ],
)
def test_cells_have_minus_signs_and_the_best_are_bold(cell: str, right: bool, expected: str) -> None:
    text = table_of([["a", cell]], [Column("optimizer", right=False), Column("x", right=right)])
    assert f"\na & {expected} \\\\\n" in text


@pytest.mark.parametrize("name", ["[a]", "*a"])
def test_a_row_is_no_argument_of_the_row_before(name: str) -> None:
    text = table_of([["x", "1"], [name, "2"]], [Column("optimizer", right=False), Column("x")])
    assert f"\\\\\n{{}}{name} & 2 \\\\" in text


def test_a_wide_table_is_set_in_its_parts() -> None:
    columns = [Column("optimizer", right=False), *(Column("x" * 20, part) for part in (0, 0, 1, 2))]
    text = table_of([["a", "1", "2", "3", "4"]], columns)
    assert text.count(r"\begin{table}") == 1
    assert [line for line in text.splitlines() if line.startswith("a &")] == [
        r"a & 1 & 2 \\", r"a & 3 \\", r"a & 4 \\",
    ]  # fmt: skip


def test_labels_are_unique() -> None:
    text = document_to_latex(Document([*DOCUMENT.parts, *DOCUMENT.parts]))
    labels = [line for line in text.splitlines() if line.startswith(r"\label")]
    assert len(labels) == 4
    assert len(set(labels)) == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(tmp_path: Path) -> None:
    (tmp_path / "report.tex").write_text(document_to_latex(DOCUMENT), encoding="utf-8")
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n"
    page = f"{preamble}\\begin{{document}}\n\\input{{report}}\n{escape(AWKWARD)}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert "Missing character" not in said
