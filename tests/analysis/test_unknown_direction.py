"""Columns whose direction is unknown: metrics of other versions, and what optimizers report about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.arrivals import all_arrivals, arrivals, parse_target
from lehi_cli.analysis.columns import parse_columns, restrict
from lehi_cli.analysis.comparison import compare_sections
from lehi_cli.analysis.grouping import best_of_sections, group_sections
from lehi_cli.analysis.results import Section
from lehi_cli.errors import UnknownNameError
from lehi_cli.gate import check_all, parse
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.store import Store

PLACE = {"epoch": 0.1, "step": 1, "samples": 1, "passes": 2.0, "seconds": 0.1, "lr_now": 0.1}
OUTCOME = asdict(Outcome("ok", 10, 20.0, 1.0, 100, 800, "1417", "04de4", "da7a", {}))


def section_of(folder: Path, metrics: Sequence[str] = ("f1", "accuracy"), **target: float) -> Section:
    """Adam, with the greater f1 and the greater rank, and SGD with the lower loss; three seeds each."""
    store = Store(folder)
    for run in runs_of("adam,sgd", seeds=3):
        is_adam = run.optimizer.name == "adam"
        recorder = store.claim(replace(run, task=replace(run.task, metrics=tuple(metrics), target=target)), {})
        assert recorder is not None
        recorder.add({"split": "train", **PLACE, "loss": 1.0}, {"rank": 3.0 + is_adam})
        evaluated = {"f1": 0.8 + 0.1 * is_adam, "accuracy": 0.9 - 0.01 * run.seed}
        for split in ("val", "test"):
            recorder.add({"split": split, **PLACE, "loss": 1.0 + is_adam + 0.01 * run.seed}, evaluated)
        recorder.finish("ok", OUTCOME, {})
    (section,) = arrange(store, store.runs())
    return section


def test_such_a_column_is_shown_and_ranks_nobody(tmp_path: Path) -> None:
    section = section_of(tmp_path)
    assert [series.label for series in section.ranked()] == ["sgd", "adam"]
    assert section.is_ranked
    for shown in restrict([section], parse_columns("f1", None)) + restrict([section], parse_columns("rank", None)):
        assert [series.label for series in shown.ranked()] == ["adam", "sgd"]  # as they come
        assert not shown.is_ranked
        assert all(shown.best(*column) == set() for column in shown.columns)
    assert section.best("val", "loss") == {"sgd"}


def test_a_verdict_that_nobody_asked_for_by_name_passes_it_over_and_says_so(tmp_path: Path) -> None:
    (found,) = compare_sections([section_of(tmp_path)])
    assert found is not None
    assert [judgement.metric for judgement in found.judgements] == ["loss", "accuracy"]
    assert "f1: not judged: which way is better is unknown" in found.notes


def test_no_verdict_choice_or_assertion_rests_on_it(tmp_path: Path) -> None:
    section = section_of(tmp_path)
    for name, rest in (
        ("verdict", lambda: compare_sections([section], columns=[("val", "f1")])),
        ("best by", lambda: best_of_sections([section], "val_f1")),
        ("best by what an optimizer says", lambda: best_of_sections([section], "train_rank")),
        ("best of a group", lambda: group_sections([section], "lr", "val_f1")),
        ("target in words", lambda: str(parse_target("val_f1=0.9"))),
        ("target", lambda: all_arrivals([section], parse_target("val_f1=0.9"))),
        ("assertion", lambda: check_all([parse("adam > sgd @ val_f1")], [section])),
        ("assertion on what an optimizer says", lambda: check_all([parse("adam.train_rank > 1")], [section])),
    ):
        with pytest.raises(UnknownNameError, match=r"f1|rank"):
            pytest.fail(f"{name} rests on {rest()}")


def test_a_target_of_another_version_is_no_target(tmp_path: Path) -> None:
    assert arrivals(section_of(tmp_path, val_f1=0.9), None) is None
