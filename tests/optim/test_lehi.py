"""LEHI and LEHIBRID against their reference twin, against Adam, and against numbers worked out by hand."""

import copy

import pytest
import torch
from reference.gauss_newton import all_signs
from reference.lehi import AdamEpsilonInside, ReferenceLEHI
from torch import Tensor, nn

from lehi_cli.curvature import MSE, CrossEntropy, CustomLoss
from lehi_cli.optim import LEHI, LEHIBRID
from lehi_cli.optim.descent import preconditioned_step

STEPS = 100


def mlp() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def batches(count: int, regression: bool = False):
    """Batches of changing size, so that B changes."""
    generator = torch.Generator().manual_seed(1)
    for k in range(count):
        inputs = torch.randn(4 + k % 5, 4, dtype=torch.float64, generator=generator)
        yield inputs, inputs[:, :3].sin() if regression else inputs[:, :3].argmax(-1)


OPTIONS = {
    "defaults": {},
    "true_vs_rest": {"factor": "true_vs_rest"},
    "diagonal": {"factor": "diagonal"},
    "sampled": {"factor": "sampled"},
    "no_signs": {"factor": "diagonal", "sample_signs": False},
    "betas_eps": {"betas": (0.5, 0.9), "eps": 1e-3},
    "decay_clip": {"weight_decay": 0.1, "clip": 0.5},
    "damping": {"damping": 0.1},
    "newton": {"power": 1, "clip": 1.0, "damping": 0.1},
    "every": {"curvature_every": 3, "curvature_warmup": 5},
    "newton_every": {"power": 1, "clip": 1.0, "curvature_every": 4, "eps": 1e-4},
    "seed": {"seed": 5},
}
HYBRID_OPTIONS = {
    "mix": {},
    "mix_theta": {"theta": 0.9, "weight_decay": 0.1, "clip": 1.0},
    "mix_every": {"curvature_every": 3, "curvature_warmup": 2, "damping": 0.1},
    "mix_newton": {"power": 1, "clip": 1.0, "factor": "true_vs_rest"},
    "max": {"hybrid": "max"},
    "max_every": {"hybrid": "max", "curvature_every": 4, "damping": 0.1},
    "max_newton": {"hybrid": "max", "power": 1, "clip": 1.0, "curvature_every": 2},
}
COMBINATIONS = [(LEHI, options) for options in OPTIONS.values()] + [
    (LEHIBRID, options) for options in HYBRID_OPTIONS.values()
]
each_combination = pytest.mark.parametrize(
    ("kind", "options"), COMBINATIONS, ids=[*OPTIONS, *[f"hybrid_{name}" for name in HYBRID_OPTIONS]]
)


@each_combination
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("loss", [CrossEntropy, MSE])
def test_equals_its_reference_twin_after_every_step(kind, options, foreach, loss):
    if loss is MSE and options.get("factor") == "diagonal":
        options = {**options, "factor": "rademacher"}
    model, twin_model = mlp(), mlp()
    optimizer = kind(model.parameters(), lr=1e-2, loss=loss(), foreach=foreach, **options)
    hybrid = {"hybrid": "mix", "theta": 0.5} if kind is LEHIBRID else {}
    twin = ReferenceLEHI(list(twin_model.parameters()), loss=loss(), lr=1e-2, **{**hybrid, **options})
    for inputs, targets in batches(STEPS, regression=loss is MSE):
        optimizer.zero_grad()
        optimizer.backward(model(inputs), targets)
        optimizer.step()
        twin.step(twin_model(inputs), targets)
        for p, q in zip(model.parameters(), twin_model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-11)
    for diagonal, expected in zip(optimizer.curvature_diagonal().values(), twin.curvature_diagonal(), strict=True):
        torch.testing.assert_close(diagonal, expected, rtol=1e-8, atol=1e-11)


@each_combination
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_foreach_equals_single_tensor_bitwise(kind, options, dtype):
    models = [mlp().to(dtype), mlp().to(dtype)]
    optimizers = [
        kind(model.parameters(), lr=1e-2, foreach=foreach, **options)
        for model, foreach in zip(models, (False, True), strict=True)
    ]
    for inputs, targets in batches(20):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            optimizer.backward(model(inputs.to(dtype)), targets)
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("foreach", [False, True])
def test_lehibrid_at_theta_0_is_adam_with_eps_inside_the_root(foreach):
    model, twin = mlp(), mlp()
    optimizer = LEHIBRID(model.parameters(), lr=1e-2, eps=1e-6, theta=0.0, foreach=foreach)
    adam = AdamEpsilonInside(list(twin.parameters()), lr=1e-2, eps=1e-6)
    for inputs, targets in batches(STEPS):
        optimizer.zero_grad()
        optimizer.backward(model(inputs), targets)
        optimizer.step()
        adam.step(lambda inputs=inputs, targets=targets: nn.functional.cross_entropy(twin(inputs), targets))
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("foreach", [False, True])
def test_lehibrid_at_theta_1_is_lehi(foreach):
    model, twin = mlp(), mlp()
    pairs = [
        (model, LEHIBRID(model.parameters(), lr=1e-2, theta=1.0, foreach=foreach)),
        (twin, LEHI(twin.parameters(), lr=1e-2, foreach=foreach)),
    ]
    for inputs, targets in batches(STEPS):
        for net, optimizer in pairs:
            optimizer.zero_grad()
            optimizer.backward(net(inputs), targets)
            optimizer.step()
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).square().mean()


def ones(outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.ones_like(outputs)


def residual_signs(outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
    return (outputs - targets).sign()


def linear(*weights: float) -> nn.Linear:
    layer = nn.Linear(len(weights), 1, bias=False).double()
    layer.weight.data = torch.tensor([weights], dtype=torch.float64)
    return layer


@pytest.mark.parametrize(("weights", "diagonal"), [((1.0, 0.5), (0.104994, 0.419974)), ((0.5, -0.25), (0.25, 1.0))])
def test_logistic_regression(weights, diagonal):
    model, inputs = linear(*weights), torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    optimizer = LEHI(model.parameters(), lr=0.0, loss="bce", factor="true_vs_rest")
    optimizer.backward(model(inputs), torch.ones(1, 1))
    optimizer.step()
    expected = torch.tensor([diagonal], dtype=torch.float64)
    torch.testing.assert_close(optimizer.curvature_diagonal()[model.weight], expected, rtol=0, atol=1e-6)
    p = model(inputs).sigmoid()
    torch.testing.assert_close(
        optimizer.curvature_diagonal()[model.weight], p * (1 - p) * inputs.square(), rtol=1e-14, atol=0
    )


def test_softmax():
    logits, target = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64), torch.tensor([0])
    loss = CrossEntropy()
    s = logits.softmax(-1)
    assert s[0].tolist() == pytest.approx((0.6652, 0.2447, 0.0900), abs=1e-4)
    Lam = torch.diag(s[0]) - s.T @ s
    assert Lam.diag().tolist() == pytest.approx((0.2227, 0.1848, 0.0819), abs=1e-4)
    v = loss.factor(logits, target, "true_vs_rest", sample_signs=False)
    assert v[0].tolist() == pytest.approx((-0.4719, 0.3450, 0.1269), abs=1e-4)
    assert v.square()[0].tolist() == pytest.approx((0.2227, 0.1190, 0.0161), abs=1e-4)
    residual = s - torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    assert (v / residual)[0].tolist() == pytest.approx([1.409689] * 3, abs=1e-6)
    total = torch.zeros(3, 3, dtype=torch.float64)
    for signs in all_signs(1, 3):
        loss.draw_signs = lambda shape, like, generator, signs=signs: signs
        v = loss.factor(logits, target)
        total += v.T @ v / 8
    assert (total - Lam).abs().max() < 1e-16


def test_linear_regression_needs_the_sample_signs():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    targets = torch.zeros(4, 1, dtype=torch.float64)

    def diagonal(signs: Tensor | None) -> Tensor:
        model = linear(0.3, -0.2)
        optimizer = LEHI(
            model.parameters(), lr=0.0, loss=CustomLoss(half_squares, ones, "rows"), sample_signs=signs is not None
        )
        optimizer.loss.draw_signs = lambda shape, like, generator: signs
        optimizer.backward(model(rows), targets)
        optimizer.step()
        return optimizer.curvature_diagonal()[model.weight][0]

    torch.testing.assert_close(diagonal(None), torch.tensor([4.0, 0.25], dtype=torch.float64))
    mean = torch.stack([diagonal(signs) for signs in all_signs(4, 1)]).mean(0)
    torch.testing.assert_close(mean, torch.tensor([1.5, 0.75], dtype=torch.float64), rtol=1e-14, atol=0)


@pytest.mark.parametrize("factor", [ones, residual_signs])
def test_one_sample_steps_of_a_linear_model(factor):
    model = linear(0.3, -0.2, 1.0)
    optimizer = LEHI(
        model.parameters(), lr=0.1, betas=(0.9, 0.0), eps=0.0, loss=CustomLoss(half_squares, factor, "rows")
    )
    m = torch.zeros(1, 3, dtype=torch.float64)
    for k, (inputs, _) in enumerate(batches(10), start=1):
        x = inputs[:1, :3]
        before = model.weight.detach().clone()
        optimizer.zero_grad()
        optimizer.backward(model(x), torch.ones(1, 1, dtype=torch.float64))
        m = 0.9 * m + 0.1 * model.weight.grad
        optimizer.step()
        expected = -0.1 * m / (1 - 0.9**k) / x.abs()
        torch.testing.assert_close(model.weight.detach() - before, expected, rtol=1e-12, atol=1e-14)


def test_curvature_diagonal_is_exact_for_a_constant_ggn_whatever_the_batch_sizes():
    # Rows +-1 on a one-weight model: h^2 = 1/B for every draw with one output sign pattern fixed.
    model = linear(0.5)
    optimizer = LEHI(model.parameters(), lr=0.0, betas=(0.9, 0.7), loss=CustomLoss(half_squares, ones, "rows"))
    for batch in (1, 5, 2, 9, 3):
        signs = torch.ones(batch, 1, dtype=torch.float64)
        inputs = torch.zeros(batch, 1, dtype=torch.float64)
        inputs[0] = batch**0.5  # GGN = mean of x^2 = 1
        optimizer.loss.draw_signs = lambda shape, like, generator, signs=signs: signs
        optimizer.zero_grad()
        optimizer.backward(model(inputs), torch.zeros(batch, 1))
        optimizer.step()
        torch.testing.assert_close(optimizer.curvature_diagonal()[model.weight], torch.ones(1, 1).double())


def test_pure_rule_is_the_step_and_maps_over_stacked_runs():
    generator = torch.Generator().manual_seed(0)
    m = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator)
    v = m.square() + 0.1
    eps, scale = torch.tensor([1e-8, 1e-3, 1.0]).double(), torch.tensor([0.1, 0.5, 1.0]).double()
    before = copy.deepcopy((m, v))

    def rule(m, v, scale, eps):
        return preconditioned_step(m, v, scale, scale, eps=eps, damping=eps, clip=1.0)

    mapped = torch.vmap(rule)(m, v, scale, eps)
    for i in range(3):
        expected = preconditioned_step(
            m[i], v[i], float(scale[i]), float(scale[i]), eps=float(eps[i]), damping=float(eps[i]), clip=1.0
        )
        torch.testing.assert_close(mapped[i], expected, rtol=1e-14, atol=0)
    assert torch.equal(before[0], m)
    assert torch.equal(before[1], v)
