"""Markdown to the letter, and what a renderer makes of it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt  # rich is built on it, so it is there
from render.sample import AWKWARD, DOCUMENT, SUMMARY, draw

from lehi_cli.render.document import Document, Figure, Lines, Part, Trace
from lehi_cli.render.markdown import document_to_markdown, escape

GOLDEN = Path(__file__).parent / "golden" / "report.md"


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()


def test_the_whole_document() -> None:
    assert document_to_markdown(DOCUMENT, draw) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [AWKWARD, "a|b", "a*b*c", "**", "_a_ __b__ c_d", "<b>bold</b> <!-- -->", "&lt; & &amp;", "~~a~~ ~b~", "`a`` b",
     "[a](b) [c][d] ![e](f)", "\\", "\\|", "a\\*b", "p <0.0001", "https://a.b/c_d_e", "0.1 [-0.2, inf]"],
)  # fmt: skip
def test_text_reads_the_same_when_rendered(text: str) -> None:
    assert plain(rendered(escape(text))) == text
    table = rendered(f"| x |\n|---|\n| {escape(text)} |")
    cells = re.findall(r"<td>(.*?)</td>", table)
    assert [plain(cell) for cell in cells] == [text]


@pytest.mark.parametrize("line", ["# one", "- one", "+ one", "1. one", "12) one", "> one", "* one", "-", "=== a"])
def test_a_line_opens_no_list_heading_or_quotation(line: str) -> None:
    document = Document([Part("task", "", [Lines([line])])])
    html = rendered(document_to_markdown(document, draw))
    assert plain(html.split("</h2>")[1]) == line
    assert re.findall(r"<(\w+)>", html.split("</h2>")[1]) == ["p"]


def test_cells_survive_and_the_best_are_bold() -> None:
    html = rendered(document_to_markdown(DOCUMENT, draw))
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    assert [[plain(cell) for cell in row] for row in rows[1:4]] == [list(row) for row in SUMMARY.rows]
    bold = [plain(cell) for row in rows for cell in row if "<strong>" in cell]
    assert bold == ["0.082±0.003*", "-0.0100 [-0.02, inf]*"]


def test_a_figure_is_a_block_of_text_behind_a_fold() -> None:
    html = rendered(document_to_markdown(DOCUMENT, draw))
    assert html.count("<details>") == html.count("</details>") == 3
    assert "<summary>task_1: validation &lt;loss&gt;</summary>" in html
    assert '<pre><code class="language-text">┌─ passes ─┐\n│ 8 points ```` │\n</code></pre>' in html


def test_a_figure_with_nothing_in_it_is_left_out() -> None:
    document = Document([Part("task", "10 steps", [Figure("empty", "x", [Trace("a", [], [])])])])
    assert document_to_markdown(document, draw) == "## task\n\n10 steps\n"
