"""Which columns of which sections are compared, and how many comparisons that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.comparison import LOOKED_AT, Comparison, compare_sections
from lehi_cli.analysis.results import Section
from lehi_cli.records import Row
from lehi_cli.store import Store

LOSS = {"adam": [1.00, 1.10, 0.90, 1.05, 0.95, 1.02], "sgd": [2.01, 2.08, 1.92, 2.03, 1.97, 2.00]}


def sections_of(
    folder: Path, task: str = "digits", seeds: Sequence[int] = range(6), adaptive: bool = False
) -> list[Section]:
    """Stored runs whose validation loss is that above and whose test loss is twice that."""
    store = Store(folder)
    store.prepare()
    runs = [run for run in runs_of("adam,sgd", task, seeds=6) if run.label == "adam" or run.seed in seeds]
    for run in runs:
        recorder = store.claim(run, {})
        assert recorder is not None
        value = LOSS[run.label][run.seed]
        for split, loss in (("val", value), ("test", 2 * value)):
            metrics = dict.fromkeys(run.task.metrics, 1 / loss)
            row = Row(split=split, epoch=1.0, step=25, samples=25, passes=25.0, seconds=1.0, loss=loss, lr_now=0.1)
            recorder.add({key: item for key, item in asdict(row).items() if key != "metrics"}, metrics)
        recorder.finish("ok", {}, {})
        stored = store.find(run.run_id)
        assert stored is not None
        if adaptive:
            store.mark_adaptive(stored)
    return arrange(store, store.runs())


def shown(comparison: Comparison | None) -> list[tuple[str, str, str, str]]:
    assert comparison is not None
    return [(row.label, row.split, row.metric, row.verdict.word) for row in comparison.judgements]


def test_by_default_the_validation_loss_and_the_first_metric(tmp_path: Path) -> None:
    (found,) = compare_sections(sections_of(tmp_path))
    assert shown(found) == [("sgd", "val", "loss", "worse"), ("sgd", "val", "accuracy", "worse")]
    assert found is not None
    assert (found.family, found.is_anytime, found.notes) == (2, False, [])


def test_other_columns_as_far_as_a_section_has_them(tmp_path: Path) -> None:
    sections = sections_of(tmp_path / "a") + sections_of(tmp_path / "b", "diabetes")
    columns = [("test", "loss"), ("test", "accuracy"), ("val", "nonsense")]
    digits, diabetes = compare_sections(sections, columns=columns)
    assert shown(digits) == [("sgd", "test", "loss", "worse"), ("sgd", "test", "accuracy", "worse")]
    assert shown(diabetes) == [("sgd", "test", "loss", "worse")]
    assert digits is not None
    assert digits.family == 3
    assert digits.judgements[0].verdict.difference == pytest.approx(2 * (12.01 / 6 - 6.02 / 6))
    assert compare_sections(sections, columns=[("val", "nonsense")]) == [None, None]


def test_sections_whose_seeds_were_added_are_judged_by_what_stays_valid(tmp_path: Path) -> None:
    sections = sections_of(tmp_path / "a") + sections_of(tmp_path / "b", "diabetes", range(5), adaptive=True)
    fixed, added = compare_sections(sections)
    assert fixed is not None
    assert added is not None
    assert [row.verdict.method for row in fixed.judgements] == ["fixed"] * 2
    assert [row.verdict.method for row in added.judgements] == ["anytime"] * 2
    assert fixed.family == added.family == 4
    assert {row.verdict.n for row in added.judgements} == {5}
    assert (list(fixed.notes), list(added.notes)) == ([], [LOOKED_AT])
    assert not any("left out" in row.verdict.note for row in added.judgements)
    alone = compare_sections(sections[:1])[0]
    assert alone is not None
    assert fixed.judgements[0].verdict.p_adjusted == pytest.approx(2 * alone.judgements[0].verdict.p_adjusted)


def test_where_seeds_are_added_every_pair_counts_from_the_first_look(tmp_path: Path) -> None:
    (one_seed,) = compare_sections(sections_of(tmp_path / "a", seeds=[0], adaptive=True))
    (all_seeds,) = compare_sections(sections_of(tmp_path / "b", adaptive=True))
    assert one_seed is not None
    assert all_seeds is not None
    assert one_seed.family == all_seeds.family == 2
