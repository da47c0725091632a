"""What a report has, in which order, and what it leaves out where there is too much."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from cases import runs_of
from rich.console import Console
from stored import write, write_all

from lehi_cli.experiment.report import View, make_report
from lehi_cli.render.document import Document, Figure, Heading, Lines, Part, Table
from lehi_cli.render.report import MOST_DRAWN, to_document
from lehi_cli.render.terminal import print_parts
from lehi_cli.runs.store import Store

THREE = [[0.5, 0.6, 0.7], [0.8, 0.9, 1.0], [0.55, 0.65, 0.75]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "runs")
    found.prepare()
    return found


def document(store: Store, **view: object) -> Document:
    return to_document(make_report(store, store.runs(), View(**view)))  # type: ignore[arg-type]


def figures(part: Part) -> list[Figure]:
    return [block for block in part.blocks if isinstance(block, Figure)]


def test_a_section_says_first_what_decides(store: Store) -> None:
    write_all(store, "adam,sgd,lehi", THREE)
    (part,) = document(store, cost=True, x="steps").parts
    assert (part.title, part.subtitle) == ("digits", "25 steps · batch 64 · 3 seeds (0, 1, 2) · cpu")
    kinds = [type(block) for block in part.blocks]
    assert kinds == [Lines, Table, Lines, Table, Figure, Figure, Lines, Heading, Table]
    answer, verdict, *_ = part.blocks
    assert isinstance(answer, Lines)
    assert isinstance(verdict, Table)
    assert answer.strong
    assert answer.lines[0].startswith("against adam on digits: ")
    assert verdict.columns[0].heading == "optimizer, metric"
    headings = [block.text for block in part.blocks if isinstance(block, Heading)]
    assert headings[0].startswith("price of a step on cpu, 1 thread: by the clocks of the runs")


def test_curves_have_the_mean_and_the_range_of_the_seeds(store: Store) -> None:
    write_all(store, "adam,sgd,lehi", THREE)
    curves, _ = figures(document(store, x="steps").parts[0])
    assert curves.title == "digits: validation loss"
    assert curves.caption == "line: mean of 3 seeds; band: from the lowest to the highest run"
    best, *_ = curves.traces
    assert (best.label, best.style, list(best.xs)) == ("adam", 0, [1, 2])
    assert list(best.ys) == pytest.approx([2.0, 0.6])
    assert (list(best.low), list(best.high)) == ([2.0, 0.5], [2.0, 0.7])


def test_final_values_have_the_interval_of_their_mean(store: Store) -> None:
    write_all(store, "adam,sgd,lehi", THREE)
    *_, finals = figures(document(store).parts[0])
    assert list(finals.rows) == ["adam", "lehi", "sgd"]
    first = finals.traces[0]
    half = 4.302653 * 0.1 / math.sqrt(3)  # Student's t, 2 degrees of freedom
    assert first.xs == pytest.approx([0.6])
    assert [*first.low, *first.high] == pytest.approx([0.6 - half, 0.6 + half], abs=1e-6)
    assert list(first.marks[0]) == [0.5, 0.6, 0.7]


def test_one_seed_has_no_bands_and_no_intervals(store: Store) -> None:
    write_all(store, "adam,sgd", [[0.5], [0.6]])
    (curves,) = figures(document(store).parts[0])
    assert curves.caption == ""
    assert not any(trace.low for trace in curves.traces)


def test_curves_of_many_settings_are_those_of_the_best(store: Store) -> None:
    many = ",".join(f"adam:lr={rate}" for rate in range(1, 15))
    write_all(store, many, [[float(rate)] for rate in range(1, 15)])
    curves = figures(document(store).parts[0])[0]
    assert [trace.label for trace in curves.traces] == [f"adam:lr={rate}" for rate in range(1, 13)]
    assert curves.caption == "the best 12 of 14"


def test_a_report_on_many_tasks_has_no_figures(store: Store) -> None:
    (run,) = runs_of("adam")
    for i in range(MOST_DRAWN):
        write(store, replace(run, task=replace(run.task, name=f"task{i:02d}")), [2.0, 1.0])
    assert all(figures(part) for part in document(store).parts)
    write(store, replace(run, task=replace(run.task, name="one_more")), [2.0, 1.0])
    parts = document(store).parts
    assert not any(figures(part) for part in parts)
    assert parts[-1] == Part("figures", "", [Lines(["none in a report on 21 tasks; name up to 20"])])


def test_what_is_said_of_a_table_stands_right_below_it() -> None:
    blocks = [Table([], [], "caption"), Lines(["a note"]), Lines(["another thought"]), Heading("more"), Lines(["end"])]
    stream = io.StringIO()
    console = Console(file=stream, width=40, force_terminal=True, color_system=None)
    print_parts(console, [Part("title [x]", "sub [y]", blocks)])
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines[:2] == ["title [x]  sub [y]", ""]
    assert lines[lines.index("caption") :] == ["caption", "a note", "", "another thought", "", "more", "", "end", ""]
