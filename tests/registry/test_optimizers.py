"""Every record of the registry, against the class it describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from cases import build_optimizer
from conftest import Result
from torch import nn

from lehi_cli.commands.optims import KIND_WORDS
from lehi_cli.curvature import make_loss
from lehi_cli.errors import LehiError, PluginError, UsageError
from lehi_cli.experiment.space import dimension
from lehi_cli.registry import optimizers, pytorch_optimizer_names
from lehi_cli.registry.catalog import Catalog
from lehi_cli.registry.code import code_hash
from lehi_cli.registry.optimizers import BUILT_IN, KINDS, OptimizerRecord, Option
from lehi_cli.registry.plugins import resolve
from lehi_cli.runs.specs import OptimSpec
from lehi_cli.training.steps import STEPS, Evaluation, Meter

RECORDS = [pytest.param(record, id=record.name) for record in BUILT_IN]


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
    # A factory that hands its keywords on has the options of the class it builds, and a class those of its parents.
    owner = getattr(factory, "__self__", factory)
    parents = reversed(inspect.getmro(owner))
    parameters = {name: p for parent in parents for name, p in inspect.signature(parent.__init__).parameters.items()}
    for option in record.options:
        assert option.name in parameters
        stated = parameters[option.name].default
        if record.name in OWN_DEFAULTS or stated is inspect.Parameter.empty:
            continue
        assert option.default == stated, option.name
    assert set(record.fixed) <= set(parameters)


# Defaults that are not the constructor's, with the reason.
OWN_DEFAULTS = {
    "momentum": "SGD's momentum is 0",
    "nesterov": "SGD's momentum is 0",
    "sfn": "the damping depends on the variant",
    "sfn_fixed": "the damping and the momentum depend on the variant",
}
RATE_IS_ONE = ("sfn",)  # the adaptive variant solves for its rate, and the solution is 1


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))


def train(record: OptimizerRecord, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Meter:
    meter = Meter()
    for _ in range(steps):
        inputs = torch.randn(16, 4)
        evaluation = Evaluation(model, make_loss("cross_entropy"), inputs, inputs[:, :3].argmax(1), meter, nullcontext)
        assert STEPS[record.kind](optimizer, evaluation).isfinite()
    return meter


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_tells_rule_source_and_where_to_look(record: OptimizerRecord) -> None:
    assert 2 <= len(record.formula.splitlines()) <= 6
    assert all(line == line.rstrip() and len(line) <= 118 for line in record.formula.splitlines())
    assert record.formula.isascii()
    assert record.source
    assert record.summary
    assert "lr" in record.space or record.name in RATE_IS_ONE
    for name, text in record.space.items():
        option, space = record.option(name), dimension(name, text)
        for value in space.choices or (space.low, space.high):
            option.check(value, record.name)
        if name == "lr":
            assert space.low <= option.default <= space.high


@pytest.mark.parametrize("record", RECORDS)
def test_code_that_decides_the_numbers_is_part_of_a_run(record: OptimizerRecord) -> None:
    torchs = record.factory.startswith("torch.optim:")
    assert bool(code_hash(record.factory)) != torchs
    for other in ({"fixed": {"twice": True}}, {"kind": "gradient" if record.kind == "loss" else "loss"}):
        assert replace(record, **other).code_hash() != record.code_hash()
    assert replace(record, summary="other words", state="9").code_hash() == record.code_hash()


def test_kinds_are_told_in_words() -> None:
    assert tuple(KIND_WORDS) == KINDS


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


Lehi = Callable[..., Result]

# Every name of pytorch-optimizer that is refused, and why.
REFUSED = {
    "is torch's own": "Adam AdamW LBFGS NAdam RMSprop SGD",
    "wraps another optimizer": "FriendlySAM GSAM LookSAM Lookahead Magma OrthoGrad PCGrad SAM SafeFP16Optimizer "
    "ScheduleFreeWrapper TRAC WSAM",
    "use_muon": "AdaGO AdaMuon DistributedMuon Muon MuonClip NorMuon",
    "no learning rate": "A2Grad AliG SaRA",
    "must be told": "BSAM Ranger21",
    "has no step": "AdaLOMO LOMO",
    "is no optimizer": "DynamicLossScaler RotoGrad",
    "several processes": "DeMo",
    "LoRA": "LoRARite",
    "matrices only": "SpectralSphere",
}
REASONS = {name: reason for reason, listed in REFUSED.items() for name in listed.split()}


def test_names_of_pytorch_optimizer_are_read_without_importing_it(python: Callable[..., object]) -> None:
    code = (
        "import sys; from lehi_cli.registry import optimizers;"
        "record = optimizers.find('po.Lion'); print(record.option('betas').shown_default);"
        "assert record.code_hash(); assert not {'torch', 'pytorch_optimizer'} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.stdout == "0.9/0.99\n", result.stderr  # type: ignore[attr-defined]


def test_options_of_pytorch_optimizer_are_the_constructors() -> None:
    record = optimizers.find("po.AdEMAMix")
    options = {option.name: option for option in record.options}
    assert options["lr"].default == 1e-3
    assert options["betas"].default == (0.9, 0.999, 0.9999)
    assert options["t_alpha_beta3"].check(10, "x") == 10.0
    assert options["weight_decouple"].check(True, "x") is True
    assert "slow momentum" in options["alpha"].help
    assert "maximize" not in options
    with pytest.raises(UsageError, match="did you mean 'alpha'"):
        record.option("alfa")


@pytest.mark.parametrize(
    ("name", "kind", "modes"),
    [("Lion", "gradient", False), ("SophiaH", "differentiable", False), ("ScheduleFreeSGD", "gradient", True)],
)
def test_how_to_drive_it_is_read_from_the_source(name: str, kind: str, modes: bool) -> None:
    record = optimizers.find(f"po.{name}")
    assert (record.kind, record.modes, record.draws) == (kind, modes, True)


def test_unknown_names_of_pytorch_optimizer_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown optimizer 'po.Lionn'; did you mean 'po.Lion'"):
        optimizers.find("po.Lionn")


@pytest.mark.parametrize("name", REASONS)
def test_unsuitable_names_of_pytorch_optimizer_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match=REASONS[name]):
        optimizers.find(f"po.{name}")


def test_without_pytorch_optimizer_its_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise PluginError(f"no module named {module!r}", "is it installed in this environment?")

    monkeypatch.setattr(pytorch_optimizer_names.plugins, "locate", missing)
    pytorch_optimizer_names.names.cache_clear()
    pytorch_optimizer_names._tree.cache_clear()
    with pytest.raises(PluginError, match=r"po\.<Name> needs the package pytorch-optimizer: no module named"):
        optimizers.find("po.Lion")


@pytest.mark.slow
@pytest.mark.parametrize("name", pytorch_optimizer_names.names())
def test_every_name_of_pytorch_optimizer_trains_or_is_refused(name: str) -> None:
    try:
        record = optimizers.find(f"po.{name}")
    except UsageError:
        assert name in REASONS
        return
    assert name not in REASONS
    assert all(option.help for option in record.options)
    model = net()
    optimizer = build_optimizer(record, model)
    train(record, model, optimizer, 3)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert "lr" in optimizer.param_groups[0]


def test_names_of_pytorch_optimizer_run(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "digits", "--optims", "po.Lion:lr=1e-3,adam", "--smoke")
    assert result.code == 0, result.err
    assert "po.Lion" in result.out


def test_the_list_names_every_optimizer(lehi: Lehi) -> None:
    result = lehi("optims")
    assert result.code == 0
    for record in BUILT_IN:
        assert f"| {record.name} " in result.out
    assert "po.<Name>" in result.out


@pytest.mark.parametrize("name", ["lehi", "sophia_h", "schedulefree_adamw", "po.Yogi"])
def test_one_optimizer_is_shown_whole(name: str, lehi: Lehi) -> None:
    result = lehi("optims", name)
    record = optimizers.find(name)
    assert result.code == 0
    for text in (record.summary, KIND_WORDS[record.kind], record.passes, record.state, record.source):
        assert text in result.out
    assert all(line in result.out for line in record.formula.splitlines())
    for option in record.options:
        assert f"| {option.name} " in result.out
    assert all(space in result.out for space in record.space.values())
