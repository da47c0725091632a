"""What is said about sections that cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cases import runs_of
from stored import write, write_all

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.distinction import distinctions, mixed_notes, short
from lehi_cli.analysis.labels import numbered
from lehi_cli.runs.specs import Budget
from lehi_cli.runs.store import Store


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        ([{"a": 1, "b": 2}], [""]),
        ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], ["b 2", "b 3"]),
        ([{"a": 1}, {"a": 1.0}], ["a 1", "a 1 #2"]),
        ([{}, {"a": 1}], ["", "a 1"]),
        ([{"checksum": "1234567"}, {"checksum": "7654321"}], ["data 123456", "data 765432"]),
        ([{"code.f": "1234567"}, {"code.f": "1234568"}], ["code 123456", "code 123456 #2"]),
        ([{"a": 1, "code.f": "x"}, {"a": 2, "code.f": "y"}], ["a 1", "a 2"]),
        ([{"a": 1, "code.f": "x"}, {"a": 1, "code.f": "y"}, {"a": 2}], ["a 1, code x", "a 1, code y", "a 2"]),
        ([{"data.fake": True, "checksum": "x"}, {"checksum": "y"}], ["", ""]),
        ([{"data.fingerprint": "abc"}, {"data.fingerprint": "abd"}], ["data abc", "data abd"]),
    ],
)
def test_texts_say_in_what_settings_differ(found: list[dict[str, object]], texts: list[str]) -> None:
    assert distinctions(found) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["lehi_cli.data.embedded:digits", "mine.data:letters"], ["digits", "letters"]),
        (["one.module:net", "other.module:net"], ["one.module:net", "other.module:net"]),
        ([[128, 128], None, 1e-4], ["128/128", "none", "0.0001"]),
        (["x" * 40, "y"], ["x" * 31 + "…", "y"]),
        (["x" * 40 + "1", "x" * 40 + "2"], ["x" * 40 + "1", "x" * 40 + "2"]),
    ],
)
def test_values_are_shortened_where_that_leaves_them_different(values: list[object], texts: list[str]) -> None:
    assert short(values) == texts


def test_numbers_are_the_last_resort() -> None:
    assert numbered(["a", "b", "a", "a", "a #2"]) == ["a", "b", "a #2", "a #3", "a #2 #2"]
    assert numbered(["", ""]) == ["", "#2"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def notes(store: Store) -> list[str]:
    return mixed_notes(arrange(store, store.runs()))


def test_nothing_is_said_where_all_can_be_compared(store: Store) -> None:
    write_all(store, "adam,sgd", [[1.0, 2.0], [3.0, 4.0]])
    write_all(store, "adam", [[1.0]], task="diabetes")
    assert notes(store) == []


def test_a_line_per_task_says_in_what_its_sections_differ(store: Store) -> None:
    (run,) = runs_of()
    write(store, run)
    write(store, replace(run, task=replace(run.task, budget=Budget("epochs", 3))))
    write_all(store, "adam", [[1.0]], task="diabetes")
    said = "sections that cannot be compared with each other: they differ in"
    assert notes(store) == [f"digits: 2 {said} budget"]
    write(store, replace(run, precision="bf16", task=replace(run.task, code={"f": "1234"})))
    assert notes(store) == [f"digits: 3 {said} budget, code and precision"]


def test_fake_data_is_named_once(store: Store) -> None:
    (run,) = runs_of()
    write(store, run, data="1111")
    write(store, replace(run, task=replace(run.task, data={**run.task.data, "fake": True})), data="2222")
    assert notes(store)[0].endswith("they differ in real or fake data")


def test_versions_of_an_optimizers_code_are_named(store: Store) -> None:
    first, second, third = runs_of("lehi:label=one,lehi:clip=2:label=two,adam")
    write(store, replace(first, optimizer_code="1a2b3c4d"))
    write(store, replace(second, optimizer_code="99887766"))
    write(store, third)
    assert notes(store) == ["digits: lehi ran in 2 versions of its code, kept apart: 1a2b3c and 998877"]
