"""Names of quality columns, and which of them are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import runs_of
from stored import write

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.columns import Columns, parse_column, parse_columns, restrict
from lehi_cli.analysis.results import Section
from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.store import Store


@pytest.fixture
def sections(tmp_path: Path) -> list[Section]:
    """Digits with an accuracy and an optimizer that says its rank, and diabetes with the loss alone."""
    store = Store(tmp_path / "runs")
    write(store, runs_of()[0], [1.0], accuracy=[0.5], train=[2.0], says=[{"rank": 3.0}])
    write(store, runs_of(task="diabetes")[0], [1.0], train=[2.0])
    return arrange(store, store.runs())


@pytest.mark.parametrize(
    ("metric", "split", "digits", "diabetes"),
    [
        (None, None, "val_loss val_accuracy test_loss test_accuracy", "val_loss test_loss"),
        ("loss", None, "val_loss test_loss", "val_loss test_loss"),
        ("accuracy,loss", None, "val_accuracy val_loss test_accuracy test_loss", "val_loss test_loss"),
        ("accuracy", "val", "val_accuracy", ""),
        (None, "test, val", "test_loss test_accuracy val_loss val_accuracy", "test_loss val_loss"),
        (None, "train", "train_loss", "train_loss"),
        ("rank", None, "train_rank", ""),
        ("loss,rank", "train", "train_loss train_rank", "train_loss"),
        ("loss,accuracy", "train,val", "train_loss val_loss val_accuracy", "train_loss val_loss"),
    ],
)
def test_every_section_shows_the_columns_asked_for(
    sections: list[Section], metric: str | None, split: str | None, digits: str, diabetes: str
) -> None:
    found = restrict(sections, parse_columns(metric, split))
    assert [" ".join(map("_".join, section.columns)) for section in found] == [digits, diabetes]


@pytest.mark.parametrize(
    ("metric", "split", "message", "known"),
    [
        ("accuracy", "train", "--split train has no accuracy", "val_accuracy, test_accuracy"),
        ("accuracy", "val,train", "--split train has no accuracy", "val_accuracy, test_accuracy"),
        ("loss,accuracy", "train", "--split train has no accuracy", "val_accuracy, test_accuracy"),
        ("accuracy,loss,rank", "val,test", "--split val,test has no rank", "train_rank"),
    ],
)
def test_a_split_without_the_metric_is_refused(
    sections: list[Section], metric: str, split: str, message: str, known: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        restrict(sections, parse_columns(metric, split))
    assert caught.value.hint == f"known: {known}"


def test_the_last_training_value_is_shown(sections: list[Section]) -> None:
    section, _ = restrict(sections, parse_columns("rank", "train"))
    (column,) = section.columns
    assert section.series[0].final(*column).mean == 3.0


def test_names_are_kept_in_the_order_typed() -> None:
    assert parse_columns("loss, accuracy", "test,train") == Columns(("loss", "accuracy"), ("test", "train"))


@pytest.mark.parametrize(
    ("metric", "split", "error", "message"),
    [
        (None, "vall", UnknownNameError, "unknown split 'vall'; did you mean 'val'"),
        ("", None, UsageError, "--metric '' names nothing"),
        (None, " , ", UsageError, "--split ' , ' names nothing"),
        ("loss,loss", None, UsageError, "'loss' is given twice"),
    ],
)
def test_malformed_lists_are_refused(
    metric: str | None, split: str | None, error: type[UsageError], message: str
) -> None:
    with pytest.raises(error, match=message):
        parse_columns(metric, split)


def test_an_unknown_metric_says_what_there_is(sections: list[Section]) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'acuracy'; did you mean 'accuracy'") as caught:
        restrict(sections, parse_columns("loss,acuracy", None))
    assert caught.value.hint == "known: accuracy, loss, rank"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("val_loss", ("val", "loss")),
        (" test_accuracy", ("test", "accuracy")),
        ("train_clip_share", ("train", "clip_share")),
    ],
)
def test_a_column_is_split_and_metric(text: str, column: tuple[str, str]) -> None:
    assert parse_column(text) == column


@pytest.mark.parametrize("text", ["", "loss", "val", "val_", "_loss", "vall_loss", "VAL_loss"])
def test_a_malformed_column_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="malformed column") as caught:
        parse_column(text)
    assert "val_loss" in caught.value.hint
