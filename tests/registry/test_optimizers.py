"""Every record of the registry, against the class it describes."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from lehi_cli.curvature import make_loss
from lehi_cli.errors import LehiError, PluginError, UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.catalog import Catalog
from lehi_cli.registry.optimizers import BUILT_IN, OptimizerRecord, Option
from lehi_cli.registry.plugins import resolve
from lehi_cli.specs import OptimSpec
from lehi_cli.steps import STEPS, Evaluation, Meter

RECORDS = [pytest.param(record, id=record.name) for record in BUILT_IN]


def build(record: OptimizerRecord, model: nn.Module, **changes: object) -> torch.optim.Optimizer:
    options = {option.name: option.default for option in record.options} | dict(record.fixed) | changes
    if record.kind == "curvature":
        options |= {"loss": "cross_entropy", "seed": 0}
    return resolve(record.factory)(model if record.takes == "model" else model.parameters(), **options)


def test_every_dense_optimizer_of_torch_is_there() -> None:
    classes = {
        name
        for name, item in vars(torch.optim).items()
        if inspect.isclass(item) and issubclass(item, torch.optim.Optimizer) and item is not torch.optim.Optimizer
    }
    covered = {record.factory.partition(":")[2] for record in BUILT_IN if record.factory.startswith("torch.optim:")}
    assert classes - covered == {"SparseAdam", "Muon"}  # sparse gradients only; inside MuonAdamW


@pytest.mark.parametrize("record", RECORDS)
def test_options_are_the_constructors_own(record: OptimizerRecord) -> None:
    factory = resolve(record.factory)
    # A factory that hands its keywords on has the options of the class it builds.
    owner = getattr(factory, "__self__", factory)
    parameters = inspect.signature(owner).parameters
    for option in record.options:
        assert option.name in parameters
        stated = parameters[option.name].default
        if record.fixed or record.name in ("momentum", "nesterov") or stated is inspect.Parameter.empty:
            continue
        assert option.default == stated, option.name
    assert set(record.fixed) <= set(parameters)


@pytest.mark.parametrize("record", RECORDS)
def test_one_step_moves_the_weights_and_costs_what_the_record_says(record: OptimizerRecord) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
    before = [parameter.clone() for parameter in model.parameters()]
    meter = Meter()
    evaluation = Evaluation(
        model, make_loss("cross_entropy"), torch.randn(16, 4), torch.randint(3, (16,)), meter, nullcontext
    )
    optimizer = build(record, model)
    STEPS[record.kind](optimizer, evaluation)
    after = list(model.parameters())
    assert all(not torch.equal(old, new) and new.isfinite().all() for old, new in zip(before, after, strict=True))
    stated = {"1": 1.0}.get(record.passes, 5 / 3)
    if record.kind != "closure":
        assert meter.passes == pytest.approx(stated)


def test_unknown_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no option 'wd'"):
        optimizers.load().get("adam").resolve(OptimSpec("adam", {"wd": 1.0}))
    with pytest.raises(UsageError, match="did you mean 'weight_decay'"):
        optimizers.load().get("adam").resolve(OptimSpec("adam", {"weight_decy": 1.0}))


def test_defaults_are_filled_in_from_the_task_then_from_the_record() -> None:
    resolved = optimizers.load().get("adam").resolve(OptimSpec("adam", {"eps": 1}), {"lr": "3e-3", "eps": 1e-5})
    assert resolved.options == {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1.0, "weight_decay": 0.0}
    assert isinstance(resolved.options["eps"], float)


OPTION = {
    "float": Option("lr", 0.1, "", within="[0, inf)"),
    "int": Option("k", 1, "", within="[1, inf)"),
    "bool": Option("b", True, ""),
    "choice": Option("c", "x", "", ("x", "y")),
    "power": Option("p", 0.5, "", (0.5, 1.0)),
    "pair": Option("betas", (0.9, 0.99), "", within="[0, 1)"),
    "none": Option("clip", None, "", type="float", within="(0, inf)"),
    "open": Option("eps", (None, 1e-3), ""),
}


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("float", 1, 1.0),
        ("float", 0, 0.0),
        ("int", 3, 3),
        ("bool", False, False),
        ("choice", "y", "y"),
        ("power", 1, 1.0),
        ("pair", (0, 0.5), (0.0, 0.5)),
        ("none", None, None),
        ("none", 2, 2.0),
        ("open", (None, 1), (None, 1.0)),
        ("open", (0.1, 1), (0.1, 1.0)),
    ],
)
def test_values_take_the_options_type(kind: str, value: object, read: object) -> None:
    checked = OPTION[kind].check(value, "adam")  # type: ignore[arg-type]
    assert checked == read
    assert type(checked) is type(read)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", "a"),
        ("float", -1),
        ("float", True),
        ("float", None),
        ("float", (1, 2)),
        ("int", 0),
        ("int", 1.5),
        ("bool", 1),
        ("choice", "z"),
        ("power", 0.7),
        ("pair", 0.9),
        ("pair", (0.9,)),
        ("pair", (0.9, 1.0)),
        ("pair", (None, 0.9)),
        ("none", 0),
    ],
)
def test_values_of_another_kind_are_refused(kind: str, value: object) -> None:
    with pytest.raises(UsageError, match="is not allowed") as refusal:
        OPTION[kind].check(value, "adam")  # type: ignore[arg-type]
    assert "takes" in refusal.value.hint


def test_duplicate_names_and_unknown_kinds_are_refused() -> None:
    catalog: Catalog[OptimizerRecord] = Catalog("optimizer")
    catalog.add("adam", BUILT_IN[0], "here")
    with pytest.raises(LehiError, match="already registered by here"):
        catalog.add("adam", BUILT_IN[1], "there")
    with pytest.raises(PluginError, match="kind 'magic'"):
        replace(BUILT_IN[0], kind="magic")
    with pytest.raises(PluginError, match="takes 'nothing'"):
        replace(BUILT_IN[0], takes="nothing")
