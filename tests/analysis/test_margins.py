"""Margins as they are typed."""

from __future__ import annotations

import pytest

from lehi_cli.analysis.margins import MARGIN, Margins, parse_margins
from lehi_cli.errors import UnknownNameError, UsageError

READ = {
    "0.02": Margins(0.02),
    "0": Margins(0.0),
    "1e-3": Margins(0.001),
    "accuracy=0.05": Margins(MARGIN, {"accuracy": 0.05}),
    "0.02,val_accuracy=0.05": Margins(0.02, {"val_accuracy": 0.05}),
    "accuracy=0.05, loss=0": Margins(MARGIN, {"accuracy": 0.05, "loss": 0.0}),
    "accuracy=0.05,0.02": Margins(0.02, {"accuracy": 0.05}),
}


@pytest.mark.parametrize("text", READ)
def test_margins_are_read_and_written_the_same(text: str) -> None:
    found = parse_margins(text)
    assert found == READ[text]
    assert parse_margins(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "x", "loss=", "=0.1", "0.1,", "0.1,0.2", "loss=0.1,loss=0.2", "-0.1", "loss=-1", "nan", "inf", "5%"],
)
def test_malformed_margins_are_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(UsageError, match="margin") as refused:
        parse_margins(text)
    assert repr(text) in refused.value.message
    assert "accuracy=0.05" in refused.value.hint


def test_a_column_goes_before_its_metric_and_a_metric_before_the_rest() -> None:
    margins = Margins(0.02, {"accuracy": 0.05, "test_accuracy": 0.1})
    found = [margins.of(*column) for column in (("val", "loss"), ("val", "accuracy"), ("test", "accuracy"))]
    assert found == [0.02, 0.05, 0.1]
    assert Margins().of("val", "loss") == MARGIN == 0.01


def test_a_name_that_nothing_is_judged_by_is_refused() -> None:
    columns = [("val", "loss"), ("val", "accuracy")]
    Margins(0.01, {"loss": 0.1, "val_accuracy": 0.1}).check(columns)
    with pytest.raises(UnknownNameError, match="'acuracy'; did you mean 'accuracy'"):
        Margins(0.01, {"acuracy": 0.1}).check(columns)
    with pytest.raises(UnknownNameError, match="'test_accuracy'"):
        Margins(0.01, {"test_accuracy": 0.1}).check(columns)


@pytest.mark.parametrize(("margins", "text"), [(Margins(), "0.01"), (Margins(0.0), "0"), (Margins(0.02), "0.02")])
def test_margins_are_written_as_they_are_typed(margins: Margins, text: str) -> None:
    assert str(margins) == text
