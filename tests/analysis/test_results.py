"""How stored runs are sorted into sections and series, and what a series says of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cases import runs_of
from scipy import stats
from stored import write, write_all

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.results import Section
from lehi_cli.render.numbers import mean_as_shown
from lehi_cli.render.summary import summary_table
from lehi_cli.runs.specs import Budget, RunSpec, Schedule
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredSpec
from lehi_cli.stats.summary import Band


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def arranged(store: Store) -> list[Section]:
    return arrange(store, store.runs())


def labels(section: Section) -> list[str]:
    return [series.label for series in section.series]


def with_task(run: RunSpec, **changes: object) -> RunSpec:
    return replace(run, task=replace(run.task, **changes))  # type: ignore[arg-type]


OTHERWISE: dict[str, tuple[Callable[[RunSpec], RunSpec], list[str]]] = {
    "budget": (
        lambda run: with_task(run, budget=Budget("epochs", 30)),
        ["digits (budget 25 steps)", "digits (budget 30 epochs)"],
    ),
    "batch_size": (
        lambda run: with_task(run, batch_size=32),
        ["digits (batch_size 64)", "digits (batch_size 32)"],
    ),
    "model": (
        lambda run: with_task(run, model={**run.task.model, "hidden": [256, 256]}),
        ["digits (model.hidden 128/128)", "digits (model.hidden 256/256)"],
    ),
    "import string": (
        lambda run: with_task(run, model={**run.task.model, "kind": "lehi_cli.models.mlp:linear"}),
        ["digits (model.kind mlp)", "digits (model.kind linear)"],
    ),
    "missing key": (
        lambda run: with_task(run, model={**run.task.model, "bias": False}),
        ["digits", "digits (model.bias false)"],
    ),
    "two keys": (
        lambda run: with_task(run, schedule=Schedule("constant"), batch_size=8),
        ["digits (batch_size 64, schedule.kind cosine)", "digits (batch_size 8, schedule.kind constant)"],
    ),
    "data": (
        lambda run: with_task(run, data={**run.task.data, "source": "elsewhere:letters"}),
        ["digits (data.source digits)", "digits (data.source letters)"],
    ),
    "code": (
        lambda run: with_task(run, code={**run.task.code, "lehi_cli.models.mlp:mlp": "1a2b3c4d5e6f7a8b"}),
        ["digits (code {model})", "digits (code 1a2b3c)"],
    ),
    "code beside others": (
        lambda run: with_task(run, batch_size=8, code={"lehi_cli.models.mlp:mlp": "1a2b3c4d5e6f7a8b"}),
        ["digits (batch_size 64)", "digits (batch_size 8)"],
    ),
    "precision": (
        lambda run: replace(run, precision="bf16"),
        ["digits (precision fp32)", "digits (precision bf16)"],
    ),
    "fake data": (
        lambda run: with_task(run, data={**run.task.data, "fake": True}),
        ["digits", "digits [FAKE DATA]"],
    ),
}


@pytest.mark.parametrize(("change", "titles"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_decides_numbers_makes_a_section_of_its_own_with_a_title_that_says_so(
    store: Store, change: Callable[[RunSpec], RunSpec], titles: list[str]
) -> None:
    (run,) = runs_of()
    write(store, run)
    write(store, change(run))
    titles = [title.format(model=run.task.code["lehi_cli.models.mlp:mlp"][:6]) for title in titles]
    assert [section.title for section in arranged(store)] == titles


def test_a_task_of_one_section_keeps_its_name(store: Store) -> None:
    write_all(store, "adam,sgd", [[1.0], [2.0]])
    write_all(store, "adam", [[1.0]], task="diabetes", budget=Budget("steps", 7))
    assert [section.title for section in arranged(store)] == ["digits", "diabetes"]


def test_runs_of_another_version_of_the_loop_are_kept_apart(store: Store) -> None:
    (run,) = runs_of()
    write(store, run)
    write(store, with_task(run, code={**run.task.code, "lehi_cli.train:train": "1a2b3c4d5e6f7a8b"}))
    loop = run.task.code["lehi_cli.train:train"][:6]
    assert [section.title for section in arranged(store)] == [f"digits (code {loop})", "digits (code 1a2b3c)"]


def test_made_up_results_are_never_averaged_with_trained_ones(store: Store) -> None:
    first, second = runs_of(seeds=2)
    write(store, first)
    write(store, second, mock=True)
    assert [section.title for section in arranged(store)] == ["digits", "digits (results made up) [FAKE DATA]"]


def test_changed_data_files_make_another_section_and_failed_runs_go_to_the_nearest_in_time(store: Store) -> None:
    runs = runs_of(seeds=6)
    moments = ("10:00", "10:30", "11:00", "11:30", "12:00", "09:00")
    data = ("aaaaaaaa", None, "bbbbbbbb", "aaaaaaaa", None, None)
    for run, moment, checksum in zip(runs, moments, data, strict=True):
        started = f"2026-11-21T{moment}:00.000+00:00"
        write(store, run, status="ok" if checksum else "error", data=checksum or "", started=started)
    found = arranged(store)
    assert [section.title for section in found] == ["digits (data aaaaaa)", "digits (data bbbbbb)"]
    # 10:30 lies between both and goes with the earlier; 12:00 is nearest to 11:30, 09:00 to 10:00.
    assert [section.seeds for section in found] == [[0, 1, 3, 4, 5], [2]]


def test_settings_written_in_another_order_are_the_same(store: Store) -> None:
    first, second = write_all(store, "adam", [[1.0, 2.0]])
    task = dict(reversed(second.spec.task.items()))
    turned = replace(
        second, spec=StoredSpec({**second.spec.content, "task": task}), options=dict(reversed(second.options.items()))
    )
    (section,) = arrange(store, [first, turned])
    assert [len(series.runs) for series in section.series] == [2]


def test_two_versions_of_an_optimizers_code_are_two_series(store: Store) -> None:
    old, new = runs_of("lehi", seeds=2)
    write(store, replace(old, optimizer_code="1a2b3c4d"), [1.0])
    write(store, replace(new, optimizer_code="99887766"), [3.0])
    (section,) = arranged(store)
    assert sorted(labels(section)) == ["lehi (code 1a2b3c)", "lehi (code 998877)"]
    assert sorted(series.final("val", "loss").mean for series in section.series) == [1.0, 3.0]


def test_options_tell_optimizers_of_one_label_apart_and_code_where_it_differs_too(store: Store) -> None:
    runs = runs_of("sgd:lr=0.1:label=a,sgd:lr=0.2:label=b,adam:lr=0.3:label=c")
    versions = [replace(runs[0], optimizer_code="11111111"), replace(runs[1], optimizer_code="22222222"), runs[2]]
    for run in versions:
        write(store, run)
    (section,) = arrange(store, store.runs(), {run.run_id: "tuned" for run in versions})
    assert sorted(labels(section)) == [
        "tuned (adam)",
        "tuned:lr=0.1 (sgd, code 111111)",
        "tuned:lr=0.2 (sgd, code 222222)",
    ]


def test_a_label_that_someone_typed_is_not_given_to_another_optimizer(store: Store) -> None:
    runs = runs_of("sgd:lr=0.1:label=x,sgd:lr=0.2:label=y,sgd:lr=0.3:label=z")
    for run in runs:
        write(store, run)
    shown = dict(zip((run.run_id for run in runs), ("sgd", "sgd", "sgd:lr=0.1"), strict=True))
    (section,) = arrange(store, store.runs(), shown)
    assert len(set(labels(section))) == 3


def test_final_values_by_seed_are_those_of_the_runs_that_reached_the_end(store: Store) -> None:
    first, second, third, fourth = runs_of(seeds=4)
    write(store, first, [3.0, 0.5], train=[2.0, 0.25], accuracy=[0.1, 0.9])
    write(store, second, [3.0, 0.7], train=[2.0, 0.75], accuracy=[0.1, 0.8])
    write(store, third, [3.0, 9.9], status="diverged")
    write(store, fourth, [3.0], status="killed")
    (series,) = arranged(store)[0].series
    assert series.finals("val", "loss") == {0: 0.5, 1: 0.7}
    assert series.finals("val", "accuracy") == {0: 0.9, 1: 0.8}
    assert series.finals("train", "loss") == {0: 0.25, 1: 0.75}
    assert series.finals("val", "nothing") == {}
    assert series.final("train", "loss").mean == 0.5
    assert series.final("val", "loss").n == 2
    expected = stats.t.interval(0.95, 1, 0.6, stats.sem([0.5, 0.7]))
    assert series.interval("val", "loss") == pytest.approx(expected)
    assert all(map(math.isnan, series.interval("val", "nothing")))


def test_curves_have_bands_over_the_runs_that_reached_the_end(store: Store) -> None:
    runs = runs_of(seeds=3)
    write(store, runs[0], [4.0, 2.0, 1.0])
    write(store, runs[1], [2.0, 1.0])
    write(store, runs[2], [99.0, 99.0], status="diverged")
    (series,) = arranged(store)[0].series
    assert series.band_curve("val", "loss", "step") == Band([1.0, 2.0], [3.0, 1.5], [2.0, 1.0], [4.0, 2.0], 2)
    assert series.band_curve("val", "loss", "passes").xs == [2.0, 4.0]


def test_curves_of_runs_none_of_which_reached_the_end_go_as_far_as_the_shortest(store: Store) -> None:
    first, second = runs_of(seeds=2)
    write(store, first, [1.0, 5.0, 9.0], status="diverged")
    write(store, second, [3.0], status="killed")
    (series,) = arranged(store)[0].series
    assert series.band_curve("val", "loss", "step") == Band([1.0], [2.0], [1.0], [3.0], 2)


def test_the_best_of_any_split_is_found(store: Store) -> None:
    adam, sgd = runs_of("adam,sgd")
    write(store, adam, [1.0], train=[0.1], test=[4.0], accuracy=[0.6])
    write(store, sgd, [2.0], train=[0.3], test=[3.0], accuracy=[0.7])
    (section,) = arranged(store)
    columns = [("train", "loss"), ("val", "loss"), ("test", "loss"), ("val", "accuracy")]
    assert [section.best(*column) for column in columns] == [{"adam"}, {"adam"}, {"sgd"}, {"sgd"}]


def test_of_equal_values_all_are_best(store: Store) -> None:
    made = {"adam": (0.10001, 0.96), "sgd": (0.10002, 0.96), "lehi": (0.2, 0.95), "rmsprop": (0.05, 0.99)}
    for run in runs_of("adam,sgd,lehi,rmsprop"):
        loss, accuracy = made[run.label]
        write(store, run, [loss], accuracy=[accuracy], status="diverged" if run.label == "rmsprop" else "ok")
    (section,) = arranged(store)
    assert section.best("val", "loss") == {"adam"}
    assert section.best("val", "loss", mean_as_shown) == {"adam", "sgd"}
    assert section.best("val", "accuracy") == {"adam", "sgd"}
    assert section.best("val", "nothing") == set()
    table = summary_table(section)
    column = [item.heading for item in table.columns].index("val loss")
    assert {row[0]: row[column] for row in table.rows} == {"adam": "0.1*", "sgd": "0.1*", "lehi": "0.2", "rmsprop": "-"}


def test_columns_can_be_restricted(store: Store) -> None:
    write(store, runs_of()[0], [1.0], accuracy=[0.6])
    (section,) = arranged(store)
    assert section.columns == [("val", "loss"), ("val", "accuracy"), ("test", "loss"), ("test", "accuracy")]
    narrow = section.restricted([("train", "loss")])
    assert narrow.columns == (("train", "loss"),)
    assert narrow.metric_names == ["accuracy"]
    assert len(section.columns) == 4
