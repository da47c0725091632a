"""What a torch optimizer is expected to do: groups, checkpoints, accumulation, scaling, and refusing nonsense."""

import copy
import io
import math

import pytest
import torch
from reference.gauss_newton import all_signs, jacobian, output_hessian, relative_error
from torch import Tensor, nn

from lehi_cli.curvature import CustomLoss
from lehi_cli.optim import LEHI, LEHIBRID, SFN, HessianFree, Sophia

OPTIMIZERS = {
    "lehi": (LEHI, {}),
    "every": (LEHI, {"curvature_every": 3, "curvature_warmup": 2, "factor": "sampled"}),
    "newton": (LEHI, {"power": 1, "clip": 1.0}),
    "foreach": (LEHI, {"foreach": True}),
    "mix": (LEHIBRID, {}),
    "max": (LEHIBRID, {"hybrid": "max", "curvature_every": 2}),
}
each_optimizer = pytest.mark.parametrize(("kind", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def mlp(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def batch(size: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return inputs, inputs[:, :3].argmax(-1)


def train(model: nn.Module, optimizer, seeds, scheduler=None) -> None:
    for seed in seeds:
        inputs, targets = batch(seed=seed)
        optimizer.zero_grad()
        optimizer.backward(model(inputs), targets)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@each_optimizer
def test_loss_goes_down(kind, options):
    model = mlp()
    inputs, targets = batch(64)
    first = nn.functional.cross_entropy(model(inputs), targets).item()
    train(model, kind(model.parameters(), lr=1e-2, **options), range(200))
    assert nn.functional.cross_entropy(model(inputs), targets).item() < 0.5 * first


@each_optimizer
@pytest.mark.parametrize("through_file", [False, True])
def test_continues_bitwise_from_its_state_dict(kind, options, through_file):
    model = mlp()
    optimizer = kind(model.parameters(), lr=1e-2, **options)
    train(model, optimizer, range(7))
    saved = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    if through_file:
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
    continued = mlp()
    continued.load_state_dict(saved["model"])
    resumed = kind(continued.parameters(), lr=1e-2, **options)
    resumed.load_state_dict(saved["optimizer"])
    train(model, optimizer, range(7, 20))
    train(continued, resumed, range(7, 20))
    assert same(model, continued)


@each_optimizer
def test_deepcopy_goes_on_alike(kind, options):
    model = mlp()
    optimizer = kind(model.parameters(), lr=1e-2, **options)
    torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)  # wraps the optimizer's step
    train(model, optimizer, range(4))
    other, twin = copy.deepcopy((model, optimizer))
    train(model, optimizer, range(4, 10))
    train(other, twin, range(4, 10))
    assert same(model, other)


def test_groups_override_options():
    model = mlp()
    groups = [
        {"params": model[0].parameters(), "lr": 0.0},
        {"params": model[2].parameters(), "betas": (0.5, 0.9), "clip": 1e-6, "power": 1, "damping": 0.1, "eps": 1e-3},
    ]
    optimizer = LEHI(groups, lr=1.0)
    before = copy.deepcopy(model)
    train(model, optimizer, range(3))
    assert same(model[0], before[0])
    steps = [(p - q).abs().max() for p, q in zip(model[2].parameters(), before[2].parameters(), strict=True)]
    assert all(0 < step <= 3.1e-6 for step in steps)


def test_group_theta():
    # One group at theta 0 (Adam) and one at theta 1 (LEHI): the Adam group does as in an all-Adam optimizer.
    mixed, adam = mlp(), mlp()
    groups = [{"params": mixed[0].parameters(), "theta": 0.0}, {"params": mixed[2].parameters(), "theta": 1.0}]
    train(mixed, LEHIBRID(groups), [0])
    train(adam, LEHIBRID(adam.parameters(), theta=0.0), [0])
    assert same(mixed[0], adam[0])
    assert not same(mixed[2], adam[2])


def test_named_parameters_and_added_groups():
    model = mlp()
    optimizer = LEHI(model[0].named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    optimizer.add_param_group({"params": list(model[2].named_parameters()), "lr": 0.5})
    train(model, optimizer, range(2))
    assert len(optimizer.curvature_diagonal()) == 4


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_learning_rate_as_a_tensor(shape, foreach):
    models, lr = [mlp(), mlp()], torch.full(shape, 0.1)
    train(models[0], LEHI(models[0].parameters(), lr=0.5, weight_decay=0.5, foreach=foreach), range(3))
    optimizer = LEHI(models[1].parameters(), lr=lr, weight_decay=0.5, foreach=foreach)
    lr.fill_(0.5)  # the group's rate is still this tensor's
    train(models[1], optimizer, range(3))
    assert same(*models)


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    ],
)
def test_schedulers(scheduler):
    model = mlp()
    optimizer = LEHI(model.parameters())
    train(model, optimizer, range(6), scheduler(optimizer))
    assert optimizer.param_groups[0]["lr"] != 1e-3


def test_closure():
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters()) for model in models]
    train(models[0], optimizers[0], range(3))
    for seed in range(3):
        inputs, targets = batch(seed=seed)

        def closure(inputs=inputs, targets=targets) -> Tensor:
            optimizers[1].zero_grad()
            return optimizers[1].backward(models[1](inputs), targets)

        assert optimizers[1].step(closure).ndim == 0
    assert same(*models)


@each_optimizer
def test_gradient_is_the_plain_one_bitwise(kind, options):
    model, plain = mlp(), mlp()
    inputs, targets = batch()
    optimizer = kind(model.parameters(), **options)
    loss = optimizer.backward(model(inputs), targets)
    expected = nn.functional.cross_entropy(plain(inputs), targets)
    expected.backward()
    assert torch.equal(loss, expected.detach())
    assert not loss.requires_grad
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(model.parameters(), plain.parameters(), strict=True))


def test_global_random_numbers_are_not_touched():
    before = torch.random.get_rng_state()
    for factor in ("rademacher", "sampled", "true_vs_rest", "diagonal"):
        model = mlp()
        train(model, LEHI(model.parameters(), factor=factor), range(2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_seed_decides():
    models = [mlp() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        train(model, LEHI(model.parameters(), seed=seed), range(3))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


@pytest.mark.parametrize("sizes", [(8,), (4, 4), (2, 6), (1, 2, 5)])
def test_accumulation_equals_the_big_batch(sizes):
    # Without random signs h is deterministic, so the parts must add up to the whole whatever their sizes.
    models = [mlp(torch.float64), mlp(torch.float64)]
    optimizers = [LEHI(m.parameters(), lr=1e-2, factor="diagonal", sample_signs=False) for m in models]
    for seed in range(3):
        inputs, targets = batch(8, seed, torch.float64)
        for optimizer in optimizers:
            optimizer.zero_grad()
        optimizers[0].backward(models[0](inputs), targets)
        for x, y in zip(inputs.split(sizes), targets.split(sizes), strict=True):
            optimizers[1].backward(models[1](x), y, weight=len(x) / 8)
        for optimizer in optimizers:
            optimizer.step()
        for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)
        diagonals = [list(o.curvature_diagonal().values()) for o in optimizers]
        for a, b in zip(*diagonals, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 1.0), (0.1, 2.0)])
def test_accumulation_is_exact_in_expectation(weights):
    # E[h^2] = diag GGN(sum_i c_i f_i) / B over every pattern of the signs of both parts, 2 and 1 predictions.
    model = mlp(torch.float64)
    parts = [batch(2, 0, torch.float64), batch(1, 1, torch.float64)]
    expected = torch.zeros(())
    for (inputs, targets), weight in zip(parts, weights, strict=True):
        outputs = model(inputs)
        J = jacobian(outputs, list(model.parameters()))
        expected = expected + weight * (J.T @ output_hessian(nn.CrossEntropyLoss(), outputs, targets) @ J).diag()
    optimizer = LEHI(model.parameters(), lr=0.0, betas=(0.0, 0.0))
    total, count = torch.zeros(()), 0
    for signs in all_signs(3, 3):
        optimizer.zero_grad()
        for (inputs, targets), weight, own in zip(parts, weights, signs.split((2, 1)), strict=True):
            optimizer.loss.draw_signs = lambda shape, like, generator, own=own: own
            optimizer.backward(model(inputs), targets, weight=weight)
        optimizer.step()
        total = total + torch.cat([d.flatten() for d in optimizer.curvature_diagonal().values()])
        count += 1
    torch.testing.assert_close(total / count, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"power": 1, "clip": 1.0}, {"power": 1, "clip": 1.0, "foreach": True}])
def test_average_of_1_over_b_does_not_stand_still_in_bf16(options):
    model = mlp(torch.bfloat16)
    optimizer = LEHI(model.parameters(), lr=0.0, betas=(0.9, 0.999), **options)
    inputs, targets = batch(64, dtype=torch.bfloat16)
    for _ in range(400):
        optimizer.backward(model(inputs), targets)
        optimizer.step()
    loaded = LEHI(model.parameters(), **options)
    loaded.load_state_dict(optimizer.state_dict())
    for state in (*optimizer.state.values(), *loaded.state.values()):
        assert state["inverse_predictions"].item() == pytest.approx((1 - 0.999**400) / 64, rel=1e-4)


def test_batch_without_labels_leaves_the_curvature_alone():
    model = mlp()
    optimizer = LEHI(model.parameters(), lr=0.0)
    train(model, optimizer, range(3))
    before = [d.clone() for d in optimizer.curvature_diagonal().values()]
    optimizer.zero_grad()
    optimizer.backward(model(batch()[0]), torch.full((8,), -100))
    optimizer.step()
    for a, b in zip(before, optimizer.curvature_diagonal().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


@pytest.mark.parametrize("power", [0.5, 1])
def test_first_batch_without_labels(power):
    model = mlp()
    optimizer = LEHI(model.parameters(), power=power)
    before = copy.deepcopy(model)
    optimizer.backward(model(batch()[0]), torch.full((8,), -100))
    optimizer.backward(model(batch()[0]), torch.full((8,), -100))
    optimizer.step()
    assert same(model, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_with_grad_scaler_samples_the_same_curvature(dtype):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model, plain = mlp(), mlp()
    optimizer, unscaled = LEHI(model.parameters(), lr=0.0), LEHI(plain.parameters(), lr=0.0)
    for seed in range(5):
        inputs, targets = batch(32, seed)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):
            optimizer.backward(model(inputs), targets, scaler=scaler)
        scaler.step(optimizer)
        scaler.update()
    for seed in range(5):
        unscaled.zero_grad()
        inputs, targets = batch(32, seed)
        unscaled.backward(plain(inputs), targets)
        unscaled.step()
    for a, b in zip(optimizer.curvature_diagonal().values(), unscaled.curvature_diagonal().values(), strict=True):
        assert relative_error(a, b) < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_with_grad_scaler_trains(dtype):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = mlp()
    optimizer = LEHI(model.parameters(), lr=1e-2)
    inputs, targets = batch(32)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):
            losses.append(optimizer.backward(model(inputs), targets, scaler=scaler).item())
        scaler.step(optimizer)
        scaler.update()
    assert losses[-1] < 0.5 * losses[0]


def test_step_skipped_by_the_scaler_leaves_nothing_behind():
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters()) for model in models]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    inputs, targets = batch()
    optimizers[1].backward(models[1](inputs), targets, scaler=scaler)
    models[1][0].weight.grad[0, 0] = math.inf
    scaler.step(optimizers[1])
    scaler.update()
    assert same(*models)
    models[1].zero_grad(set_to_none=True)  # not the optimizer's: the next backward sees no gradient and starts afresh
    optimizers[0].backward(models[0](inputs), targets)  # one more draw, so that both generators stand alike
    optimizers[0].zero_grad()
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.backward(model(inputs), targets)
        optimizer.step()
    assert same(*models)


def test_overflown_sample_is_dropped_and_made_up_for():
    model = mlp()
    loss = CustomLoss(nn.functional.cross_entropy, lambda p, y, generator: torch.full_like(p, scale), "rows")
    optimizer = LEHI(model.parameters(), loss=loss, curvature_every=10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    inputs, targets = batch()
    due = []
    for scale in (math.inf, 1.0, 1.0):
        due.append(optimizer.refresh_due)
        optimizer.zero_grad()
        optimizer.backward(model(inputs), targets, scaler=scaler)
        before = copy.deepcopy(model)
        scaler.step(optimizer)
        scaler.update()
        assert same(model, before) == (scale == math.inf)  # no parameter moves before its first sample
    assert due == [True, True, False]
    assert all(d.isfinite().all() for d in optimizer.curvature_diagonal().values())


def test_frozen_parameters_are_not_touched():
    model = mlp()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model)
    optimizer = LEHI(model.parameters(), weight_decay=0.1)
    train(model, optimizer, range(2))
    assert same(model[0], before[0])
    assert not same(model[2], before[2])
    assert set(optimizer.curvature_diagonal()) == set(model[2].parameters())


def test_frozen_throughout_leaves_the_gradient_to_others():
    body, head = mlp().requires_grad_(False), nn.Linear(3, 3)
    optimizer, before = LEHI(body.parameters()), copy.deepcopy(body)
    optimizer.backward(head(body(batch()[0])), batch()[1])
    optimizer.step()
    assert head.weight.grad.any()
    assert same(body, before)


def test_unfrozen_parameter_waits_for_its_first_sample():
    model = mlp()
    model[0].requires_grad_(False)
    optimizer = LEHI(model.parameters(), curvature_every=2)
    train(model, optimizer, [0])
    model[0].requires_grad_(True)
    before = copy.deepcopy(model)
    train(model, optimizer, [1])
    assert same(model[0], before[0])
    train(model, optimizer, [2])
    assert not same(model[0], before[0])


def test_parameter_without_gradient_is_skipped():
    model, unused = mlp(), nn.Parameter(torch.ones(2))
    optimizer = LEHI([*model.parameters(), unused], weight_decay=0.1)
    train(model, optimizer, range(2))
    assert torch.equal(unused, torch.ones(2))
    assert unused not in optimizer.curvature_diagonal()


def test_parameter_off_the_outputs_uses_its_gradient():
    model, side = mlp(), nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = LEHI([*model.parameters(), side], lr=0.1, eps=0.0)
    inputs, targets = batch()
    optimizer.backward(model(inputs), targets)
    side.square().sum().backward()
    assert optimizer.fallbacks == {}
    with pytest.warns(UserWarning, match=r"parameter 4 of group 0 \[2\]: a gradient, but no curvature sample"):
        optimizer.step()
    assert optimizer.fallbacks == {"gradient in place of the curvature sample": 1}
    torch.testing.assert_close(side.detach(), torch.tensor([0.9, -1.9]))  # Adam's first step: lr times the sign


def test_no_gradient_anywhere_is_no_step():
    model = mlp()
    optimizer = LEHI(model.parameters())
    before = copy.deepcopy(model)
    optimizer.step()
    assert same(model, before)
    assert optimizer.refresh_due


def test_batch_norm_sees_one_forward():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    twin = copy.deepcopy(model)
    inputs, targets = batch()
    LEHI(model.parameters()).backward(model(inputs), targets)
    nn.functional.cross_entropy(twin(inputs), targets).backward()
    assert model[1].num_batches_tracked == 1
    assert torch.equal(model[1].running_mean, twin[1].running_mean)
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


def test_refresh_schedule():
    model = mlp()
    optimizer = LEHI(model.parameters(), curvature_every=3, curvature_warmup=2)
    due = []
    for seed in range(9):
        due.append(optimizer.refresh_due)
        inputs, targets = batch(seed=seed)
        optimizer.zero_grad()
        if optimizer.refresh_due:
            optimizer.backward(model(inputs), targets)
        else:
            nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    assert due == [True, True, True, False, False, True, False, False, True]


def test_gradient_clipping_leaves_the_sample_alone():
    models = [mlp(), mlp()]
    optimizers = [LEHI(model.parameters()) for model in models]
    for clipped, model, optimizer in zip((False, True), models, optimizers, strict=True):
        inputs, targets = batch()
        optimizer.backward(model(inputs), targets)
        if clipped:
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
    for a, b in zip(*[o.curvature_diagonal().values() for o in optimizers], strict=True):
        assert torch.equal(a, b)


def test_custom_loss_in_the_constructor():
    model = nn.Linear(4, 1)
    optimizer = LEHI(
        model.parameters(),
        lr=1e-2,
        loss=CustomLoss(nn.functional.poisson_nll_loss, lambda p, y, generator: (0.5 * p).exp(), "rows"),
    )
    inputs, _ = batch()
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        losses.append(optimizer.backward(model(inputs), inputs[:, :1].exp()).item())
        optimizer.step()
    assert losses[-1] < losses[0]


def test_custom_factor_for_a_known_loss_keeps_its_count():
    model = mlp()
    optimizer = LEHI(model.parameters(), loss="cross_entropy", factor=lambda p, y, generator: torch.ones_like(p))
    outputs, targets = model(batch()[0]), batch()[1].clone()
    targets[:3] = -100
    assert optimizer.loss.predictions(outputs, targets) == 5


def test_custom_factor_for_a_module_loss_keeps_its_count():
    optimizer = LEHI(params(), loss=nn.CrossEntropyLoss(ignore_index=2), factor=lambda p, y, generator: p)
    targets = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0]])
    assert optimizer.loss.predictions(torch.zeros(2, 3, 4), targets) == 6


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 2, 3)])
def test_module_loss_uses_torchs_layout(shape):
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = LEHI([weight], loss=nn.CrossEntropyLoss())
    targets = torch.zeros(4, shape[2], dtype=torch.long)
    assert optimizer.backward(weight * 1.0, targets).item() == pytest.approx(math.log(shape[1]))


def params() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


INVALID = {
    "lr": ({"lr": -1.0}, ValueError, "lr must be a number >= 0, got -1.0"),
    "lr_nan": ({"lr": math.nan}, ValueError, "lr must be"),
    "lr_text": ({"lr": "fast"}, ValueError, "lr must be a number >= 0, got 'fast'"),
    "betas": ({"betas": (0.9, 1.0)}, ValueError, r"betas must be two numbers in \[0, 1\), got \(0.9, 1.0\)"),
    "betas_one": ({"betas": 0.9}, ValueError, "betas must be two numbers"),
    "eps": ({"eps": -1e-8}, ValueError, "eps must be a number >= 0"),
    "weight_decay": ({"weight_decay": -0.1}, ValueError, "weight_decay must be a number >= 0"),
    "power": ({"power": 0.75}, ValueError, "power must be 0.5 or 1, got 0.75"),
    "clip": ({"clip": 0.0}, ValueError, "clip must be None or a number > 0, got 0.0"),
    "damping": ({"damping": -1}, ValueError, "damping must be a number >= 0, got -1"),
    "every": ({"curvature_every": 0}, ValueError, "curvature_every must be an integer >= 1, got 0"),
    "every_float": ({"curvature_every": 2.0}, ValueError, "curvature_every must be an integer >= 1, got 2.0"),
    "warmup": ({"curvature_warmup": -1}, ValueError, "curvature_warmup must be an integer >= 0, got -1"),
    "seed": ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
    "foreach": ({"foreach": "yes"}, ValueError, "foreach must be None, True or False, got 'yes'"),
    "factor": ({"factor": "hutchinson"}, ValueError, "factor must be one of rademacher, .* got 'hutchinson'"),
    "factor_type": ({"factor": 3}, TypeError, "factor must be one of .* got 3"),
    "loss": ({"loss": "hinge"}, ValueError, "loss must be one of cross_entropy, bce, mse, .* got 'hinge'"),
    "loss_alone": ({"loss": nn.functional.huber_loss}, TypeError, r"loss=CustomLoss\(my_loss, my_factor, predictions="),
    "loss_and_factor": (
        {"loss": nn.functional.huber_loss, "factor": lambda p, y, generator: p},
        TypeError,
        r"must say over what it averages: CustomLoss\(loss, factor, predictions=",
    ),
}
GROUP_OPTIONS = ("lr", "betas", "eps", "weight_decay", "power", "clip", "damping")


@pytest.mark.parametrize("kind", [LEHI, LEHIBRID])
@pytest.mark.parametrize(("options", "error", "message"), INVALID.values(), ids=INVALID)
def test_invalid_options(kind, options, error, message):
    with pytest.raises(error, match=message):
        kind(params(), **options)
    if set(options) <= set(GROUP_OPTIONS):
        with pytest.raises(error, match=message):
            kind([{"params": params(), **options}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hybrid": "switch"}, "hybrid must be one of mix, max, got 'switch'"),
        ({"theta": 1.5}, r"theta must be a number in \[0, 1\], got 1.5"),
    ],
)
def test_invalid_hybrid_options(options, message):
    with pytest.raises(ValueError, match=message):
        LEHIBRID(params(), **options)


GROUP_MISTAKES = {
    "shared": ({"factor": "sampled"}, "factor is one for all groups of LEHI: give it to the constructor"),
    "misspelt": ({"weigth_decay": 0.1}, "LEHI has no option 'weigth_decay'; did you mean weight_decay?"),
    "of_another": ({"theta": 0.1}, r"LEHI has no option 'theta'. A group may set betas, clip, .*, weight_decay"),
    "capturable": ({"capturable": True}, "capturable must be False: counters"),
}


@pytest.mark.parametrize(("options", "message"), GROUP_MISTAKES.values(), ids=GROUP_MISTAKES)
def test_mistaken_group_options(options, message):
    with pytest.raises(ValueError, match=message):
        LEHI([{"params": params(), **options}])


def test_other_keys_of_a_group_stay_with_it():
    # timm's layer-wise decay puts lr_scale into the groups and multiplies the rates itself.
    optimizer = LEHI([{"params": params(), "lr_scale": 0.5, "name": "head"}])
    assert optimizer.param_groups[0]["lr_scale"] == 0.5
    assert optimizer.state_dict()["param_groups"][0]["lr_scale"] == 0.5
    resumed = LEHI(params())
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["name"] == "head"


def test_parameters_on_the_meta_device_are_refused():
    optimizer = LEHI(params())
    with pytest.raises(ValueError, match="parameters on the meta device have no values"):
        optimizer.add_param_group({"params": nn.Parameter(torch.ones(2, device="meta"))})
    assert len(optimizer.param_groups) == 1


def test_complex_parameters_are_refused():
    with pytest.raises(TypeError, match="complex parameters are not supported"):
        LEHI([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


def test_sparse_gradients_are_refused():
    model = nn.Embedding(5, 3, sparse=True)
    optimizer = LEHI(model.parameters())
    optimizer.backward(model(torch.tensor([0, 1])), torch.tensor([0, 1]))
    with pytest.raises(RuntimeError, match=r"LEHI does not support sparse gradients: .* with sparse=False"):
        optimizer.step()


def test_step_without_backward_is_refused():
    model = mlp()
    optimizer = LEHI(model.parameters())
    nn.functional.cross_entropy(model(batch()[0]), batch()[1]).backward()
    with pytest.raises(RuntimeError, match=r"needs opt.backward\(outputs, targets\) in place of loss.backward\(\)"):
        optimizer.step()


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_bad_weight_is_refused(weight):
    model = mlp()
    with pytest.raises(ValueError, match=f"weight must be a number >= 0, got {weight!r}"):
        LEHI(model.parameters()).backward(model(batch()[0]), batch()[1], weight=weight)


def test_outputs_that_are_no_tensor_are_refused():
    model = nn.LSTM(4, 3)
    with pytest.raises(TypeError, match="outputs must be a tensor, got tuple"):
        LEHI(model.parameters()).backward(model(batch()[0]), batch()[1])


@pytest.mark.parametrize("due", [True, False])
@pytest.mark.parametrize("how", ["no_grad", "detached", "frozen"])
def test_outputs_without_a_graph_are_refused(how, due):
    model = mlp()
    optimizer = LEHI(model.parameters(), curvature_every=2)
    train(model, optimizer, [] if due else [0])
    model.requires_grad_(how != "frozen")
    with torch.set_grad_enabled(how != "no_grad"):
        outputs = model(batch()[0])
    with pytest.raises(RuntimeError, match=r"nothing to differentiate: .* outside torch.no_grad\(\)"):
        optimizer.backward(outputs.detach() if how == "detached" else outputs, batch()[1])


@pytest.mark.parametrize(
    ("saved", "loading", "missing"),
    [
        (torch.optim.Adam, LEHI, "LEHI: it has no clip, curvature_every, curvature_warmup, damping, factor"),
        (LEHI, LEHIBRID, "LEHIBRID: it has no hybrid, theta"),
        (LEHI, Sophia, "Sophia: it has no gamma"),
        (LEHIBRID, LEHI, "LEHI: it has hybrid, theta"),
        (SFN, HessianFree, "HessianFree: it has no adaptive_damping, backtracking"),
    ],
)
def test_state_of_another_optimizer_is_refused(saved, loading, missing):
    with pytest.raises(ValueError, match=f"this state_dict is not that of a {missing}"):
        loading(params()).load_state_dict(saved(params()).state_dict())
