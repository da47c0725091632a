"""The page: well-formed, alone, escaped; its figures say what the traces say; and it fits a phone in a real browser."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections import Counter
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from render.sample import AWKWARD, CURVES, DOCUMENT, EMPTY, FINALS, SUMMARY

from lehi_cli.render.axes import is_drawable
from lehi_cli.render.document import Column, Document, Figure, Lines, Part, Table, Trace
from lehi_cli.render.html import document_to_html
from lehi_cli.render.svg import COLORS, LOST, appearance, figure_to_svg, legend

VOID = {"meta", "link", "br", "hr", "img", "input"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """Every element with its attributes and text; a tag that is closed out of turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open:
            self.texts.append((self._open[-1], data.strip()))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if tag in tags]


@pytest.fixture(scope="module")
def html() -> str:
    return document_to_html(DOCUMENT)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_needs_nothing_else(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>\n")
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "base"}
    assert set(re.findall(r'([\w:]+)="https?://', html)) == {"xmlns", "xmlns:xlink"}
    assert not re.findall(r"url\((?!#)|@import", html)
    references = [value or "" for _, attributes in page.elements for key, value in attributes.items() if "href" in key]
    assert references
    assert all(reference.startswith("#") for reference in references)


def test_references_lead_to_unique_ids(html: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    targets = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert {a or b for a, b in targets} <= set(ids)
    assert {"figure1", "figure2"} == {str(name).partition("-")[0] for name in ids if str(name).startswith("figure")}


def test_two_figures_alike_share_no_id() -> None:
    page = Page(document_to_html(Document([Part("a", "", [CURVES, CURVES]), Part("b", "", [CURVES])])))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_tables_have_headings_rows_and_the_best_in_bold(page: Page) -> None:
    scopes = Counter(attributes.get("scope") for attributes in page.of("th"))
    assert scopes == {"col": len(SUMMARY.columns) + 2, "row": len(SUMMARY.rows) + 1}
    assert page.said("strong") == ["0.082±0.003", "-0.0100 [-0.02, inf]"]
    assert page.said("th")[:5] == ["optimizer", "val loss", "val_acc", "lr", "best setting"]
    assert {"a & b", "1.2e-07", "<0.0001"} <= set(page.said("td"))
    assert page.said("figcaption") == [SUMMARY.caption, CURVES.caption]


def test_text_is_escaped_and_headings_are_in_order(html: str, page: Page) -> None:
    assert AWKWARD in page.said("th")
    assert AWKWARD in page.said("li")
    assert "<é>" not in html
    headings = [name for name, _ in page.elements if name in ("h1", "h2", "h3")]
    assert headings == ["h1", "h2", "h2", "h3"]
    assert page.said("p")[-1] == FINALS.title
    assert page.said("dt") == ["command", "data"]
    assert page.said("title")[0] == "lehi report: task_1 [FAKE DATA], task 2"


def test_figures_are_named_for_those_who_do_not_see_them(page: Page) -> None:
    drawn = [attributes for attributes in page.of("svg") if attributes.get("role") == "img"]
    assert [attributes["aria-label"] for attributes in drawn] == [CURVES.title, FINALS.title]
    assert page.said("title")[1:] == [CURVES.title, FINALS.title]
    assert all(attributes.get("aria-hidden") == "true" for attributes in page.of("svg") if "role" not in attributes)


def test_the_page_is_the_same_every_time(html: str) -> None:
    assert document_to_html(DOCUMENT) == html


@pytest.mark.parametrize("document", [Document([]), Document([Part("task", "", [Lines([""]), EMPTY])])])
def test_an_empty_document_is_a_page_too(document: Document) -> None:
    page = Page(document_to_html(document))
    assert not page.of("figure")
    assert not page.of("details")


def test_a_figure_takes_the_colour_and_the_font_of_the_page() -> None:
    svg = figure_to_svg(CURVES, "f")
    assert "currentColor" in svg
    assert "font-family" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert not {"#000000", "#ffffff"} & set(re.findall(r"#[0-9a-f]{6}", svg))
    assert {COLORS[0], COLORS[1], LOST} <= set(re.findall(r"#[0-9a-f]{6}", svg))
    assert "passes" in re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def lines_of(figure: Figure, style: int = 0) -> list[list[tuple[float, float]]]:
    """The places of every stroke of a style's colour, in the figure's own points."""
    found = re.findall(rf'<path d="([^"]+)"[^>]*style="fill: none; stroke: {COLORS[style]}', figure_to_svg(figure, "f"))
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)] for path in found]


def ticks_of(figure: Figure) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure_to_svg(figure, "f"))]


def test_a_logarithmic_axis_puts_equal_ratios_at_equal_distances() -> None:
    ((first, second, third),) = lines_of(Figure("f", "x", [Trace("a", [0.0, 1.0, 2.0], [1.0, 0.1, 0.01])]))
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=1e-3)
    ((first, second, third),) = lines_of(Figure("f", "x", [Trace("a", [0.0, 1.0, 2.0], [3.0, 2.0, 1.0])]))
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=1e-3)


@pytest.mark.parametrize(
    ("log_y", "ys", "is_log"),
    [(None, [1.0, 0.5], False), (None, [1.0, 0.05], True), (False, [1.0, 0.05], False), (True, [1.0, 0.5], True),
     (True, [1.0, 0.0], False), (None, [1.0, -5.0], False)],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_its_values_allow_it(log_y: bool | None, ys: list[float], is_log: bool) -> None:
    middle = math.sqrt(ys[0] * ys[1]) if is_log else sum(ys) / 2
    figure = Figure("f", "x", [Trace("a", [0.0, 1.0, 2.0], [ys[0], middle, ys[1]])], log_y=log_y)
    ((first, second, third),) = lines_of(figure)
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=1e-3)


def test_many_decades_are_named_without_crowding() -> None:
    xs = [10.0**k for k in range(-5, 1)]
    named = [text for text in ticks_of(Figure("f", "lr", [Trace("a", xs, [1.0] * 6)], log_x=True)) if text != "lr"]
    across = [name for name in named if name in {"1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "2e-05", "5e-05"}]
    assert across[:6] == ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1"]


@pytest.mark.parametrize("ys", [[1e-200, 1e200], [1.0, 1e300], [5e-324, 1e-323]])
def test_the_largest_and_the_smallest_numbers_can_be_drawn(ys: list[float]) -> None:
    assert "<svg" in figure_to_svg(Figure("", "", [Trace("a", [0.0, 1.0], ys)]), "a")


def test_steps_are_held_to_the_end() -> None:
    figure = Figure("f", "x", [Trace("a", [0.0, 1.0], [2.0, 1.0], 0, "steps"), Trace("b", [0.0, 4.0], [2.0, 1.0], 1)])
    (steps,), (line,) = lines_of(figure, 0), lines_of(figure, 1)
    (x0, high), *_, (x1, low) = line
    quarter = x0 + (x1 - x0) / 4
    expected = [(x0, high), (quarter, high), (quarter, low), (x1, low)]
    assert [point for i, point in enumerate(steps) if point not in steps[:i]] == [
        (pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3)) for x, y in expected
    ]


def test_one_optimizer_that_shoots_up_leaves_the_others_readable() -> None:
    xs = [0.0, 1.0]
    figure = Figure(
        "f", "x", [Trace("a", xs, [2.0, 1.0], 0), Trace("b", xs, [2.0, 1.5], 1), Trace("c", xs, [2.0, 1e9], 2)]
    )
    ((first, last),) = lines_of(figure, 0)
    assert last[1] - first[1] > 100  # of 245 points
    said = Page(document_to_html(Document([Part("task", "", [figure, CURVES])]))).said("figcaption")
    assert said == ["a line that leaves the frame goes far beyond the others", CURVES.caption]


def test_an_open_interval_ends_at_the_frame() -> None:
    open_ended = Trace("a", [0.0, 1.0], [2.0, 1.0], 0, low=[1.0, -math.inf], high=[math.inf, 1.5])
    svg = figure_to_svg(Figure("f", "x", [open_ended]), "f")
    assert not re.findall(r"\b(inf|nan)\b", svg)
    assert f"fill: {COLORS[0]}; fill-opacity" in svg


def test_rows_stand_from_top_to_bottom_with_their_intervals_and_single_runs() -> None:
    traces = [
        Trace("", [x], [i], i, "points", [x - 1], [x + 1], [[x - 0.5, x + 0.5]]) for i, x in enumerate((2.0, 3.0))
    ]
    figure = Figure("f", "loss", traces, rows=["first", "second"])
    ((left, right),) = lines_of(figure, 0)
    ((other, _),) = lines_of(figure, 1)
    assert left[1] == right[1] < other[1]
    assert other[0] - left[0] == pytest.approx((right[0] - left[0]) / 2, abs=1e-3)
    assert [text for text in ticks_of(figure) if text in figure.rows] == ["first", "second"]
    svg = figure_to_svg(figure, "f")
    assert [len(re.findall(rf"<use [^>]*fill: {COLORS[i]}", svg)) for i in (0, 1)] == [3, 3]  # two runs and their mean
    assert "no value" in ticks_of(FINALS)


def test_the_legend_names_each_look_once_and_nothing_in_rows() -> None:
    assert [(key.label, key.is_line) for key in legend(CURVES)] == [("floor", True), ("lehi", True), ("a*b|c_d", True)]
    assert legend(FINALS) == []
    assert not is_drawable(EMPTY)


def test_colours_that_repeat_have_other_dashes() -> None:
    looks = [appearance(style) for style in range(2 * len(COLORS))]
    assert len(set(looks)) == len(looks)
    assert len({one.color for one in looks}) == len(COLORS)


def browse(address: Path, profile: Path, *flags: str) -> str:
    """The page as it is after it was laid out."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={profile}", *flags, "--dump-dom", address.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


WRAPPER = """<!doctype html><meta charset="utf-8"><body>
<iframe style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const tall = page.querySelector(".plot svg").getBoundingClientRect(), box = page.querySelector(".scroll");
  document.body.textContent = "RESULT" + JSON.stringify({{
    inside: root.clientWidth, page: root.scrollWidth, table: box.scrollWidth, box: box.clientWidth,
    figure: [tall.width, tall.height], ground: getComputedStyle(page.body).backgroundColor,
    columns: getComputedStyle(page.querySelector(".plots")).gridTemplateColumns.split(" ").length,
  }}) + "END";
}};
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize(
    ("width", "flags", "ground", "columns"),
    [
        (390, ["--blink-settings=preferredColorScheme=1"], "rgb(255, 255, 255)", 1),
        (1280, ["--blink-settings=preferredColorScheme=0"], "rgb(18, 22, 27)", 2),
    ],
    ids=["phone-light", "desktop-dark"],
)
def test_the_page_fits(tmp_path: Path, width: int, flags: list[str], ground: str, columns: int) -> None:
    heading = [Column("optimizer", right=False), *(Column(f"metric number {i}") for i in range(12))]
    wide = Table(heading, [[AWKWARD * 3, *["0.123456±0.000123"] * 12]], "caption " * 40)
    parts = [*DOCUMENT.parts, Part("x" * 200, "y" * 200, [wide, Lines(["z" * 300]), FINALS])]
    html = document_to_html(Document([Part("first", "", [wide, CURVES, FINALS]), *parts], [("data", "d" * 300)]))
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WRAPPER.format(width=width, page=escape(html)), encoding="utf-8")
    laid_out = browse(wrapper, tmp_path / "profile", *flags)
    found = json.loads(unescape(laid_out.split("RESULT")[1].split("END")[0]))
    assert found["inside"] in range(width - 20, width + 1)
    assert found["page"] == found["inside"]
    assert (found["table"] > found["box"]) == (columns > 1)  # on a phone rows are set one cell below the other
    assert found["figure"][0] <= width
    assert found["figure"][0] / found["figure"][1] == pytest.approx(5.2 / 3.4, rel=0.01)
    assert found["ground"] == ground
    assert found["columns"] == columns
