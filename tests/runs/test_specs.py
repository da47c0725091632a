"""The grammar people write, and the identity of a run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lehi_cli.errors import UsageError
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.runs.specs import (
    Budget,
    OptimSpec,
    RunSpec,
    Schedule,
    format_value,
    parse_adaptive,
    parse_optimizers,
    parse_seeds,
    parse_value,
    parse_values,
)

VALUES = [
    ("3", 3),
    ("3e-4", 3e-4),
    ("-0.5", -0.5),
    ("true", True),
    ("False", False),
    ("none", None),
    ("rademacher", "rademacher"),
    ("0.9/0.95", (0.9, 0.95)),
    ("none/1e-3", (None, 1e-3)),
    ("data/my_file.csv", "data/my_file.csv"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values_are_read(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("text", "value"), [row for row in VALUES if row[0] != "False"])
def test_written_values_are_read_back(text: str, value: object) -> None:
    assert parse_value(format_value(parse_value(text))) == value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-5..1e-1/log5", (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)),
        ("0.5..2/lin4", (0.5, 1.0, 1.5, 2.0)),
        ("-1..1/lin3", (-1.0, 0.0, 1.0)),
        ("adam", ("adam",)),
        ("../file.txt", ("../file.txt",)),
    ],
)
def test_ranges_are_expanded(text: str, values: tuple[object, ...]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1..2", "malformed range"),
        ("1..2/log", "malformed range"),
        ("1..2/cubic4", "malformed range"),
        ("a..b/lin3", "ends must be numbers"),
        ("2..1/lin3", "empty or reversed"),
        ("1..1/lin3", "empty or reversed"),
        ("0..1/log3", "above zero"),
        ("-1..1/log3", "above zero"),
        ("1..2/lin1", "at least 2"),
        ("1..2/lin10001", "at most 10000"),
        ("nan..2/lin3", "not a finite number"),
    ],
)
def test_malformed_ranges_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_values(text)


def test_optimizers_are_read_with_options_labels_and_ranges() -> None:
    assert parse_optimizers("lehi, adam:lr=3e-4:label=slow,adamw:betas=0.9/0.95") == [
        OptimSpec("lehi"),
        OptimSpec("adam", {"lr": 3e-4}, "slow"),
        OptimSpec("adamw", {"betas": (0.9, 0.95)}),
    ]
    several = parse_optimizers("adam:lr=1e-3..1e-2/log2:label=a")
    assert [(spec.options["lr"], spec.label) for spec in several] == [(1e-3, "a:lr=0.001"), (1e-2, "a:lr=0.01")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed optimizer"),
        ("adam,,sgd", "malformed optimizer"),
        (":lr=1", "malformed optimizer"),
        ("adam:lr", "malformed option"),
        ("adam:lr=", "malformed option"),
        ("adam:=1", "malformed option"),
        ("adam:lr=1:lr=2", "given twice"),
        ("adam:label=a:label=b", "given twice"),
        ("adam,adam", "given twice"),
        ("adam:label=x,sgd:label=x", "given twice"),
        ("adam:lr=inf", "not a finite number"),
    ],
)
def test_malformed_optimizers_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_optimizers(text)


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("7,", (7,)), ("3, 1", (3, 1))])
def test_seeds_are_a_count_or_a_list(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "most"), [("auto", 20), ("auto:2", 2), (" auto:1000 ", 1000), ("5", None), ("autos", None), ("1,2", None)]
)
def test_seeds_may_be_added_up_to_a_number(text: str, most: int | None) -> None:
    assert parse_adaptive(text) == most


@pytest.mark.parametrize(
    "text", ["auto:", "auto:0", "auto:1", "auto:-3", "auto:x", "auto:2.5", "auto:1001", "auto:3:4"]
)
def test_malformed_numbers_of_seeds_to_add_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="malformed"):
        parse_adaptive(text)


def test_where_there_is_nothing_to_settle_seeds_are_not_added() -> None:
    with pytest.raises(UsageError) as refused:
        parse_seeds("auto:5")
    assert refused.value.hint == "only lehi compare does; give 5"


@pytest.mark.parametrize("text", ["0", "", "-1", "1,-2", "a", "1.5", "1,1", ",", "100001", f"{2**63},"])
def test_malformed_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="seed"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("epochs", 0), ("steps", -1), ("steps", 1.5), ("passes", math.nan), ("days", 1), ("steps", True)],
)
def test_impossible_budgets_are_refused(kind: str, amount: float) -> None:
    with pytest.raises(UsageError, match="budget"):
        Budget(kind, amount)


def test_budgets_read_as_people_say_them() -> None:
    assert [str(Budget("epochs", 1)), str(Budget("passes", 2.5))] == ["1 epoch", "2.5 passes"]
    assert str(Budget("passes", 1)) == "1 pass"


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule("constant"), {0: 1, 0.5: 1, 1: 1}),
        (Schedule("linear"), {0: 1, 0.25: 0.75, 1: 0}),
        (Schedule("cosine"), {0: 1, 0.5: 0.5, 1: 0}),
        (Schedule("linear", warmup=0.2), {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0, 2: 0}),
    ],
)
def test_schedules_follow_their_formula(schedule: Schedule, factors: dict[float, float]) -> None:
    assert {at: schedule.factor(at) for at in factors} == pytest.approx(factors)


@pytest.mark.parametrize("arguments", [("step", 0.0), ("linear", 1.0), ("linear", -0.1), ("linear", "a")])
def test_impossible_schedules_are_refused(arguments: tuple[str, float]) -> None:
    with pytest.raises(UsageError, match="schedule"):
        Schedule(*arguments)


def one_run(optimizer: str = "adam", task: str = "digits", seed: int = 0, **changes: object) -> RunSpec:
    return plan(Request([task], parse_optimizers(optimizer), [seed], **changes))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        one_run("adam:lr=0.002"),
        one_run("adamw:weight_decay=0"),
        one_run(seed=1),
        one_run(task="breast_cancer"),
        one_run(precision="bf16"),
        one_run(budget=Budget("epochs", 31)),
        one_run(overrides=["batch_size=32"]),
        one_run(overrides=["model.hidden=64/64"]),
        one_run(overrides=["schedule=linear"]),
    ],
    ids=lambda run: run.label,
)
def test_what_decides_the_numbers_decides_the_id(other: RunSpec) -> None:
    assert other.run_id != one_run().run_id


@pytest.mark.parametrize(
    "same",
    [
        one_run("adam:lr=1e-3"),
        one_run("adam:lr=0.001:betas=0.9/0.999"),
        one_run("adam:label=mine"),
        one_run(overrides=["threads=2"]),
        one_run(overrides=["target.val_loss=0.5"]),
        one_run(budget=Budget("epoch_passes", 30)),
    ],
    ids=str,
)
def test_what_decides_no_number_leaves_the_id_alone(same: RunSpec) -> None:
    assert same.run_id == one_run().run_id


def test_edited_code_is_another_run() -> None:
    run = one_run()
    edited = replace(run, task=replace(run.task, code=dict.fromkeys(run.task.code, "0")))
    assert edited.run_id != run.run_id
    assert replace(run, optimizer_code="0").run_id != run.run_id
