"""What programs expect of any optimizer of torch, asked of every one of ours: one table, a new row gets every test."""

import copy
import io
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer, lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lehi_cli.optim import LEHI, LEHIBRID, SFN, SOAA, BlockHessianFree, HessianFree, MuonAdamW, Sophia

Group = dict[str, Any]


def muon(params: Iterable[Any], **options: Any) -> MuonAdamW:
    """Matrices to Muon, or where there are groups those of matrices only."""
    items = list(params)
    if items and isinstance(items[0], dict):
        for_muon = [all(_tensor(p).ndim == 2 for p in group["params"]) for group in items]
    else:
        for_muon = [_tensor(p).ndim == 2 for p in items]
    matrices = (item for item, chosen in zip(items, for_muon, strict=True) if chosen)
    rest = (item for item, chosen in zip(items, for_muon, strict=True) if not chosen)
    return MuonAdamW(matrices, rest, **options)


def _tensor(p: Any) -> Tensor:
    return p[1] if isinstance(p, tuple) else p


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        build: makes the optimizer, of parameters or groups.
        kind: how it is driven, see `advance`.
        options: how all tests build it.
        own: an option that a group may set, at a value that makes a difference.
        bare: options under which a step is one of each parameter by itself, as far as there are any.
        misspelt: a key that is nearly an option.
        foreach: settings at which the fast path is compared with the slow one.
        reordered: how far apart two runs may be whose sums are taken in another order.
        skips: what cannot be asked of it, with the reason.
    """

    build: Callable[..., Optimizer]
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=lambda: {"weight_decay": 0.5})
    bare: dict[str, Any] = field(default_factory=dict)
    misspelt: str = "weigth_decay"
    foreach: tuple[dict[str, Any], ...] = ()
    reordered: float = 0.0
    skips: dict[str, str] = field(default_factory=dict)


WHOLE = {
    "foreach": "all parameters are one vector already",
    "maximize": "the step is the minimum of a model of the loss, which has no maximum",
    "no_gradients": "computes its gradients itself",
}
CURVATURE = ({}, {"weight_decay": 0.1}, {"curvature_every": 3}, {"maximize": True}, {"betas": (0.5, 0.7), "eps": 1e-3})
DESCENT = (*CURVATURE, {"power": 1, "clip": 1.0}, {"clip": 0.1}, {"damping": 0.1})
CASES = {
    "lehi": Case(LEHI, "curvature", foreach=DESCENT),
    "mix": Case(LEHIBRID, "curvature", own={"theta": 0.1}, foreach=(*DESCENT, {"theta": 0.2})),
    "max": Case(LEHIBRID, "curvature", {"hybrid": "max"}, foreach=DESCENT),
    "sophia": Case(Sophia, "curvature", foreach=(*CURVATURE, {"gamma": 1.0})),
    "soaa": Case(
        SOAA,
        "loss",
        {"total_steps": 100},
        foreach=({}, {"weight_decay": 0.1}, {"maximize": True}, {"same_step": True, "lhat": "previous"}),
        reordered=1e-12,
    ),
    "soaa_tensor": Case(SOAA, "loss", {"total_steps": 100, "scope": "tensor"}, foreach=({}, {"schedule": "t"})),
    "hf": Case(
        HessianFree,
        "whole",
        {"max_cg": 4, "lr": 0.5},
        own={"lr": 0.1},
        bare={"line_search": False, "backtracking": False},
        misspelt="dampping",
        reordered=1e-7,
        skips=WHOLE,
    ),
    "bdhf": Case(
        BlockHessianFree,
        "whole",
        {"max_cg": 4, "lr": 0.5, "adaptive_damping": True},
        own={"lr": 0.1},
        misspelt="dampping",
        reordered=1e-7,
        skips=WHOLE,
    ),
    "sfn": Case(
        SFN, "whole", {"terms": 4, "lr": 0.5}, own={"lr": 0.1}, misspelt="dampping", reordered=1e-9, skips=WHOLE
    ),
    "sfn_momentum": Case(
        SFN,
        "whole",
        {"terms": 4, "lr": 0.1, "adaptive": False},
        own={"lr": 0.5},
        misspelt="momentun",
        reordered=1e-9,
        skips=WHOLE,
    ),
    "muon": Case(muon, "gradient", foreach=({}, {"weight_decay": 0.0}, {"maximize": True}, {"betas": (0.5, 0.7)})),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def mlp(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def groups(model: nn.Module) -> list[Group]:
    """The matrices, and the rest: named, as block-diagonal methods want them."""
    named = list(model.named_parameters())
    return [{"params": [(name, p) for name, p in named if (p.ndim == 2) == matrix]} for matrix in (True, False)]


def build(case: Case, model: nn.Module, **options: Any) -> Optimizer:
    return case.build(groups(model), **{**case.options, **options})


def batch(seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return inputs.to(dtype), inputs[:, :3].argmax(-1)


def advance(case: Case, model: nn.Module, optimizer: Any, seed: int, step: Callable[..., Any] | None = None) -> float:
    """One step as the method wants it."""
    step = step or optimizer.step
    inputs, targets = batch(seed, next(model.parameters()).dtype)
    if case.kind == "whole":
        return float(step(lambda rows=slice(None): (model(inputs[rows]), targets[rows])))
    optimizer.zero_grad()
    if case.kind == "curvature":
        loss = optimizer.backward(model(inputs), targets)
        step()
        return float(loss)
    loss = nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    if case.kind == "loss":
        step(loss.detach())
    else:
        step()
    return loss.item()


def train(case: Case, model: nn.Module, optimizer: Optimizer, seeds: Iterable[int], **options: Any) -> None:
    for seed in seeds:
        advance(case, model, optimizer, seed, **options)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))


def equal(ours: Any, theirs: Any) -> bool:
    """Of two states: to the last bit, dtypes included."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(ours, Tensor):
        return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    return bool(ours == theirs)


def started(case: Case, steps: int = 5, **options: Any) -> tuple[nn.Module, Optimizer]:
    model = mlp()
    optimizer = build(case, model, **options)
    train(case, model, optimizer, range(steps))
    return model, optimizer


def like(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model)


# --- Options


@pytest.mark.parametrize(
    ("case", "options"),
    [pytest.param(case, row, id=f"{name}-{row}") for name, case in CASES.items() for row in case.foreach],
)
def test_foreach_equals_single_tensor(case, options):
    models = [mlp(), mlp()]
    for model, foreach in zip(models, (False, True), strict=True):
        train(case, model, build(case, model, foreach=foreach, **options), range(8))
    for single, multi in zip(weights(models[0]), weights(models[1]), strict=True):
        torch.testing.assert_close(single, multi, rtol=1e-12, atol=1e-14)


@every
def test_groups_have_options_of_their_own(case):
    # One step: what a group sets holds for its parameters, and for no others.
    options = case.bare | {"lr": 0.3}
    ends = []
    for first, second in (({}, {}), (case.own, {}), (case.own, case.own)):
        model = mlp()
        parts = [group | own for group, own in zip(groups(model), (first, second), strict=True)]
        train(case, model, case.build(parts, **case.options | options), [0])
        ends.append(model)
    none, one, both = ends
    for start, plain, p, changed in zip(weights(mlp()), weights(none), weights(one), weights(both), strict=True):
        assert not torch.equal(start, plain)
        assert not torch.equal(plain, changed)
        torch.testing.assert_close(p, changed if p.ndim == 2 else plain, rtol=1e-12, atol=0)


@every
def test_a_group_with_a_rate_of_zero_stays(case):
    model = mlp()
    still, moving = groups(model)
    optimizer = case.build([still | {"lr": 0.0}, moving], **case.options)
    train(case, model, optimizer, range(3))
    for p, start in zip(weights(model), weights(mlp()), strict=True):
        assert torch.equal(p, start) == (p.ndim == 2)


@every
@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_learning_rate_may_be_a_tensor(case, shape):
    models = [mlp(), mlp()]
    for model, lr in zip(models, (0.05, torch.full(shape, 0.05, dtype=torch.float64)), strict=True):
        train(case, model, build(case, model, lr=lr), range(3))
    for number, tensor in zip(weights(models[0]), weights(models[1]), strict=True):
        torch.testing.assert_close(number, tensor, rtol=1e-12, atol=0)


@every
@pytest.mark.parametrize("name", ["capturable", "differentiable", "fused"])
def test_what_is_not_supported_is_refused_by_name(case, name):
    with pytest.raises(ValueError, match=f"{name} must be False: .*, got True"):
        build(case, mlp(), **{name: True})
    optimizer = build(case, mlp())
    with pytest.raises(ValueError, match=f"{name} must be False: .*, got True"):
        optimizer.add_param_group({"params": [("late", nn.Parameter(torch.ones(2)))], name: True})
    assert len(optimizer.param_groups) == 2


@every
@pytest.mark.parametrize("name", ["foreach", "maximize"])
def test_other_conventions_work_or_are_refused_by_name(case, name):
    if name in case.skips:
        with pytest.raises(ValueError, match=f"{name} must be False: .*, got True"):
            build(case, mlp(), **{name: True})
        return
    model = mlp()
    train(case, model, build(case, model, **{name: True}), range(2))
    assert not same(model, mlp())


@every
def test_maximize_is_the_step_of_the_negative_gradient(case):
    if "maximize" in case.skips:
        pytest.skip(case.skips["maximize"])
    ends = []
    for sign, maximize in ((1.0, False), (-1.0, True)):
        model = mlp()
        optimizer = build(case, model, maximize=maximize)
        for seed in range(4):
            inputs, targets = batch(seed, torch.float64)
            optimizer.zero_grad()
            if case.kind == "curvature":
                optimizer.backward(model(inputs), targets)
                for p in model.parameters():
                    p.grad = sign * p.grad
                optimizer.step()
                continue
            loss = sign * nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step(*([loss.detach()] if case.kind == "loss" else []))
        ends.append(model)
    assert same(*ends)


@every
def test_repr_shows_the_options(case):
    optimizer = build(case, mlp())
    text = repr(optimizer)
    assert text.startswith(type(optimizer).__name__)
    for name in optimizer.defaults:
        assert f"    {name}: {optimizer.param_groups[0][name]}\n" in text


@every
def test_other_keys_of_a_group_stay_with_it(case):
    optimizer = case.build([{**group, "lr_scale": 0.5} for group in groups(mlp())], **case.options)
    assert "lr_scale: 0.5" in repr(optimizer)
    resumed = build(case, mlp())
    resumed.load_state_dict(optimizer.state_dict())
    assert [group["lr_scale"] for group in resumed.param_groups] == [0.5, 0.5]


@every
def test_misspelt_options_of_a_group_are_refused(case):
    optimizer = build(case, mlp())
    with pytest.raises(ValueError, match=f"has no option '{case.misspelt}'; did you mean "):
        optimizer.add_param_group({"params": [("late", nn.Parameter(torch.ones(2)))], case.misspelt: 0.1})
    assert len(optimizer.param_groups) == 2


# --- Parameters


@every
def test_named_parameters(case):
    optimizer = build(case, mlp())
    assert [group["param_names"] for group in optimizer.param_groups] == [
        ["0.weight", "2.weight"],
        ["0.bias", "2.bias"],
    ]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["0.weight", "2.weight"]


@every
def test_a_group_added_later_moves(case):
    model = mlp()
    optimizer = case.build([{"params": list(model[2].named_parameters())[:1]}], **case.options)
    train(case, model, optimizer, range(2))
    late = [("0.bias", model[0].bias), ("2.bias", model[2].bias)]
    optimizer.add_param_group({"params": late, "lr": 0.05})
    assert optimizer.param_groups[1].keys() >= optimizer.defaults.keys()
    before = [p.detach().clone() for _, p in late]
    train(case, model, optimizer, range(2, 14))  # Sophia moves from the first refresh on
    assert not any(torch.equal(p, start) for (_, p), start in zip(late, before, strict=True))
    assert torch.equal(model[0].weight, mlp()[0].weight)


@every
def test_a_generator_of_parameters(case):
    model, listed = mlp(), mlp()
    train(case, model, case.build(((name, p) for name, p in model.named_parameters()), **case.options), range(3))
    train(case, listed, case.build(list(listed.named_parameters()), **case.options), range(3))
    assert same(model, listed)


@every
def test_no_parameters_are_refused(case):
    with pytest.raises(ValueError, match="empty parameter list"):
        case.build([], **case.options)


@every
def test_a_parameter_given_twice_is_refused(case):
    bias = ("bias", nn.Parameter(torch.ones(3)))
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        case.build([{"params": [bias]}, {"params": [bias]}], **case.options)


@every
def test_a_tensor_that_is_no_leaf_is_refused(case):
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        case.build([("twice", 2 * nn.Parameter(torch.ones(3)))], **case.options)


@every
def test_complex_parameters_are_refused(case):
    with pytest.raises(TypeError, match="complex parameters are not supported"):
        case.build([("z", nn.Parameter(torch.ones(3, dtype=torch.complex64)))], **case.options)


@every
def test_gradients_are_cleared_both_ways(case):
    model = mlp()
    optimizer = build(case, model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.any() for p in model.parameters())
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@every
def test_without_gradients_nothing_happens(case):
    if "no_gradients" in case.skips:
        pytest.skip(case.skips["no_gradients"])
    model = mlp()
    optimizer = build(case, model)
    optimizer.step(*([1.0] if case.kind == "loss" else []))
    assert same(model, mlp())
    assert not optimizer.state


# --- Hooks


@every
def test_step_hooks_fire_once(case):
    model = mlp()
    optimizer = build(case, model)
    fired: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: fired.append("pre"))
    optimizer.register_step_post_hook(lambda *_: fired.append("post"))
    handles = [
        register_optimizer_step_pre_hook(lambda *_: fired.append("global pre")),
        register_optimizer_step_post_hook(lambda *_: fired.append("global post")),
    ]
    try:
        train(case, model, optimizer, [0])
    finally:
        for handle in handles:
            handle.remove()
    assert fired == ["global pre", "pre", "post", "global post"]


@every
def test_state_dict_hooks(case):
    _, optimizer = started(case)
    seen: list[Any] = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append(o is optimizer))
    optimizer.register_state_dict_post_hook(lambda o, saved: {**saved, "note": 1})
    assert optimizer.state_dict().keys() == {"state", "param_groups", "note"}
    assert seen == [True]


@every
def test_load_state_dict_hooks_see_all(case):
    # What a hook makes of the saved state is what the next step starts from; the one for after it sees what is loaded.
    model, optimizer = started(case)
    other = mlp()
    resumed = build(case, other)
    whole, after = copy.deepcopy(optimizer.state_dict()), []
    resumed.register_load_state_dict_pre_hook(lambda o, saved: whole)
    resumed.register_load_state_dict_post_hook(lambda o: after.append(copy.deepcopy(o.state_dict())))
    resumed.load_state_dict(build(case, mlp()).state_dict())
    assert equal(after[0], whole)
    other.load_state_dict(model.state_dict())
    train(case, model, optimizer, range(5, 9))
    train(case, other, resumed, range(5, 9))
    assert same(model, other)


def by_name(optimizer: Optimizer, state_dict: Group) -> Group:
    """As in torch's tutorial: parameters are found by their names, wherever they stand."""
    adapted = copy.deepcopy(optimizer.state_dict())
    for own, saved in zip(adapted["param_groups"], state_dict["param_groups"], strict=True):
        own |= {key: value for key, value in saved.items() if key not in ("params", "param_names")}
        for place, name in zip(own["params"], own["param_names"], strict=True):
            loaded = saved["params"][saved["param_names"].index(name)]
            if loaded in state_dict["state"]:
                adapted["state"][place] = copy.deepcopy(state_dict["state"][loaded])
    return adapted


@every
def test_loading_by_name(case):
    model, optimizer = started(case)
    other = like(model)
    reverse = [{"params": group["params"][::-1]} for group in groups(other)]
    resumed = case.build(reverse, **case.options)
    resumed.register_load_state_dict_pre_hook(by_name)
    resumed.load_state_dict(optimizer.state_dict())
    train(case, model, optimizer, range(5, 9))
    train(case, other, resumed, range(5, 9))
    for p, q in zip(weights(model), weights(other), strict=True):
        torch.testing.assert_close(p, q, rtol=case.reordered, atol=case.reordered)


# --- Schedulers

SCHEDULERS = {
    "lambda": lambda o, **_: lr_scheduler.LambdaLR(o, lambda step: 1 / (step + 1)),
    "cosine": lambda o, **_: lr_scheduler.CosineAnnealingLR(o, 10),
    "warmup": lambda o, **_: lr_scheduler.LinearLR(o, 0.1, total_iters=4),
    "chained": lambda o, **_: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "sequential": lambda o, **_: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "plateau": lambda o, **_: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.5),
    "one_cycle": lambda o, **more: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20, **more),
}


@every
@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_schedulers(case, make):
    model = mlp()
    optimizer = build(case, model)
    more = {"cycle_momentum": case.kind != "whole"}
    twin = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=optimizer.param_groups[0]["lr"])
    scheduler, other = make(optimizer, **more), make(twin, **more)
    twin.step()
    for seed in range(6):
        metrics = [advance(case, model, optimizer, seed)] if make is SCHEDULERS["plateau"] else []
        if not metrics:
            advance(case, model, optimizer, seed)
        scheduler.step(*metrics)
        other.step(*metrics)
        assert [group["lr"] for group in optimizer.param_groups] == [twin.param_groups[0]["lr"]] * 2
    assert all(p.isfinite().all() for p in model.parameters())
    resumed_model = like(model)
    resumed = build(case, resumed_model)
    going_on = make(resumed, **more)
    going_on.load_state_dict(scheduler.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in range(6, 9):
        for net, own, rates in ((model, optimizer, scheduler), (resumed_model, resumed, going_on)):
            metric = advance(case, net, own, seed)
            rates.step(*([metric] if make is SCHEDULERS["plateau"] else []))
    assert same(model, resumed_model)


def test_momentum_that_a_scheduler_cycles_is_refused_where_there_must_be_none():
    case, model = CASES["sfn"], mlp()
    optimizer = build(case, model)
    lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    with pytest.raises(ValueError, match=r"momentum must be 0 with adaptive=True, got 0\.95"):
        train(case, model, optimizer, [0])


# --- Copies and checkpoints


@every
def test_state_dict_has_two_keys(case):
    _, optimizer = started(case)
    assert optimizer.state_dict().keys() == {"state", "param_groups"}


def through_state_dict(model: nn.Module, optimizer: Optimizer, case: Case) -> tuple[nn.Module, Optimizer]:
    other = like(model)
    resumed = build(case, other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return other, resumed


def through_a_file(model: nn.Module, optimizer: Optimizer, case: Case) -> tuple[nn.Module, Optimizer]:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = like(model)
    resumed = build(case, other)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    return other, resumed


COPIES = {
    "deepcopy": lambda model, optimizer, case: copy.deepcopy((model, optimizer)),
    "pickle": lambda model, optimizer, case: pickle.loads(pickle.dumps((model, optimizer))),
    "state_dict": through_state_dict,
    "file": through_a_file,
}


@every
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_goes_on_alike(case, duplicate):
    model, optimizer = started(case)
    lr_scheduler.ConstantLR(optimizer, 1.0)  # wraps the optimizer's step
    other, twin = duplicate(model, optimizer, case)
    train(case, model, optimizer, range(5, 12))
    train(case, other, twin, range(5, 12))
    assert same(model, other)
    assert repr(twin) == repr(optimizer)


@every
def test_a_loaded_state_is_the_saved_one_in_bf16(case):
    # torch rounds what it loads to the parameters' own dtype.
    model = mlp(torch.bfloat16)
    optimizer = build(case, model)
    train(case, model, optimizer, range(5))
    resumed = build(case, mlp(torch.bfloat16))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert equal(resumed.state_dict(), optimizer.state_dict())


@every
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("steps", [0, 5])
def test_distributed_checkpoints(case, steps, flat, tmp_path):
    model, optimizer = started(case, steps)
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    saved = {"optimizer": get_optimizer_state_dict(model, optimizer, options=options)}
    dcp.save(saved, checkpoint_id=tmp_path, no_dist=True)
    other = like(model)
    other.zero_grad()  # torch makes the state only where there are no gradients
    resumed = build(case, other)
    saved = {"optimizer": get_optimizer_state_dict(other, resumed, options=options)}
    assert same(model, other)
    dcp.load(saved, checkpoint_id=tmp_path, no_dist=True)
    set_optimizer_state_dict(other, resumed, saved["optimizer"], options=options)
    resumed_state, state = resumed.state_dict(), optimizer.state_dict()
    resumed_state["state"] = {place: own for place, own in resumed_state["state"].items() if own}
    assert equal(resumed_state, state)
    train(case, model, optimizer, range(5, 9))
    train(case, other, resumed, range(5, 9))
    assert same(model, other)


@every
def test_compiling_the_step_changes_nothing(case):
    torch._dynamo.reset()
    models = [mlp(), mlp()]
    for model, compiled in zip(models, (False, True), strict=True):
        optimizer = build(case, model)
        step = torch.compile(optimizer.step, backend="eager") if compiled else None
        train(case, model, optimizer, range(12), step=step)
    assert same(*models)
