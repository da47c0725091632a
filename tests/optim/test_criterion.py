"""`optimizer.criterion`: training loops that call `loss.backward()` themselves, ours, Lightning's and transformers'."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from reference.gauss_newton import all_signs, jacobian, output_hessian, relative_error
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lehi_cli.optim import LEHI, LEHIBRID, Sophia

KINDS = {
    "lehi": (LEHI, {}),
    "every": (LEHI, {"curvature_every": 3, "curvature_warmup": 2, "factor": "sampled"}),
    "max": (LEHIBRID, {"hybrid": "max"}),
    "sophia": (Sophia, {"curvature_every": 2}),
}
each = pytest.mark.parametrize(("kind", "options"), KINDS.values(), ids=KINDS)


def mlp(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def batch(size: int = 8, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return inputs, inputs[:, :3].argmax(-1)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def close(a: nn.Module, b: nn.Module) -> None:
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


@each
def test_a_loop_of_its_own_equals_backward(kind: type, options: dict[str, Any]) -> None:
    models = [mlp(), mlp()]
    optimizers = [kind(model.parameters(), lr=1e-2, **options) for model in models]
    criterion = optimizers[1].criterion(nn.CrossEntropyLoss())
    for seed in range(7):
        inputs, targets = batch(seed=seed)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = optimizers[0].backward(models[0](inputs), targets)
        own = criterion(models[1](inputs), targets)
        assert torch.equal(own, loss)
        own.backward()
        for optimizer in optimizers:
            optimizer.step()
        assert same(*models)


@pytest.mark.parametrize("size", [2, 4])
def test_micro_batches_equal_the_big_batch(size: int) -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(m.parameters(), lr=1e-2, factor="diagonal", sample_signs=False) for m in models]
    criterion = optimizers[1].criterion()
    for seed in range(3):
        inputs, targets = batch(8, seed)
        for optimizer in optimizers:
            optimizer.zero_grad()
        optimizers[0].backward(models[0](inputs), targets)
        for x, y in zip(inputs.split(size), targets.split(size), strict=True):
            (criterion(models[1](x), y) * size / 8).backward()
        for optimizer in optimizers:
            optimizer.step()
        close(*models)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.trunk = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double()
            self.classes, self.value = nn.Linear(3, 2).double(), nn.Linear(3, 1).double()

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(inputs)
        return self.classes(hidden), self.value(hidden)


def heads_batch() -> tuple[Tensor, Tensor, Tensor]:
    inputs, _ = batch(2)
    return inputs, (inputs[:, 0] > 0).long(), inputs[:, :1]


@pytest.mark.parametrize("how", ["added", "one_after_the_other", "backward"])
def test_two_heads_on_a_trunk_are_exact_in_expectation(how: str) -> None:
    # E[h^2] = diag GGN(l1 + l2 / 2) / B over all patterns of signs, with B = 2 + 2 predictions.
    model = TwoHeads()
    inputs, classes, values = heads_batch()
    first, second = model(inputs)
    params = list(model.parameters())
    expected = torch.zeros(())
    for outputs, targets, loss, weight in (
        (first, classes, nn.CrossEntropyLoss(), 1.0),
        (second, values, nn.MSELoss(), 0.5),
    ):
        J = jacobian(outputs, params)
        expected = expected + weight * (J.T @ output_hessian(loss, outputs, targets) @ J).diag()
    optimizer = LEHI(model.parameters(), lr=0.0, betas=(0.0, 0.0))
    heads = optimizer.criterion(nn.CrossEntropyLoss()), optimizer.criterion(nn.MSELoss())
    total, count = torch.zeros(()), 0
    for signs in all_signs(1, 6):
        parts = signs.flatten().split((4, 2))
        for head, part in zip(heads, parts, strict=True):
            head.loss.draw_signs = lambda shape, like, generator, part=part: part.reshape(shape).to(like)
        optimizer.zero_grad()
        first, second = model(inputs)
        if how == "added":
            (heads[0](first, classes) + 0.5 * heads[1](second, values)).backward()
        elif how == "one_after_the_other":
            heads[0](first, classes).backward(retain_graph=True)
            (0.5 * heads[1](second, values)).backward()
        else:
            optimizer.loss = heads[0].loss
            optimizer.backward(first, classes, retain_graph=True)
            optimizer.loss = heads[1].loss
            optimizer.backward(second, values, weight=0.5)
        optimizer.step()
        diagonal = optimizer.curvature_diagonal()
        total = total + torch.cat([diagonal[p].flatten() for p in params])
        count += 1
    torch.testing.assert_close(total / count, expected, rtol=1e-10, atol=1e-13)


def test_a_second_head_without_retain_graph_is_refused_by_torch() -> None:
    model = TwoHeads()
    inputs, classes, _ = heads_batch()
    optimizer = LEHI(model.parameters())
    first, _ = model(inputs)
    optimizer.backward(first, classes)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        optimizer.backward(first, classes)


def test_a_loss_differentiated_twice_counts_twice() -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(m.parameters(), lr=1e-2, factor="diagonal", sample_signs=False) for m in models]
    inputs, targets = batch()
    loss = optimizers[0].criterion()(models[0](inputs), targets)
    loss.backward(retain_graph=True)
    loss.backward()
    for _ in range(2):
        optimizers[1].backward(models[1](inputs), targets)
    for optimizer in optimizers:
        optimizer.step()
    close(*models)


def test_a_penalty_adds_to_the_gradient_and_not_to_the_curvature() -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters()) for model in models]
    inputs, targets = batch()
    for model, optimizer, penalty in zip(models, optimizers, (0.0, 0.1), strict=True):
        loss = optimizer.criterion()(model(inputs), targets)
        (loss + penalty * sum(p.square().sum() for p in model.parameters())).backward()
    assert not torch.equal(models[0][0].weight.grad, models[1][0].weight.grad)
    for optimizer in optimizers:
        optimizer.step()
    for a, b in zip(*(o.curvature_diagonal().values() for o in optimizers), strict=True):
        assert torch.equal(a, b)


def test_evaluating_the_criterion_leaves_no_trace() -> None:
    model = mlp()
    optimizer = LEHI(model.parameters())
    criterion = optimizer.criterion()
    with torch.no_grad():
        criterion(model(batch()[0]), batch()[1])
    criterion(model(batch()[0]), batch()[1])  # with a graph, and never differentiated
    assert not optimizer.state
    assert optimizer.refresh_due


def test_minus_the_loss_with_maximize_is_the_loss() -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(models[0].parameters()), LEHI(models[1].parameters(), maximize=True)]
    criterion = optimizers[1].criterion()
    for seed in range(4):
        inputs, targets = batch(seed=seed)
        for optimizer in optimizers:
            optimizer.zero_grad()
        optimizers[0].backward(models[0](inputs), targets)
        (-criterion(models[1](inputs), targets)).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert same(*models)


def test_autograd_grad_takes_the_sample_too() -> None:
    model = mlp()
    optimizer = LEHI(model.parameters())
    loss = optimizer.criterion()(model(batch()[0]), batch()[1])
    for p, grad in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
        p.grad = grad
    optimizer.step()
    assert len(optimizer.curvature_diagonal()) == 4


@pytest.mark.parametrize("late", [False, True])
def test_a_grad_scaler_is_taken_out_again(late: bool) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    models = [mlp(torch.float32), mlp(torch.float32)]
    optimizers = [LEHI(model.parameters(), lr=1e-2) for model in models]
    scaled = optimizers[1].criterion(scaler=(lambda: scaler) if late else scaler)
    for seed in range(5):
        inputs, targets = batch(seed=seed, dtype=torch.float32)
        for optimizer in optimizers:
            optimizer.zero_grad()
        optimizers[0].backward(models[0](inputs), targets)
        scaler.scale(scaled(models[1](inputs), targets)).backward()
        optimizers[0].step()
        scaler.step(optimizers[1])
        scaler.update()
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        assert relative_error(p.detach(), q.detach()) < 1e-5


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_a_grad_scaler_that_nobody_told_of_is_refused(how: str, clipped: bool) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = mlp(torch.float32)
    optimizer = LEHI(model.parameters())
    inputs, targets = batch(dtype=torch.float32)
    if how == "criterion":
        scaler.scale(optimizer.criterion()(model(inputs), targets)).backward()
    else:
        scaler.scale(torch.ones(()))  # as it is made ready by scaling something else
        optimizer.backward(model(inputs), targets)
    if clipped:
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"hand it over, .* or optimizer.criterion\(loss, scaler=scaler\)"):
        scaler.step(optimizer)
    optimizer.zero_grad()
    optimizer.backward(model(inputs), targets)
    optimizer.step()  # the refusal is of that step only


def test_a_scaler_that_is_switched_off_is_none() -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    model = mlp()
    optimizer = LEHI(model.parameters())
    scaler.scale(optimizer.criterion(scaler=scaler)(model(batch()[0]), batch()[1])).backward()
    scaler.step(optimizer)
    optimizer.backward(model(batch()[0]), batch()[1], scaler=scaler)
    scaler.step(optimizer)
    assert optimizer.param_groups[0]["steps"] == 2


@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_overflowing_outputs_end_in_a_skipped_step(how: str) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = mlp(torch.float32)
    optimizer = Sophia(model.parameters(), curvature_every=1)  # draws labels from the model
    criterion = optimizer.criterion(scaler=scaler)
    before = copy.deepcopy(model)
    for factor in (math.inf, 1.0):
        optimizer.zero_grad()
        inputs, targets = batch(dtype=torch.float32)
        outputs = model(inputs) * factor
        if how == "criterion":
            scaler.scale(criterion(outputs, targets)).backward()
        else:
            optimizer.backward(outputs, targets, scaler=scaler)
        scaler.step(optimizer)
        scaler.update()
        assert same(model, before) == (factor == math.inf)
    assert all(p.isfinite().all() for p in model.parameters())


# What autograd does not see through.


def recomputed(model: nn.Sequential, inputs: Tensor, reentrant: bool) -> Tensor:
    return model[2](checkpoint(model[:2], inputs.requires_grad_(), use_reentrant=reentrant))


@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_a_recomputed_layer_gets_its_sample(how: str) -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters()) for model in models]
    for model, optimizer, inner in zip(models, optimizers, (False, True), strict=True):
        inputs, targets = batch()
        outputs = recomputed(model, inputs, reentrant=False) if inner else model(inputs)
        if how == "criterion":
            optimizer.criterion()(outputs, targets).backward()
        else:
            optimizer.backward(outputs, targets)
        optimizer.step()
    close(*models)


@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_a_layer_hidden_in_a_reentrant_checkpoint_is_named(how: str) -> None:
    model = mlp()
    optimizer = LEHI(model.named_parameters())
    inputs, targets = batch()

    def step() -> None:
        outputs = recomputed(model, inputs, reentrant=True)
        if how == "criterion":
            optimizer.criterion()(outputs, targets).backward()
            optimizer.step()
        else:
            optimizer.backward(outputs, targets)

    with pytest.raises(RuntimeError, match=r"parameters 0.weight, 0.bias: a gradient, but no .* use_reentrant"):
        step()


def test_a_reentrant_checkpoint_behind_a_parameter_is_refused_by_torch() -> None:
    model = mlp()
    hidden = model[:2](batch()[0])
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        LEHI(model.parameters()).backward(checkpoint(model[2], hidden, use_reentrant=True), batch()[1])


def test_unreached_parameters_are_counted_and_warned_of_once() -> None:
    model, side = mlp(), nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = LEHI([*model.parameters(), side])
    criterion = optimizer.criterion()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            optimizer.zero_grad()
            (criterion(model(batch()[0]), batch()[1]) + side.square().sum()).backward()
            optimizer.step()
    assert [str(warning.message)[:50] for warning in caught] == [
        "parameter 4 of group 0 [2]: a gradient, but no curv"[:50]
    ]
    assert optimizer.fallbacks == {"gradient in place of the curvature sample": 3}
    other = LEHI([*mlp().parameters(), nn.Parameter(torch.ones(2, dtype=torch.float64))])
    other.load_state_dict(optimizer.state_dict())
    assert other.fallbacks == optimizer.fallbacks


# What is left from a step that was not taken.


@pytest.mark.parametrize("to_none", [False, True])
@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_a_skipped_step_leaves_nothing_behind_whoever_clears_the_gradients(how: str, to_none: bool) -> None:
    model = mlp()
    optimizer = LEHI(model.parameters())
    criterion = optimizer.criterion()
    for _ in range(2):  # the first step is skipped
        model.zero_grad(set_to_none=to_none)
        inputs, targets = batch(48)
        if how == "criterion":
            criterion(model(inputs), targets).backward()
        else:
            optimizer.backward(model(inputs), targets)
    assert optimizer.param_groups[0]["pending"]["predictions"] == 48
    criterion(model(inputs), targets).backward()  # not cleared: this is accumulation
    assert optimizer.param_groups[0]["pending"]["predictions"] == 96


def test_gradients_replaced_behind_its_back_are_refused() -> None:
    model = mlp()
    optimizer = LEHI(model.parameters())
    inputs, targets = batch()
    optimizer.backward(model(inputs), targets)
    model.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    with pytest.raises(RuntimeError, match=r"call optimizer.zero_grad\(\) before the first backward pass of a step"):
        optimizer.backward(model(inputs), targets)


@pytest.mark.parametrize("through", ["state_dict", "deepcopy"])
def test_a_checkpoint_between_two_micro_batches_goes_on(through: str) -> None:
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters(), lr=1e-2) for model in models]
    (x0, y0), (x1, y1) = batch(8, 0), batch(8, 1)
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.backward(model(x0), y0, weight=0.5)
    grads = [p.grad.clone() for p in models[1].parameters()]
    if through == "deepcopy":
        models[1], optimizers[1] = copy.deepcopy((models[1], optimizers[1]))
    else:
        saved = copy.deepcopy(optimizers[1].state_dict())
        models[1] = mlp()
        optimizers[1] = LEHI(models[1].parameters(), lr=0.5)
        optimizers[1].load_state_dict(saved)
    for p, grad in zip(models[1].parameters(), grads, strict=True):
        p.grad = grad
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.backward(model(x1), y1, weight=0.5)
        optimizer.step()
    assert same(*models)
    for a, b in zip(*(o.curvature_diagonal().values() for o in optimizers), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("how", ["criterion", "backward"])
def test_a_loss_in_place_of_the_outputs_is_refused(how: str) -> None:
    model = mlp()
    optimizer = LEHI(model.parameters())
    loss = nn.functional.cross_entropy(model(batch()[0]), batch()[1])
    with pytest.raises(TypeError, match="got a scalar: pass the network's outputs, not a loss"):
        (optimizer.criterion() if how == "criterion" else optimizer.backward)(loss, batch()[1])


def test_a_criterion_of_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="loss must be one of"):
        LEHI(mlp().parameters()).criterion("hinge")
    with pytest.raises(TypeError, match="loss must be one of"):
        LEHI(mlp().parameters()).criterion(nn.HingeEmbeddingLoss())
