"""Every optimizer of the registry passes the suite that `lehi optims check` runs."""

from __future__ import annotations

import pytest

from lehi_cli.conformance.excuses import EXCUSES
from lehi_cli.conformance.optimizers import CHECKS, check_one
from lehi_cli.conformance.prices import stated_range
from lehi_cli.registry.optimizers import BUILT_IN, OptimizerRecord

RECORDS = [pytest.param(record, id=record.name) for record in BUILT_IN]
BY_NAME = {record.name: record for record in BUILT_IN}
EXCUSED = [(check, name) for check, reasons in EXCUSES.items() for name in reasons]

# Which cannot go down as they are, with the reason.
HELPED = {
    ("schedulefree_sgd", "the loss goes down on a quadratic"): "its rate, 1, is for losses that are less curved",
    ("lbfgs", "the loss goes down on digits"): "its pairs mix the noise of two mini-batches",
}


# Whose copies cannot go on, with the reason.
_PACKAGE = "the package's own copy lacks its attributes"
NO_COPY = {**dict.fromkeys(("soap", "lion", "adan", "ademamix"), _PACKAGE), "lbfgs": "torch's lacks its parameters"}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("record", RECORDS)
def test_every_optimizer_conforms(record: OptimizerRecord, check: str) -> None:
    finding = check_one(record, check)
    if check == "a copy goes on bit for bit":
        assert (finding.outcome == "skipped") == (record.name in NO_COPY)
    if finding.outcome == "skipped":
        pytest.skip(finding.detail)
    assert finding.passed, finding.detail
    if check.startswith("the loss goes down"):
        assert (", not at" in finding.detail) == ((record.name, check) in HELPED)


@pytest.mark.parametrize(("check", "name"), EXCUSED)
def test_every_excuse_is_needed(check: str, name: str) -> None:
    assert not check_one(BY_NAME[name], check, excused=False).passed


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1", 1, 1),
        ("16/15 (1 + 2/3k with curvature_every=k)", 16 / 15, 16 / 15),
        ("1.2", 1.2, 1.2),
        ("0 to 1 (rows + columns for a matrix)", 0, 1),
        ("up to 25 (max_eval)", 0, 25),
        ("2+ (and more)", 2, None),
        ("1 or more", 1, None),
    ],
)
def test_stated_numbers_are_read(text: str, low: float, high: float | None) -> None:
    least, most = stated_range(text) or (None, None)
    assert (least, most) == (pytest.approx(low), None if high is None else pytest.approx(high))


@pytest.mark.parametrize("text", ["", "5/3+2k+e/3 (k iterations)", "many"])
def test_what_is_stated_in_words_is_no_number(text: str) -> None:
    assert stated_range(text) is None
