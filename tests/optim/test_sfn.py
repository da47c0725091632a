"""SFN against its reference twin with a dense Hessian, its price, and what it does when the series fails."""

import copy
import io
import math
from contextlib import nullcontext

import pytest
import torch
from reference.sfn import ReferenceSFN, dense, direction, exact
from torch import Tensor, nn
from torch.func import functional_call

from lehi_cli.curvature import MSE, make_loss
from lehi_cli.curvature.products import flatten, unflatten
from lehi_cli.optim import HessianFree, sfn
from lehi_cli.optim.sfn import SFN
from lehi_cli.training.steps import STEPS, Evaluation, Meter

FIXED = {"adaptive": False}
SMALL = {"terms": 4, "scale": 10.0}

OPTIONS = {
    "adaptive": {"scale": 20.0},
    "fixed": {**FIXED, "scale": 20.0, "damping": 0.5, "momentum": 0.3, "lr": 0.3},
    "one_term": {"terms": 1, "shanks": 0},
    "momentum_only": {**FIXED, "terms": 1, "shanks": 0, "damping": 0.0, "momentum": 0.9},
    "plain": {"shanks": 0, "terms": 6, "scale": 5.0},
    "order_3": {**FIXED, "shanks": 3, "terms": 9, "lr": 0.2, "damping": 0.5, "momentum": 0.2},
    "sablonniere": {"shanks": 2, "terms": 8, "sablonniere": True, "lr": 0.3},
    "raised": {"scale": 0.01, "terms": 5, "damping": 0.1, "lr": 0.5},
    "strong_damping": {"damping": 30.0, "omega": 0.5, "scale": 4.0},
    "floor": {"damping": 0.2, "omega": 0.5, "damping_floor": 0.15, "terms": 5, "lr": 0.5},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def mlp(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float64, start: int = 0):
    for k in range(start, start + count):
        generator = torch.Generator().manual_seed(k)
        inputs = torch.randn(12, 4, dtype=torch.float64, generator=generator)
        yield inputs.to(dtype), inputs[:, :3].argmax(-1)


def advance(model: nn.Module, optimizer: SFN, inputs: Tensor, targets: Tensor) -> Tensor:
    return optimizer.step(lambda rows=slice(None): (model(inputs[rows]), targets[rows]))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor):
    """The loss as a function of the flat weights."""
    names, params = zip(*model.named_parameters(), strict=True)

    def function(w: Tensor) -> Tensor:
        pieces = unflatten(w, params)
        return nn.functional.cross_entropy(
            functional_call(model, dict(zip(names, pieces, strict=True)), inputs), targets
        )

    return function


def flat(model: nn.Module) -> Tensor:
    return flatten([p.detach() for p in model.parameters()])


@each_option
def test_equals_its_reference_twin_after_every_step(options):
    model = mlp()
    optimizer = SFN(model.parameters(), **options)
    defaults = {} if options.get("adaptive", True) else {"damping": 1e-4, "momentum": 0.5}
    twin = ReferenceSFN(flat(model), **{**defaults, **options})
    for inputs, targets in batches(20):
        function = loss_of(model, inputs, targets)
        assert advance(model, optimizer, inputs, targets) == pytest.approx(function(twin.w).item(), rel=1e-9)
        twin.step(function)
        torch.testing.assert_close(flat(model), twin.w, rtol=1e-7, atol=1e-8)
        assert optimizer.scale == pytest.approx(twin.V, rel=1e-8)
        assert optimizer.damping == pytest.approx(twin.lam, rel=1e-12)
    assert set(optimizer.fallbacks) == ({"scale doubled"} if options.get("scale") == 0.01 else set())
    if options.get("damping_floor"):
        assert optimizer.damping == 0.15


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, 1 + 4 * 19 + 1 / 3),
        (FIXED, 1 + 4 * 19),
        ({"terms": 5}, 17 + 1 / 3),
        ({"terms": 5, **FIXED}, 17),
        ({"terms": 1, "shanks": 0, **FIXED}, 1),
    ],
)
def test_passes_are_counted(options, passes):
    model, meter = mlp(), Meter()
    optimizer = SFN(model.parameters(), **options)
    for inputs, targets in batches(3):
        evaluation = Evaluation(model, make_loss("cross_entropy"), inputs, targets, meter, nullcontext)
        loss = STEPS["whole"](optimizer, evaluation)
        assert not loss.requires_grad
        assert optimizer.diagnostics["products"] == 2 * (options.get("terms", 20) - 1)
    assert meter.passes == pytest.approx(3 * passes, rel=1e-12)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("options", [{}, FIXED])
def test_loss_goes_down(options):
    model = mlp()
    optimizer = SFN(model.parameters(), terms=10, **options)
    inputs, targets = next(batches(1))
    first = nn.functional.cross_entropy(model(inputs), targets).item()
    for _ in range(30):
        advance(model, optimizer, inputs, targets)
    assert nn.functional.cross_entropy(model(inputs), targets).item() < 0.5 * first


class Saddle(MSE):
    """Half the sum of `curvature` times the squared outputs, whatever the targets: a Hessian of one's choice."""

    def __init__(self, *curvature: float) -> None:
        super().__init__()
        self.curvature = torch.tensor(curvature, dtype=torch.float64)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * (self.curvature * outputs.square()).sum()


def at(*w: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(w, dtype=torch.float64))


def step_from(w: nn.Parameter, optimizer: SFN) -> Tensor:
    before = w.detach().clone()
    optimizer.step(lambda rows=slice(None): (w[rows] * 1, w.detach()[rows]))
    return before - w.detach()


@pytest.mark.parametrize(("terms", "expected"), [(1, (0.5, 0.5)), (3, (0.5, 0.792969)), (20, (0.5, 0.999253))])
def test_walks_away_from_a_saddle_point(terms, expected):
    w = at(0.5, -1.0)  # g = (1, 1) for H = diag(2, -1)
    optimizer = SFN([w], terms=terms, shanks=0, scale=4.0, damping=0.0, momentum=0.0, loss=Saddle(2.0, -1.0), **FIXED)
    assert step_from(w, optimizer).tolist() == pytest.approx(expected, abs=5.1e-7)


def test_one_step_solves_a_convex_quadratic():
    w = at(3.0, -2.0, 1.0)
    optimizer = SFN([w], terms=200, shanks=0, scale=4.0, damping=0.0, momentum=0.0, loss=Saddle(1.0, 2.0, 1.5), **FIXED)
    step_from(w, optimizer)
    assert w.abs().max() < 1e-10


def test_is_the_damped_saddle_free_newton_step_in_the_limit():
    model = mlp()
    inputs, targets = next(batches(1))
    _, g, H = dense(loss_of(model, inputs, targets), flat(model))
    limit = exact(H, g, 0.3)
    errors = []
    for terms in (1, 10, 100, 1000):
        model = mlp()
        optimizer = SFN(model.parameters(), terms=terms, shanks=0, scale=1.0, damping=0.3, momentum=0.0, **FIXED)
        before = flat(model)
        advance(model, optimizer, inputs, targets)
        errors.append(((before - flat(model) - limit).norm() / limit.norm()).item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("damping", [0.0, 3.0])
def test_one_term_is_gradient_descent_with_momentum(damping):
    model, twin = mlp(), mlp()
    optimizer = SFN(model.parameters(), 0.7, terms=1, shanks=0, damping=damping, momentum=0.6, **FIXED)
    sgd = torch.optim.SGD(twin.parameters(), lr=0.7 / (10 + damping), momentum=0.6)
    for inputs, targets in batches(10):
        advance(model, optimizer, inputs, targets)
        sgd.zero_grad()
        nn.functional.cross_entropy(twin(inputs), targets).backward()
        sgd.step()
        torch.testing.assert_close(flat(model), flat(twin), rtol=1e-12, atol=1e-14)


def test_the_adaptive_rate_and_momentum_of_the_paper_are_1_and_0():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        d, g, last = (torch.randn(7, dtype=torch.float64, generator=generator) for _ in range(3))
        L = torch.rand((), dtype=torch.float64, generator=generator)
        matrix = torch.stack([torch.stack([d @ g, last @ g]), torch.stack([last @ g, L])])
        solution = torch.linalg.solve(matrix, torch.stack([g @ d, g @ last]))
        torch.testing.assert_close(solution, torch.tensor([1.0, 0.0]).double(), rtol=0, atol=1e-9)


def test_damping_follows_the_ratio_of_the_fall_to_the_promised_fall():
    # One curvature k > 0, one term: d = g / (sqrt(V) + damping), f falls by g.d - k d.d / 2, and g.d / 2 is promised.
    for curvature, factor in ((1.0, 0.9), (28.0, 1.0), (34.0, 1 / 0.9)):
        w = at(1.0)
        optimizer = SFN([w], terms=1, shanks=0, scale=100.0, damping=10.0, loss=Saddle(curvature))
        step_from(w, optimizer)
        rho = 2 * (1 - curvature / 40)
        assert optimizer.diagnostics["rho"] == pytest.approx(rho)
        assert optimizer.damping == pytest.approx(10 * (0.9 if rho > 0.75 else 1 / 0.9 if rho < 0.25 else 1))
        assert (rho > 0.75, rho < 0.25) == (curvature == 1, False) or factor != 0.9


def test_groups_have_rates_of_their_own():
    model, inputs, targets = mlp(), *next(batches(1))
    first, *rest = model.parameters()
    before = flat(model)
    function = loss_of(model, inputs, targets)
    f, g, H = dense(function, before)
    d = direction(H, g, V=100.0, lam=1.0, K=20, N=1)
    rates = torch.ones(len(g)).double() * 0.5
    rates[: first.numel()] = 0.1
    optimizer = SFN([{"params": [first], "lr": 0.1}, {"params": rest}], 0.5)
    advance(model, optimizer, inputs, targets)
    torch.testing.assert_close(before - flat(model), rates * d, rtol=1e-9, atol=1e-12)
    promised = (0.5 * rates**2 - rates) @ (d * g)
    rho = (function(flat(model)) - f) / promised
    assert optimizer.diagnostics["rho"] == pytest.approx(rho.item(), rel=1e-6)


@pytest.mark.parametrize("options", [{}, FIXED])
def test_a_rate_of_zero_changes_nothing(options):
    model = mlp()
    optimizer = SFN(model.parameters(), 0.0, **SMALL, **options)
    for batch in batches(3):
        advance(model, optimizer, *batch)
    assert same(model, mlp())
    assert optimizer.damping == (1e-4 if options else 1.0)


@pytest.mark.parametrize("options", [{}, FIXED])
def test_frozen_and_unused_parameters_are_left_alone(options):
    model = mlp()
    model.unused = nn.Linear(2, 2).double()
    model[0].weight.requires_grad_(False)
    before = copy.deepcopy(model)
    optimizer = SFN(model.parameters(), **SMALL, **options)
    for inputs, targets in batches(3):
        optimizer.step(lambda rows=slice(None), x=inputs, y=targets: (model[2](model[1](model[0](x[rows]))), y[rows]))
    assert torch.equal(model[0].weight, before[0].weight)
    assert torch.equal(model.unused.weight, before.unused.weight)
    assert not torch.equal(model[0].bias, before[0].bias)
    for p in model.parameters():
        p.requires_grad_(False)
    stopped = copy.deepcopy(model)
    inputs, targets = next(batches(1))
    loss = optimizer.step(lambda rows=slice(None): (model[2](model[1](model[0](inputs))), targets))
    assert loss.isfinite()
    assert same(model, stopped)


@pytest.mark.parametrize("options", [{}, FIXED])
def test_a_gradient_of_zero_moves_nothing(options):
    w = at(0.0, 0.0)
    optimizer = SFN([w], loss=Saddle(2.0, -1.0), **SMALL, **options)
    assert step_from(w, optimizer).tolist() == [0.0, 0.0]
    assert w.tolist() == [0.0, 0.0]
    assert optimizer.diagnostics["products"] == 0
    assert optimizer.fallbacks == {}
    assert optimizer.damping == (1e-4 if options else 1.0)


def test_a_scale_that_is_too_small_is_doubled_and_stays():
    w = at(5e-4, 2.0)  # g = (1e-3, 1): ||H^2 g|| / ||g|| is 0.25, lambda_max^2 is 4
    optimizer = SFN([w], terms=200, shanks=0, scale=0.55, damping=0.0, momentum=0.0, loss=Saddle(2.0, 0.5), **FIXED)
    assert step_from(w, optimizer).tolist() == pytest.approx((5e-4, 2.0), rel=1e-6)
    assert optimizer.fallbacks == {"scale doubled": 2}
    assert optimizer.scale == pytest.approx(2.2)
    assert optimizer.diagnostics["scale"] == optimizer.scale
    assert optimizer.diagnostics["products"] > 398


def test_where_the_sums_coincide_the_last_one_is_taken():
    w = at(2.0)  # H^2 = V: the series ends with its first term
    optimizer = SFN([w], terms=5, shanks=1, scale=4.0, damping=0.0, momentum=0.0, loss=Saddle(2.0), **FIXED)
    assert step_from(w, optimizer).tolist() == [2.0]
    assert optimizer.fallbacks == {"acceleration undefined": 1}


@pytest.mark.parametrize("good", [0, 1, 2, 3])
def test_a_product_that_is_not_finite_ends_the_series_before_it(monkeypatch, good):
    real, made = sfn.Hessian.product, []

    def product(self, v: Tensor) -> Tensor:
        made.append(1)
        return real(self, v) if len(made) <= good else math.nan * v

    monkeypatch.setattr(sfn.Hessian, "product", product)
    w = at(0.5, -1.0)
    optimizer = SFN([w], scale=4.0, damping=0.0, momentum=0.0, loss=Saddle(2.0, -1.0), **FIXED)
    expected = (0.5, 0.5) if good < 2 else (0.5, 0.6875)
    assert step_from(w, optimizer).tolist() == pytest.approx(expected)
    assert optimizer.fallbacks == {"non-finite product": 1}
    assert optimizer.diagnostics["products"] == len(made) == (2 if good < 2 else 4)
    assert optimizer.scale == 4.0


@pytest.mark.parametrize(("bad", "expected"), [(1, "the sum"), (2, "the gradient")])
def test_a_direction_that_does_not_descend_is_replaced(monkeypatch, bad, expected):
    real = sfn.partial_sums

    def uphill(*arguments, **options):
        series = real(*arguments, **options)
        if bad == 2:
            series.sums[-1] = -series.sums[-1]
        return series

    monkeypatch.setattr(sfn, "partial_sums", uphill)
    monkeypatch.setattr(sfn, "shanks", lambda sums, modified: -sums[-1] if bad == 1 else sums[-1])
    w = at(0.5, -1.0)
    optimizer = SFN([w], terms=3, scale=4.0, damping=0.0, momentum=0.0, loss=Saddle(2.0, -1.0), **FIXED)
    found = step_from(w, optimizer).tolist()
    assert found == pytest.approx((0.5, 0.792969) if expected == "the sum" else (0.5, 0.5), abs=5.1e-7)
    assert optimizer.fallbacks == {"not a descent direction": bad}


def test_a_gradient_that_is_not_finite_moves_nothing():
    w = at(1e200, 1.0)
    before = w.detach().clone()
    optimizer = SFN([w], loss=Saddle(1e200, 1.0))
    step_from(w, optimizer)
    assert torch.equal(w.detach(), before)
    assert optimizer.fallbacks == {"non-finite gradient": 1}


def test_a_loss_that_is_no_longer_finite_raises_the_damping():
    w = at(1.0)
    optimizer = SFN([w], terms=1, shanks=0, loss=Saddle(1.0))
    values = iter([1.0, math.nan])
    optimizer.step(lambda rows=slice(None): (w * next(values), w.detach()))
    assert optimizer.damping == pytest.approx(1 / 0.9)
    assert "rho" not in optimizer.diagnostics


@each_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_continues_bitwise_from_its_state_dict(options, dtype):
    model = mlp(dtype)
    optimizer = SFN(model.parameters(), **options)
    for batch in batches(4, dtype):
        advance(model, optimizer, *batch)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = mlp(dtype)
    other.load_state_dict(saved["model"])
    resumed = SFN(other.parameters(), **options)
    resumed.load_state_dict(saved["optimizer"])
    copied, copied_optimizer = copy.deepcopy((model, optimizer))
    for batch in batches(4, dtype, start=4):
        advance(model, optimizer, *batch)
        advance(other, resumed, *batch)
        advance(copied, copied_optimizer, *batch)
    assert same(model, other)
    assert same(model, copied)
    assert all(p.isfinite().all() and p.dtype == dtype for p in model.parameters())
    assert resumed.fallbacks == optimizer.fallbacks
    assert (resumed.scale, resumed.damping) == (optimizer.scale, optimizer.damping)


def test_state_is_one_copy_with_momentum_and_none_without():
    for options, tensors in (({}, 0), (FIXED, 1)):
        model = mlp()
        optimizer = SFN(model.parameters(), **SMALL, **options)
        advance(model, optimizer, *next(batches(1)))
        assert all(len(optimizer.state.get(p, {})) == tensors for p in model.parameters())


def test_dropout_is_the_same_function_in_every_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    optimizer = SFN(model.parameters(), 1e-9, terms=1, shanks=0)
    inputs, targets = next(batches(1))
    evaluation = Evaluation(model, make_loss("cross_entropy"), inputs, targets, Meter(), nullcontext)
    STEPS["whole"](optimizer, evaluation)
    # At so small a rate the fall is the linear one, lr g.d, just what is promised but for lr^2; other masks would show.
    assert optimizer.diagnostics["rho"] == pytest.approx(1.0, abs=1e-3)


def test_a_scheduler_may_change_the_rate():
    model = mlp()
    optimizer = SFN(model.parameters(), **SMALL)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for batch in batches(3):
        advance(model, optimizer, *batch)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 1 / 8


BAD = [
    ({"lr": -1.0}, "lr must be a number >= 0, got -1.0"),
    ({"terms": 0}, "terms must be an integer >= 1, got 0"),
    ({"terms": 2.0}, "terms must be an integer"),
    ({"terms": 2}, r"terms must be >= 2 \* shanks \+ 1 = 3 for shanks=1, got 2"),
    ({"shanks": -1}, "shanks must be an integer >= 0, got -1"),
    ({"shanks": True}, "shanks must be"),
    ({"shanks": 10}, "terms must be >= .* = 21 for shanks=10, got 20"),
    ({"scale": 0.0}, "scale must be a number > 0, got 0.0"),
    ({"scale": -1.0}, "scale must be"),
    ({"scale": math.inf}, "scale must be"),
    ({"damping": -1e-3}, "damping must be a number >= 0"),
    ({"damping_floor": "low"}, "damping_floor must be"),
    ({"momentum": 0.5}, "momentum must be 0 with adaptive=True, got 0.5"),
    ({"momentum": 1.0, **FIXED}, r"momentum must be a number in \[0, 1\), got 1.0"),
    ({"momentum": -0.1, **FIXED}, "momentum must be"),
    ({"omega": 0.0}, r"omega must be a number in \(0, 1\], got 0.0"),
    ({"omega": 1.1}, r"omega must be a number in \(0, 1\], got 1.1"),
    ({"adaptive": 1}, "adaptive must be True or False, got 1"),
    ({"sablonniere": None}, "sablonniere must be True or False"),
    ({"loss": "hinge"}, "loss must be one of cross_entropy, bce, mse, .*gaussian_nll, got 'hinge'"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options) for options, _ in BAD])
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        SFN(mlp().parameters(), **options)


def test_groups_may_set_only_their_own():
    first, *_ = mlp().parameters()
    with pytest.raises(ValueError, match="terms is one for all groups of SFN: give it to the constructor"):
        SFN([{"params": [first], "terms": 3}])
    with pytest.raises(ValueError, match="lr must be"):
        SFN([{"params": [first], "lr": -1}])
    with pytest.raises(TypeError, match="complex"):
        SFN([nn.Parameter(torch.zeros(2, dtype=torch.complex64))])


@pytest.mark.parametrize("optimizer", [SFN, HessianFree])
@pytest.mark.parametrize("forward", [lambda: torch.zeros(()), torch.zeros(())], ids=["closure", "loss"])
def test_a_step_needs_outputs_and_targets(optimizer, forward):
    with pytest.raises(TypeError, match=r"a function that returns outputs and targets, step\(lambda rows.* got Tensor"):
        optimizer([nn.Parameter(torch.ones(2))]).step(forward)


@pytest.mark.parametrize("optimizer", [SFN, HessianFree])
def test_a_model_that_can_be_differentiated_once_only_is_refused(optimizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.MultiheadAttention(4, 2, batch_first=True)
        inputs, targets = torch.randn(2, 3, 4), torch.randint(4, (2, 3))
    with pytest.raises(RuntimeError, match=r"(?s)is not implemented.*differentiable twice: .*SDPBackend.MATH"):
        optimizer(layer.parameters()).step(
            lambda rows=...: (layer(inputs, inputs, inputs, need_weights=False)[0], targets)
        )


def test_sparse_gradients_are_refused():
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    optimizer = SFN(model.parameters())
    with pytest.raises(RuntimeError, match="SFN does not support sparse gradients"):
        advance(model, optimizer, torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 1]))
