"""h^2 against the exact Gauss-Newton diagonal: through whole networks, in float64."""

from itertools import product

import pytest
import torch
from reference.gauss_newton import (
    all_signs,
    backpack_diagonal,
    curvlinops_diagonal,
    flat,
    jacobian,
    output_hessian,
    relative_error,
)
from reference.nets import NETS, make
from torch import Tensor, nn

from lehi_cli.curvature import BCE, MSE, NLL, CrossEntropy, GaussianNLL, Huber, Loss, PoissonNLL, SmoothL1
from lehi_cli.optim import LEHI

LOSSES = {
    "cross_entropy": (lambda: CrossEntropy(class_dim=-1), nn.CrossEntropyLoss()),
    "bce": (BCE, nn.BCEWithLogitsLoss()),
    "mse": (MSE, nn.MSELoss()),
    "huber": (lambda: Huber(0.8), nn.HuberLoss(delta=0.8)),
    "smooth_l1": (lambda: SmoothL1(0.8), nn.SmoothL1Loss(beta=0.8)),
    "poisson_nll": (PoissonNLL, nn.PoissonNLLLoss()),
    "gaussian_nll": (lambda: GaussianNLL(0.5), lambda p, y: nn.GaussianNLLLoss()(p, y, torch.full_like(p, 0.5))),
    "nll": (lambda: AtLogits(NLL(class_dim=-1)), nn.CrossEntropyLoss()),
}
CLASSES = ("cross_entropy", "nll")
CURVLINOPS = ("cross_entropy", "bce", "mse")
CASES = list(product(NETS, LOSSES))
SAMPLES = {1: 2, 2: 1}  # samples per batch by positions per sample: two predictions of three outputs, 64 sign patterns


class AtLogits(Loss):
    """A loss of log-probabilities as one of logits: what it becomes with log_softmax at the end of the network."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss
        self.loss.draw_signs = lambda *arguments: self.draw_signs(*arguments)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs.log_softmax(-1), targets)

    def _count(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss.predictions(outputs.log_softmax(-1), targets)

    def _factor(self, outputs: Tensor, targets: Tensor, *options) -> Tensor:
        v = self.loss._factor(outputs.log_softmax(-1), targets, *options)
        with torch.enable_grad():
            point = outputs.detach().requires_grad_()
            return torch.autograd.grad(point.log_softmax(-1), point, v)[0]

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        raise NotImplementedError


def problem(net: str, loss: str):
    model, inputs = make(net, SAMPLES[NETS[net].positions])
    outputs = model(inputs)
    generator = torch.Generator().manual_seed(1)
    targets: Tensor
    if loss in CLASSES:
        targets = torch.randint(3, outputs.shape[:-1], generator=generator)
    elif loss == "bce":
        targets = torch.randint(2, outputs.shape, generator=generator).double()
    elif loss == "poisson_nll":
        targets = torch.randint(4, outputs.shape, generator=generator).double()
    else:
        targets = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    return model, inputs, targets, LOSSES[loss][0]()


def torch_loss(name: str):
    """Torch's loss on [..., 3] outputs."""
    module = LOSSES[name][1]
    if name not in CLASSES:
        return module
    return lambda outputs, targets: module(outputs.reshape(-1, 3), targets.reshape(-1))


def exact_diagonal(name: str, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    outputs = model(inputs)
    J = jacobian(outputs, list(model.parameters()))
    return (J.T @ output_hessian(torch_loss(name), outputs, targets) @ J).diag()


def enumerated_diagonal(model: nn.Module, inputs: Tensor, targets: Tensor, loss, kind: str) -> Tensor:
    """The mean of B h^2 over all sign patterns, each read off an optimizer that keeps only its last sample."""
    optimizer = LEHI(model.parameters(), lr=0.0, betas=(0.0, 0.0), loss=loss, factor=kind)
    shapes: list[torch.Size] = []
    optimizer.loss.draw_signs = lambda shape, like, generator: shapes.append(shape) or like.new_ones(shape)
    optimizer.backward(model(inputs), targets)
    total, count = torch.zeros(()), 0
    for signs in all_signs(*shapes[0]):
        optimizer.loss.draw_signs = lambda shape, like, generator, signs=signs: signs
        optimizer.zero_grad()
        optimizer.backward(model(inputs), targets)
        optimizer.step()
        diagonal = optimizer.curvature_diagonal()
        total = total + flat([diagonal[p] for p in model.parameters()])
        count += 1
    return total / count


@pytest.mark.parametrize(("net", "name"), CASES)
def test_oracles_agree(net, name):
    if name not in CURVLINOPS:
        pytest.skip("curvlinops does not have this loss")
    if not NETS[net].curvlinops:
        pytest.skip("curvlinops needs forward-mode derivatives, which torch's LSTM does not have")
    model, inputs, targets, _ = problem(net, name)

    class ClassesFirst(nn.Module):  # torch's layout for sequences, [N, q, T]
        def forward(self, inputs: Tensor) -> Tensor:
            outputs = model(inputs)
            return outputs.movedim(-1, 1) if name == "cross_entropy" else outputs

    wrapped = ClassesFirst()
    wrapped.model = model
    theirs = curvlinops_diagonal(wrapped, LOSSES[name][1], inputs, targets)
    assert relative_error(exact_diagonal(name, model, inputs, targets), theirs) < 1e-12


@pytest.mark.parametrize(("net", "name"), CASES)
def test_rademacher_is_exact_over_all_sign_patterns(net, name):
    model, inputs, targets, loss = problem(net, name)
    exact = exact_diagonal(name, model, inputs, targets)
    assert relative_error(enumerated_diagonal(model, inputs, targets, loss, "rademacher"), exact) < 5e-12


@pytest.mark.parametrize("kind", ["rademacher", "sampled"])
@pytest.mark.parametrize(("net", "name"), CASES)
def test_draws_converge_to_the_exact_diagonal(net, name, kind):
    model, inputs, targets, loss = problem(net, name)
    if kind in loss.lacks:
        pytest.skip("its Hessian depends on the targets")
    outputs = model(inputs)
    J = jacobian(outputs, list(model.parameters()))
    draws = 50_000
    # The batch repeated: its factors are independent draws, each divided by `draws` times the batch's D.
    repeat = (draws,) + (1,) * (outputs.ndim - 1)
    v = loss.factor(
        outputs.repeat(repeat),
        targets.repeat(repeat[: targets.ndim]),
        kind,
        torch.Generator().manual_seed(0),
    )
    h = draws * v.reshape(draws, -1) @ J
    estimate = loss.predictions(outputs, targets) * h.square().mean(0)
    assert relative_error(estimate, exact_diagonal(name, model, inputs, targets)) < 0.03


@pytest.mark.parametrize("kind", ["true_vs_rest", "diagonal"])
@pytest.mark.parametrize(("net", "name"), CASES)
def test_deterministic_factors_have_their_own_expectation(net, name, kind):
    if name == "nll" and kind == "diagonal":
        pytest.skip("log_softmax would change it")
    model, inputs, targets, loss = problem(net, name)
    outputs = model(inputs)
    J = jacobian(outputs, list(model.parameters()))
    expected = (J.T @ known_curvature(name, kind, outputs.detach(), targets) @ J).diag()
    assert relative_error(enumerated_diagonal(model, inputs, targets, loss, kind), expected) < 5e-12


def known_curvature(name: str, kind: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """What stands in Lam/D's place: rank one per sign, entry by entry from the definitions."""
    Lam = output_hessian(torch_loss(name), outputs, targets)
    if name not in CLASSES and kind == "true_vs_rest":
        return Lam  # one sign per output: exact
    point = outputs.clone().requires_grad_()
    (residual,) = torch.autograd.grad(torch_loss(name)(point, targets), point)
    if kind == "diagonal":
        root = residual.flatten().sign() * Lam.diag().sqrt()
        per_sign = 3 if name in CLASSES else outputs[0].numel()
        return torch.block_diag(*[torch.outer(v, v) for v in root.split(per_sign)])
    # Fast Gauss-Newton: s_y (1 - s_y) (e_y - c)(e_y - c)^T, c the softmax of the other classes
    blocks = []
    for s, y in zip(outputs.softmax(-1).reshape(-1, 3), targets.flatten(), strict=True):
        e = torch.zeros_like(s)
        e[y] = 1.0
        c = (s * (1 - e)) / (1 - s[y])
        blocks.append(s[y] * (1 - s[y]) * torch.outer(e - c, e - c) / targets.numel())
    return torch.block_diag(*blocks)


def test_against_backpack_with_true_vs_rest_below_in_every_coordinate():
    # Mean of the samples over the exact diagonal: near 1 in every coordinate for rademacher, below 1 for true_vs_rest.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    inputs, targets = torch.randn(16, 4, dtype=torch.float64), torch.randint(3, (16,))
    exact = backpack_diagonal(model, nn.CrossEntropyLoss(), inputs, targets)
    outputs = model(inputs)
    J = jacobian(outputs, list(model.parameters()))
    loss, draws = CrossEntropy(), 40_000
    means = {}
    for kind in ("rademacher", "true_vs_rest"):
        v = loss.factor(outputs.repeat(draws, 1), targets.repeat(draws), kind, torch.Generator().manual_seed(0))
        means[kind] = 16 * (draws * v.reshape(draws, -1) @ J).square().mean(0)
    ratio = means["rademacher"] / exact
    assert abs(ratio.mean() - 1) < 0.02
    assert ratio.std() < 0.02
    below = means["true_vs_rest"] / exact
    assert 0.1 < below.min() < below.mean() < 0.7
    assert below.max() < 1
