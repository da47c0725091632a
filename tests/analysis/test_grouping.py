"""Many settings reduced to the best, per optimizer or per value of some options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cases import runs_of
from stored import write, write_all

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.grouping import best_by, best_of_sections, by, chosen_notes, group_sections
from lehi_cli.analysis.results import Section
from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def arranged(store: Store) -> list[Section]:
    return arrange(store, store.runs())


def shown(section: Section) -> list[tuple[str, int]]:
    return [(series.label, series.chosen_from) for series in section.series]


def test_of_each_optimizer_the_best_mean_is_kept(store: Store) -> None:
    write_all(
        store,
        "sgd:lr=0.1,sgd:lr=0.2,sgd:lr=0.3,adam",
        [[1.0, 9.0], [3.0, 4.0], [4.0, 4.0], [2.0, 2.0]],  # sgd: means 5, 3.5, 4
    )
    best = best_by(arranged(store)[0])
    assert shown(best) == [("sgd:lr=0.2", 3), ("adam", 1)]
    assert [series.chosen_by for series in best.series] == ["val_loss", ""]
    assert chosen_notes(best) == [
        "sgd:lr=0.2: best of 3 settings by val_loss, on the runs shown: this favours whoever tried more"
    ]
    assert chosen_notes(arranged(store)[0]) == []


def test_a_setting_that_lost_a_run_is_kept_only_when_all_did(store: Store) -> None:
    runs = runs_of("sgd:lr=0.1,sgd:lr=0.2,adam:lr=0.1,adam:lr=0.2", seeds=2)
    low = {0: 0.1, 1: 0.5, 2: 0.3, 3: 0.2}
    for i, run in enumerate(runs):
        lost = run.seed == 1 and i % 4 != 1  # of sgd the first setting, of adam both
        write(store, run, [low[i % 4]], status="diverged" if lost else "ok")
    assert shown(best_by(arranged(store)[0])) == [("sgd:lr=0.2", 2), ("adam:lr=0.2", 2)]


def test_a_run_whose_metrics_are_lost_counts_as_lost(store: Store) -> None:
    runs = runs_of("sgd:lr=0.1,sgd:lr=0.2", seeds=2)
    for run, value in zip(runs, (0.1, 0.5, None, 0.5), strict=True):
        write(store, run, [] if value is None else [value])
    assert shown(best_by(arranged(store)[0])) == [("sgd:lr=0.2", 2)]


def test_of_accuracy_the_highest_is_best_and_of_the_test_loss_the_lowest(store: Store) -> None:
    low, high = runs_of("sgd:lr=0.1,sgd:lr=0.2")
    write(store, low, [1.0], accuracy=[0.5], test=[3.0])
    write(store, high, [2.0], accuracy=[0.6], test=[2.0])
    (section,) = arranged(store)
    for column, kept in (("val_loss", "lr=0.1"), ("val_accuracy", "lr=0.2"), ("test_loss", "lr=0.2")):
        assert shown(best_by(section, column)) == [(f"sgd:{kept}", 2)]


def test_an_older_version_of_the_code_is_no_setting(store: Store) -> None:
    old, new = runs_of("lehi:clip=1,lehi:clip=2")
    write(store, replace(old, optimizer_code="11111111"), [1.0])
    write(store, replace(new, optimizer_code="22222222"), [2.0])
    (section,) = arranged(store)
    assert shown(best_by(section)) == [("lehi:clip=1", 1), ("lehi:clip=2", 1)]
    assert shown(by(section, ["factor"])) == [
        ("lehi:factor=rademacher (code 111111)", 1),
        ("lehi:factor=rademacher (code 222222)", 1),
    ]


def test_options_make_groups_and_their_values_the_order(store: Store) -> None:
    write_all(
        store,
        "lehi:clip=10:lr=0.1,lehi:clip=10:lr=0.2,adam:lr=0.1,lehi:clip=9:lr=0.1,lehi:clip=none:lr=0.1,adam:lr=0.2",
        [[4.0], [1.0], [6.0], [2.0], [3.0], [5.0]],
    )
    grouped = by(arranged(store)[0], ["clip"])
    assert shown(grouped) == [
        ("lehi:clip=none", 1),
        ("lehi:clip=9", 1),
        ("lehi:clip=10", 2),
        ("adam", 2),
    ]
    assert [series.runs[0].options["lr"] for series in grouped.series] == [0.1, 0.1, 0.2, 0.2]
    assert grouped.grouped_by == ("clip",)
    assert grouped.ranked() == grouped.series
    assert shown(best_by(grouped)) == [("lehi:clip=10", 4), ("adam", 2)]  # chosen from all that were tried


def test_groups_of_two_options_are_labelled_with_both(store: Store) -> None:
    write_all(
        store,
        "lehi:factor=sampled:clip=1,lehi:factor=rademacher:clip=2,lehi:factor=rademacher:clip=1",
        [[1.0], [2.0], [3.0]],
    )
    (section,) = arranged(store)
    assert [label for label, _ in shown(by(section, ["factor", "clip"]))] == [
        "lehi:factor=rademacher:clip=1",
        "lehi:factor=rademacher:clip=2",
        "lehi:factor=sampled:clip=1",
    ]
    assert shown(by(section, ["factor"])) == [("lehi:factor=rademacher", 2), ("lehi:factor=sampled", 1)]


def test_what_only_one_section_has_is_known(store: Store) -> None:
    low, high = runs_of("lehi:lr=0.1,lehi:lr=0.2")
    write(store, low, [1.0], accuracy=[0.1])
    write(store, high, [2.0], accuracy=[0.2])
    write_all(store, "adam:lr=0.1,adam:lr=0.2", [[2.0], [1.0]], task="diabetes")
    digits, diabetes = best_of_sections(arranged(store), "val_accuracy")
    assert shown(digits) == [("lehi:lr=0.2", 2)]
    assert [(series.label, series.chosen_by) for series in diabetes.series] == [("adam:lr=0.2", "val_loss")]
    digits, diabetes = group_sections(arranged(store), "factor")
    assert shown(digits) == [("lehi:factor=rademacher", 2)]
    assert shown(diabetes) == [("adam", 2)]


@pytest.mark.parametrize(
    ("keys", "column", "error", "message"),
    [
        ("lr", "val_los", UnknownNameError, "unknown metric 'los'; did you mean 'loss'"),
        ("lr", "loss", UsageError, "malformed column"),
        ("lr", "train_accuracy", UsageError, "no column train_accuracy"),
        ("momentun", "val_loss", UnknownNameError, "unknown option 'momentun'; did you mean 'momentum'"),
        ("lr,lr", "val_loss", UsageError, "'lr' is given twice"),
        ("", "val_loss", UsageError, "names nothing"),
    ],
)
def test_what_no_optimizer_has_is_refused(
    store: Store, keys: str, column: str, error: type[UsageError], message: str
) -> None:
    write(store, runs_of("sgd")[0], [1.0], accuracy=[0.5])
    with pytest.raises(error, match=message):
        group_sections(arranged(store), keys, column)
    if "column" in message or "metric" in message:
        with pytest.raises(error, match=message):
            best_of_sections(arranged(store), column)
