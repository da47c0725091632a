"""Plain and block-diagonal Hessian-free: small exact cases, a slow twin, guards, and what a run must keep."""

import copy
import io
import math
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from itertools import pairwise

import pytest
import torch
from reference.hessian_free import ReferenceHessianFree
from torch import Tensor, nn

from lehi_cli.curvature import MSE, CustomLoss, make_loss
from lehi_cli.optim.block_hessian_free import BlockHessianFree
from lehi_cli.optim.blocks import partition
from lehi_cli.optim.damping import adjusted_damping, reduction_ratio
from lehi_cli.optim.hessian_free import HessianFree
from lehi_cli.optim.line_search import armijo, backtrack
from lehi_cli.training.steps import Evaluation, Meter, whole_step

BARE = {"adaptive_damping": False, "line_search": False, "backtracking": False}
OPTIMIZERS = {"hf": lambda model, **options: HessianFree(model.named_parameters(), **options)}
OPTIMIZERS["bdhf"] = BlockHessianFree.for_model
both = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Quadratic(nn.Module):
    """Two scalars a and b whose summed squared error has, at 0, G = [[2, 1], [1, 2]] and g = (1, 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
        self.J = torch.linalg.cholesky(torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)).T
        self.y = -0.5 * torch.linalg.solve(self.J.T, torch.tensor([1.0, 0.0], dtype=torch.float64))[None]

    def forward(self, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        return (self.J @ torch.cat([self.a, self.b]))[None], self.y


def net(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step), dtype=dtype)
    return x, (x[:, :3] + x[:, 1:]).argmax(1)


def forward_of(model: nn.Module, x: Tensor, y: Tensor):
    return lambda rows=slice(None): (model(x[rows]), y[rows])


def train(model: nn.Module, optimizer, steps, dtype: torch.dtype = torch.float64) -> list[float]:
    return [optimizer.step(forward_of(model, *batch(step, dtype))).item() for step in steps]


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# --- Exact cases


@pytest.mark.parametrize(("damping", "expected"), [(0.0, (-2 / 3, 1 / 3)), (1.0, (-3 / 8, 1 / 8))])
def test_a_full_step_on_a_system_of_two(damping, expected):
    model = Quadratic()
    HessianFree(model.parameters(), loss=MSE("sum"), damping=damping, **BARE).step(model)
    assert [model.a.item(), model.b.item()] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("damping", "expected"), [(0.0, (-1 / 2, 0)), (1.0, (-1 / 3, 0))])
def test_a_block_diagonal_step_on_a_system_of_two(damping, expected):
    model = Quadratic()
    optimizer = BlockHessianFree.for_model(
        model, loss=MSE("sum"), blocks=["a", "b"], damping=damping, curvature_fraction=1.0
    )
    optimizer.step(model)
    assert [model.a.item(), model.b.item()] == pytest.approx(expected, abs=1e-12)


def test_one_iteration_is_the_steepest_descent_step():
    model = Quadratic()
    HessianFree(model.parameters(), loss=MSE("sum"), damping=0.0, max_cg=1, **BARE).step(model)
    assert [model.a.item(), model.b.item()] == pytest.approx((-0.5, 0.0))


def test_the_models_promise_is_kept_on_a_quadratic():
    # f is the model itself, so rho is 1 without damping: phi(u) = -1/3 for all, -1/4 for the sum of the blocks.
    model = Quadratic()
    full = HessianFree(model.parameters(), loss=MSE("sum"), damping=0.0)
    before = full.step(model).item()
    assert full.diagnostics["rho"] == pytest.approx(1.0)
    assert MSE("sum")(*model()).item() - before == pytest.approx(-1 / 3)
    model = Quadratic()
    blocks = BlockHessianFree.for_model(model, loss=MSE("sum"), damping=0.0, blocks="a/b", adaptive_damping=True)
    before = blocks.step(model).item()
    assert blocks.diagnostics["rho"] == pytest.approx(1.0)
    assert MSE("sum")(*model()).item() - before == pytest.approx(-1 / 4)


def test_the_damping_is_part_of_the_predicted_change():
    # u = (-3/8, 1/8): phi with damping 1 is g.u / 2 = -3/16, and f changes by g.u + u.Gu / 2 = -3/8 + 7/64 = -17/64
    model = Quadratic()
    optimizer = HessianFree(model.parameters(), loss=MSE("sum"), damping=1.0)
    before = optimizer.step(model).item()
    change = MSE("sum")(*model()).item() - before
    assert change == pytest.approx(-17 / 64)
    assert optimizer.diagnostics["rho"] == pytest.approx((17 / 64) / (3 / 16))
    assert optimizer.diagnostics["damping"] == 1.0
    assert optimizer.damping == pytest.approx(2 / 3)


def regression(block_diagonal: bool) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.left(x[:, :3]), self.right(x[:, 3:])
            return torch.cat([left, right], 1) if block_diagonal else left + right

    model = Two().double()
    x = torch.randn(20, 6, dtype=torch.float64)
    return model, x, torch.randn(20, 4 if block_diagonal else 2, dtype=torch.float64)


EXACT = {"loss": "mse", "eps_cg": 0.0, "curvature_fraction": 1.0, "damping": 0.0}


def test_one_block_and_enough_iterations_are_newtons_step():
    model, x, y = regression(block_diagonal=True)
    BlockHessianFree.for_model(model, blocks=["*"], max_cg=16, **EXACT).step(forward_of(model, x, y))
    outputs = model(x)
    gradients = torch.autograd.grad(nn.functional.mse_loss(outputs, y), list(model.parameters()))
    assert max(float(g.abs().max()) for g in gradients) < 1e-10  # the minimum of a quadratic, in one step


def test_blocks_are_everything_where_there_is_nothing_between_them():
    ends = []
    for build in OPTIMIZERS.values():
        model, x, y = regression(block_diagonal=True)
        options = BARE if build is OPTIMIZERS["hf"] else {}
        build(model, max_cg=16, **EXACT, **options).step(forward_of(model, x, y))
        ends.append(torch.cat([p.flatten() for p in weights(model)]))
    assert torch.allclose(*ends, rtol=1e-8)


def test_blocks_differ_where_there_is_something_between_them():
    ends = []
    for build in OPTIMIZERS.values():
        model, x, y = regression(block_diagonal=False)
        options = BARE if build is OPTIMIZERS["hf"] else {}
        build(model, max_cg=16, **(EXACT | {"damping": 0.1}), **options).step(forward_of(model, x, y))
        ends.append(torch.cat([p.flatten() for p in weights(model)]))
    assert not torch.allclose(*ends, rtol=1e-2)


@pytest.mark.parametrize(
    ("rho", "factor"),
    [(0.1, 3 / 2), (0.5, 1), (0.9, 2 / 3), (-1.0, 3 / 2), (math.nan, 3 / 2), (-math.inf, 3 / 2), (0.25, 1), (0.75, 1)],
)
def test_the_damping_follows_rho(rho, factor):
    assert adjusted_damping(2.0, rho) == pytest.approx(2.0 * factor)


def test_rho_is_the_change_over_the_promise():
    assert reduction_ratio(3.0, 2.5, -1.0) == 0.5
    assert reduction_ratio(3.0, 3.5, -1.0) == -0.5
    assert reduction_ratio(3.0, math.inf, -1.0) == -math.inf


# --- Searches


def scalars(*values: float) -> list[Tensor]:
    return [torch.tensor([value]) for value in values]


@pytest.mark.parametrize(
    ("losses", "expected", "evaluations"),
    [
        ([5, 4, 3, 2], 3, 1),  # the last is best
        ([5, 1, 2, 3], 1, 3),
        ([1, 4, 2, 3], 2, 2),  # going back ends where the loss rises, though the first would be better
        ([4, 2, math.inf, math.inf], 1, 3),
        ([2, 2, 2, 2], 3, 1),
        ([7], 0, 0),
    ],
)
def test_backtracking(losses, expected, evaluations):
    looked_at = []

    def value(step: Tensor) -> float:
        looked_at.append(int(step))
        return losses[int(step)]

    step, loss = backtrack(value, scalars(*range(len(losses))), losses[-1])
    assert (int(step), loss) == (expected, losses[expected])
    assert len(looked_at) == evaluations


def test_the_line_search_takes_the_first_that_is_good_enough():
    # f(a) = (a - 0.1)^2 from a = 0, slope -0.2: f(a) <= f(0) - 0.002 a from a = 0.198 down
    scale = armijo(lambda step: (float(step) - 0.1) ** 2, torch.ones(1), 0.01, -0.2)
    assert scale == pytest.approx(0.8**8)
    assert 0.198 < scale / 0.8 < 0.198 / 0.8
    assert armijo(lambda step: -float(step), torch.ones(1), 0.0, -1.0) == 1.0
    assert armijo(lambda step: math.inf if step > 0.5 else -float(step), torch.ones(1), 0.0, -1.0) == pytest.approx(
        0.8**4
    )
    looked_at = []
    assert armijo(lambda step: looked_at.append(step) or 1.0, torch.ones(1), 0.0, -1.0) == 0.0
    assert len(looked_at) == 60
    assert armijo(None, torch.ones(1), 0.0, -1.0, full=-0.5) == 1.0  # known already, not evaluated


# --- The slow twin

# Rounding errors grow from one iteration of conjugate gradients to the next, the faster the smaller the damping: in
# longer solves two sums in another order already differ visibly, and near the end the loss cannot tell iterates apart.
SHORT = {"max_cg": 6}
TWINS = {
    "hf": ("hf", SHORT),
    "hf_bare": ("hf", BARE),
    "hf_rate": ("hf", {"lr": 0.3, "damping": 0.1, **SHORT}),
    "hf_preconditioned": ("hf", {"preconditioner": True, **SHORT}),
    "hf_part": ("hf", {"curvature_fraction": 0.5, **SHORT}),
    "hf_cold": ("hf", {"zeta": 0.0, **SHORT}),
    "hf_no_search": ("hf", {"line_search": False, **SHORT}),
    "hf_no_backtracking": ("hf", {"backtracking": False, **SHORT}),
    "bdhf": ("bdhf", {}),
    "bdhf_adaptive": ("bdhf", {"adaptive_damping": True, "damping": 0.1}),
    "bdhf_rate": ("bdhf", {"lr": 0.3, "damping": 0.03, "curvature_fraction": 1.0}),
}
DEFAULTS = {
    "hf": {
        "lr": 1.0,
        "max_cg": 250,
        "adaptive_damping": True,
        "line_search": True,
        "backtracking": True,
        "curvature_fraction": 1.0,
    },
    "bdhf": {"lr": 1.0, "max_cg": 30, "adaptive_damping": False, "curvature_fraction": 0.25},
}


@pytest.mark.parametrize("case", TWINS)
def test_twenty_steps_of_the_reference(case):
    name, options = TWINS[case]
    ours, theirs = net(), net()
    optimizer = OPTIMIZERS[name](ours, **options)
    blocks = [[0, 1], [2, 3], [4, 5]] if name == "bdhf" else None
    reference = ReferenceHessianFree(theirs, nn.functional.cross_entropy, blocks=blocks, **DEFAULTS[name] | options)
    for step in range(20):
        x, y = batch(step)
        loss = optimizer.step(forward_of(ours, x, y))
        assert loss.item() == pytest.approx(reference.step(x, y), rel=1e-6)
        assert optimizer.damping == pytest.approx(reference.lam)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(p, q, rtol=1e-5, atol=1e-7), step
    assert not optimizer.fallbacks


@both
def test_defaults_train_a_network(build):
    model = net(torch.float32)
    losses = train(model, build(model), [0] * 20, torch.float32)
    assert losses[-1] < 0.6 * losses[0]
    if build is OPTIMIZERS["hf"]:
        assert all(after <= before for before, after in pairwise(losses))


# --- Blocks


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.lstm = nn.LSTM(4, 4, num_layers=2, batch_first=True)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(tokens))[0][:, -1])


def test_a_block_per_layer_and_tied_weights_by_their_first_name():
    optimizer = BlockHessianFree.for_model(Tied())
    names = [f"lstm.{kind}_{gate}_l{layer}" for layer in (0, 1) for kind in ("weight", "bias") for gate in ("ih", "hh")]
    assert optimizer.block_names() == [["embedding.weight"], names, ["head.bias"]]
    optimizer = BlockHessianFree.for_model(Tied(), blocks="lstm.*_l0/lstm.*_l1")
    assert optimizer.block_names() == [names[:4], names[4:], ["embedding.weight", "head.bias"]]


def test_tied_weights_train_and_move_together():
    torch.manual_seed(0)
    model = Tied()
    tokens = torch.randint(6, (12, 3))
    optimizer = BlockHessianFree.for_model(model, curvature_fraction=1.0, damping=0.1)
    losses = [optimizer.step(forward_of(model, tokens, tokens[:, 0])).item() for _ in range(10)]
    assert losses[-1] < 0.5 * losses[0]
    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("layer", [[0, 1], [2, 3], [4]]),
        (("*",), [[0, 1, 2, 3, 4]]),
        (("enc.*", "dec.*"), [[0, 1, 2, 3], [4]]),
        (("dec.*",), [[4], [0, 1, 2, 3]]),  # what no pattern matches comes last
        (("*.bias", "enc.*"), [[1, 3], [0, 2], [4]]),  # the first pattern that matches has it
        (("enc.[0]*",), [[0, 1], [2, 3, 4]]),
    ],
)
def test_partitions(blocks, expected):
    names = ["enc.0.weight", "enc.0.bias", "enc.2.weight", "enc.2.bias", "dec.weight"]
    assert partition(names, blocks) == expected


def test_patterns_may_be_joined():
    lists = [BlockHessianFree.for_model(net(), blocks=blocks).block_names() for blocks in ("0.*/2.*", ["0.*", "2.*"])]
    assert lists[0] == lists[1] == [["0.weight", "0.bias"], ["2.weight", "2.bias"], ["4.weight", "4.bias"]]


# --- Bad inputs

INVALID = [
    ({"lr": -1.0}, ValueError, "lr must be a number >= 0, got -1.0"),
    ({"lr": "fast"}, ValueError, "lr must be a number >= 0"),
    ({"damping": -1.0}, ValueError, "damping must be a number >= 0"),
    ({"damping": math.inf}, ValueError, "damping must be a number >= 0"),
    ({"zeta": 1.5}, ValueError, r"zeta must be a number in \[0, 1\], got 1.5"),
    ({"eps_cg": -1e-3}, ValueError, "eps_cg must be"),
    ({"max_cg": 0}, ValueError, "max_cg must be an integer >= 1, got 0"),
    ({"max_cg": 2.5}, ValueError, "max_cg must be an integer"),
    ({"curvature_fraction": 0}, ValueError, r"curvature_fraction must be a number in \(0, 1\], got 0"),
    ({"curvature_fraction": 1.1}, ValueError, "curvature_fraction must be a number in"),
    ({"adaptive_damping": 1}, ValueError, "adaptive_damping must be True or False, got 1"),
    ({"loss": "hinge"}, ValueError, "loss must be one of"),
    ({"loss": nn.L1Loss()}, TypeError, "loss must be one of"),
]


@both
@pytest.mark.parametrize(("options", "error", "message"), INVALID)
def test_bad_options_are_refused(build, options, error, message):
    with pytest.raises(error, match=message):
        build(net(), **options)


@pytest.mark.parametrize("flag", ["line_search", "backtracking", "preconditioner"])
def test_bad_flags_are_refused(flag):
    with pytest.raises(ValueError, match=f"{flag} must be True or False, got 'yes'"):
        HessianFree(net().parameters(), **{flag: "yes"})


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            "decoder.*",
            r"no parameter is left for the pattern 'decoder\.\*'; the names are 0\.weight, 0\.bias, 2\.weight",
        ),
        (["*", "0.*"], r"no parameter is left for the pattern '0\.\*'"),
        ("", "blocks must be 'layer' or patterns"),
        ([], "blocks must be 'layer' or patterns"),
        ([3], "blocks must be 'layer' or patterns"),
        ("0.*//2.*", "blocks must be 'layer' or patterns"),
    ],
)
def test_bad_blocks_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        BlockHessianFree.for_model(net(), blocks=blocks)


def test_blocks_need_names():
    with pytest.raises(ValueError, match=r"pass model\.named_parameters"):
        BlockHessianFree(net().parameters())


@both
def test_bad_groups_are_refused(build):
    optimizer = build(net())
    extra = ("extra", nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match="damping is one for all groups of"):
        optimizer.add_param_group({"params": [extra], "damping": 2.0})
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.add_param_group({"params": [extra], "lr": -1.0})
    with pytest.raises(TypeError, match="complex parameters"):
        optimizer.add_param_group({"params": [("z", nn.Parameter(torch.zeros(2, dtype=torch.complex64)))]})
    assert len(optimizer.param_groups) == 1


@both
def test_sparse_gradients_are_refused(build):
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten())
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        build(model).step(lambda rows=slice(None): (model(torch.tensor([[1], [2]])), torch.tensor([0, 1])))


def test_a_preconditioner_needs_single_samples():
    model = net()
    x, y = batch(0)
    with pytest.raises(ValueError, match="preconditioner=True needs the mini-batch sample by sample"):
        HessianFree(model.parameters(), preconditioner=True).step(lambda rows=slice(None): (model(x), y))


# --- Guards


def concave(outputs: Tensor, targets: Tensor) -> Tensor:
    return -(outputs - targets).square().mean()


class BadCurvature(MSE):
    """Squared error whose curvature is not a number, after so many products."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good = good

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        self.good -= 1
        return super()._hessian_product(outputs, targets, vector) * (math.nan if self.good < 0 else 1.0)


def vector_batch() -> tuple[Tensor, Tensor]:
    return batch(0)[0], batch(1)[0][:, :3]


@both
def test_negative_curvature_without_an_iterate_follows_the_gradient(build):
    model = nn.Linear(4, 3).double()
    x, y = vector_batch()
    loss = CustomLoss(concave, lambda outputs, targets, generator: torch.zeros_like(outputs), "rows")
    start = torch.cat([p.flatten() for p in weights(model)])
    options = BARE if build is OPTIMIZERS["hf"] else {"blocks": ["*"], "curvature_fraction": 1.0}
    optimizer = build(model, loss=loss, damping=0.01, **options)
    optimizer.step(forward_of(model, x, y))
    assert optimizer.fallbacks == {"negative curvature": 1}
    step = torch.cat([p.flatten() for p in weights(model)]) - start
    restored = nn.Linear(4, 3).double()
    nn.utils.vector_to_parameters(start, restored.parameters())
    value = concave(restored(x), y)
    g = torch.cat([p.flatten() for p in torch.autograd.grad(value, restored.parameters(), create_graph=True)])
    Gg = torch.cat([p.flatten() for p in torch.autograd.grad(g @ g.detach(), restored.parameters())])
    c = (g @ Gg / (g @ g)).item()
    assert c < -0.01
    assert torch.allclose(step, -g / (abs(c) + 0.01), rtol=1e-8)


@both
def test_negative_curvature_still_goes_down(build):
    model = nn.Linear(4, 3).double()
    x, y = vector_batch()
    loss = CustomLoss(concave, lambda outputs, targets, generator: torch.zeros_like(outputs), "rows")
    optimizer = build(model, loss=loss)
    losses = [optimizer.step(forward_of(model, x, y)).item() for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert optimizer.fallbacks["negative curvature"] >= 4
    assert all(w.isfinite().all() for w in weights(model))


@both
@pytest.mark.parametrize("good", [0, 2])
def test_a_product_that_is_not_finite(build, good):
    model, twin = nn.Linear(4, 3).double(), None
    twin = copy.deepcopy(model)
    x, y = vector_batch()
    blocks = {} if build is OPTIMIZERS["hf"] else {"blocks": "*", "curvature_fraction": 1.0}
    optimizer = build(model, loss=BadCurvature(good), **blocks)
    optimizer.step(forward_of(model, x, y))
    assert optimizer.fallbacks == {"non-finite product": 1}
    if good == 0:
        assert same(weights(model), weights(twin))
        return
    build(twin, loss="mse", max_cg=good, **blocks).step(forward_of(twin, x, y))
    assert same(weights(model), weights(twin))


def test_without_a_step_the_adaptive_damping_goes_up():
    model = nn.Linear(4, 3).double()
    optimizer = HessianFree(model.parameters(), loss=BadCurvature(0))
    optimizer.step(forward_of(model, *vector_batch()))
    assert optimizer.damping == 1.5
    assert "rho" not in optimizer.diagnostics


@both
def test_a_gradient_that_is_not_finite_moves_nothing(build):
    model = net()
    optimizer = build(model)
    before = weights(model)
    x, y = batch(0)
    assert math.isnan(optimizer.step(forward_of(model, x * math.nan, y)).item())
    assert optimizer.fallbacks == {"non-finite gradient": 1}
    assert same(weights(model), before)
    train(model, optimizer, [0])
    assert not same(weights(model), before)


@both
def test_a_useless_warm_start_is_dropped(build):
    model = net()
    optimizer = build(model, max_cg=2)
    train(model, optimizer, [0])
    for state in optimizer.state.values():
        state["solution"].fill_(1e3)
    before = train(model, optimizer, [0])[0]
    assert optimizer.fallbacks["useless warm start"] >= 1
    assert train(model, optimizer, [0])[0] < before


def test_a_line_search_without_a_decrease_stays():
    model = net()
    before = weights(model)
    x, y = batch(0)
    calls = 0

    def forward(rows=slice(None)):
        nonlocal calls
        calls += 1
        return model(x[rows]) * (1.0 if calls == 1 else -100.0), y[rows]  # nothing of what was promised comes true

    optimizer = HessianFree(model.parameters())
    optimizer.step(forward)
    assert optimizer.fallbacks == {"line search found no decrease": 1}
    assert optimizer.diagnostics["step_scale"] == 0.0
    assert same(weights(model), before)
    assert optimizer.damping == 1.5


@both
def test_a_gradient_of_zero_moves_nothing(build):
    model, x = nn.Linear(4, 3).double(), batch(0)[0]
    y = model(x).detach() + 1.0
    optimizer = build(model, loss="mse")
    optimizer.step(forward_of(model, x, y))
    before = weights(model)
    optimizer.step(forward_of(model, x, model(x).detach()))  # with a warm start at hand
    assert same(weights(model), before)
    assert not optimizer.fallbacks
    assert optimizer.diagnostics["products"] == 0


@both
def test_frozen_and_unused_parameters_are_left_alone(build):
    model = net()
    model[0].weight.requires_grad_(False)
    model.unused = nn.Linear(2, 2).double()
    x, y = batch(0)
    before = weights(model)
    optimizer = build(model)
    for _ in range(3):
        optimizer.step(lambda rows=slice(None): (nn.Sequential.forward(model[:5], x[rows]), y[rows]))
    moved = [not torch.equal(new, old) for new, old in zip(weights(model), before, strict=True)]
    assert moved == [False, True, True, True, True, True, False, False]
    assert all(p.grad is None for p in model.parameters())
    for p in model.parameters():
        p.requires_grad_(False)
    assert optimizer.step(forward_of(model[:5], x, y)).isfinite()


@both
def test_a_rate_of_zero_changes_nothing(build):
    model = net()
    before = weights(model)
    train(model, build(model, lr=0.0), range(3))
    assert same(weights(model), before)


@pytest.mark.parametrize("build", [HessianFree, BlockHessianFree])
def test_groups_have_rates_of_their_own(build):
    ends = []
    options = BARE if build is HessianFree else {}
    for rates in ((1.0, 1.0), (0.5, 0.0)):
        model = net()
        named = list(model.named_parameters())
        groups = [{"params": named[:3], "lr": rates[0]}, {"params": named[3:], "lr": rates[1]}]
        optimizer = build(groups, **options)
        start = weights(model)
        train(model, optimizer, [0])
        ends.append([new - old for new, old in zip(weights(model), start, strict=True)])
    full, scaled = ends
    for i, (whole, part) in enumerate(zip(full, scaled, strict=True)):
        assert torch.allclose(part, (0.5 if i < 3 else 0.0) * whole, rtol=1e-9, atol=1e-15)
        assert whole.any()


# --- What a run keeps


@both
@pytest.mark.parametrize("options", [{}, {"adaptive_damping": True, "damping": 0.1}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_run_continues_bit_for_bit(build, options, dtype):
    model = net(dtype)
    optimizer = build(model, **options)
    train(model, optimizer, range(5), dtype)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    losses = train(model, optimizer, range(5, 10), dtype)
    file.seek(0)
    saved = torch.load(file)
    other = net(dtype, seed=1)
    other.load_state_dict(saved["model"])
    restored = build(other, **options)
    restored.load_state_dict(saved["optimizer"])
    assert train(other, restored, range(5, 10), dtype) == losses
    assert same(weights(model), weights(other))
    assert restored.damping == optimizer.damping
    assert restored.fallbacks == optimizer.fallbacks


@both
def test_a_copy_goes_on_alike(build):
    model = net()
    optimizer = build(model)
    train(model, optimizer, range(3))
    twin, copied = copy.deepcopy((model, optimizer))
    assert train(model, optimizer, range(3, 6)) == train(twin, copied, range(3, 6))
    assert same(weights(model), weights(twin))


# --- Within the training loop


def loop_step(optimizer, model: nn.Module, x: Tensor, y: Tensor, loss: str = "cross_entropy") -> Fraction:
    meter = Meter()
    whole_step(optimizer, Evaluation(model, make_loss(loss), x, y, meter, nullcontext))
    return Fraction(meter.thirds)


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.25])
@both
def test_passes_are_those_of_the_products(build, fraction):
    model, (x, y) = net(), batch(0)
    share = Fraction(fraction)
    bare = BARE if build is OPTIMIZERS["hf"] else {}
    optimizer = build(model, curvature_fraction=fraction, **bare)
    for _ in range(3):
        thirds = loop_step(optimizer, model, x, y)
        prepared = 2 if fraction == 1.0 else 3 * share
        assert thirds == 3 + prepared + 6 * share * int(optimizer.diagnostics["products"])
        assert optimizer.diagnostics["products"] >= optimizer.diagnostics["cg_iterations"] > 0


def test_evaluations_of_the_loss_cost_a_forward_pass_each():
    model, (x, y) = net(), batch(0)
    optimizer = HessianFree(model.parameters(), backtracking=False, damping=100.0)
    thirds = loop_step(optimizer, model, x, y)
    assert optimizer.diagnostics["step_scale"] == 1.0
    assert thirds == 5 + 6 * int(optimizer.diagnostics["products"]) + 1  # rho and the line search look at one point
    model = net()
    optimizer = HessianFree(model.parameters(), **BARE, preconditioner=True)
    assert loop_step(optimizer, model, x, y) == 5 + 6 * int(optimizer.diagnostics["products"]) + 3


@pytest.mark.parametrize("build", [HessianFree, partial(BlockHessianFree.for_model, blocks="*", adaptive_damping=True)])
def test_dropout_is_the_same_all_through_a_step(build):
    # Linear in the weights under any one mask: the quadratic model is exact, rho is 1, if the mask does not change.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)).double()
    x, y = vector_batch()
    options = {"loss": "mse", "damping": 0.0, "curvature_fraction": 1.0}
    optimizer = build(model if isinstance(build, partial) else model.parameters(), **options)
    for _ in range(3):
        loop_step(optimizer, model, x, y, "mse")
        assert optimizer.diagnostics["rho"] == pytest.approx(1.0, abs=1e-6)
    optimizer.step(forward_of(model, x, y))  # and this is what it comes to without the loop's care
    assert abs(optimizer.diagnostics["rho"] - 1.0) > 1e-3
