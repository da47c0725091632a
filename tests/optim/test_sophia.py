"""Sophia against its reference twin and against numbers worked out by hand."""

import copy
import io
import itertools

import pytest
import torch
from reference.sophia import ReferenceSophiaG
from torch import Tensor, nn

from lehi_cli.curvature import CustomLoss
from lehi_cli.optim import Sophia
from lehi_cli.optim.sophia import sophia_step

OPTIONS = {
    "defaults": {},
    "refresh_always": {"curvature_every": 1, "lr": 1e-2},
    "every": {"curvature_every": 3, "curvature_warmup": 5, "lr": 1e-2},
    "gamma": {"gamma": 5.0, "lr": 1e-1},
    "no_decay": {"weight_decay": 0.0, "betas": (0.5, 0.9), "eps": 1e-3},
    "seed": {"seed": 5},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def mlp(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float64, seed: int = 1):
    """Batches of changing size, so that B changes."""
    generator = torch.Generator().manual_seed(seed)
    for k in range(count):
        inputs = torch.randn(4 + k % 5, 4, dtype=torch.float64, generator=generator)
        yield inputs.to(dtype), inputs[:, :3].argmax(-1)


def advance(model: nn.Module, optimizer: Sophia, inputs: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad()
    optimizer.backward(model(inputs), targets)
    optimizer.step()


@each_option
@pytest.mark.parametrize("foreach", [False, True])
def test_equals_its_reference_twin_after_every_step(options, foreach):
    model, twin_model = mlp(), mlp()
    optimizer = Sophia(model.parameters(), foreach=foreach, **options)
    twin = ReferenceSophiaG(list(twin_model.parameters()), **options)
    for inputs, targets in batches(100):
        advance(model, optimizer, inputs, targets)
        twin.step(twin_model(inputs), targets)
        for p, q in zip(model.parameters(), twin_model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=0, atol=1e-10)
    for h, expected in zip(optimizer.curvature_diagonal().values(), twin.h, strict=True):
        torch.testing.assert_close(h, expected, rtol=1e-10, atol=1e-12)


@each_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_foreach_equals_single_tensor_bitwise(options, dtype):
    models = [mlp(dtype), mlp(dtype)]
    optimizers = [Sophia(m.parameters(), foreach=f, **options) for m, f in zip(models, (False, True), strict=True)]
    for inputs, targets in batches(20, dtype):
        for model, optimizer in zip(models, optimizers, strict=True):
            advance(model, optimizer, inputs, targets)
    assert all(torch.equal(p, q) for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_no_coordinate_moves_by_more_than_lr():
    model = mlp()
    optimizer = Sophia(model.parameters(), lr=0.01, weight_decay=0.0)
    largest = 0.0
    for inputs, targets in batches(50):
        before = copy.deepcopy(list(model.parameters()))
        advance(model, optimizer, inputs, targets)
        moves = [(p - q).detach().abs().max().item() for p, q in zip(model.parameters(), before, strict=True)]
        largest = max(largest, *moves)
    assert largest == pytest.approx(0.01, rel=1e-12)


def test_samples_average_to_the_diagonal_of_the_ggn():
    # Logistic regression: enumerate the labels the model may draw, each with its probability.
    rows = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    model = nn.Linear(2, 1, bias=False).double()
    mean = torch.zeros(1, 2, dtype=torch.float64)
    for labels in itertools.product((0.0, 1.0), repeat=2):
        model.weight.data = torch.tensor([[0.5, -0.25]], dtype=torch.float64)
        s, drawn = model(rows).sigmoid(), torch.tensor(labels, dtype=torch.float64)[:, None]
        optimizer = Sophia(model.parameters(), lr=0.0, betas=(0.9, 0.0), loss="bce")
        optimizer.loss._sampled = lambda outputs, targets, generator, drawn=drawn: outputs.sigmoid() - drawn
        advance(model, optimizer, rows, torch.zeros(2, 1))
        probability = torch.where(drawn == 1, s, 1 - s).prod().detach()
        mean += probability * optimizer.curvature_diagonal()[model.weight]
    s = model(rows).sigmoid().detach()
    ggn = (s * (1 - s) * rows.square()).mean(0)
    assert ggn.tolist() == pytest.approx((0.692582, 0.563065), abs=1e-6)
    assert mean[0].tolist() == pytest.approx(ggn.tolist(), rel=1e-12)


def test_large_curvature_makes_it_newtons_step():
    # A quadratic (a w - y)^2 / 2 in one weight: h = a^2 at b2 = 0, whatever the label drawn.
    model = nn.Linear(1, 1, bias=False).double()
    model.weight.data.fill_(0.3)

    def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * (outputs - targets).square().mean()

    def one(outputs: Tensor, targets: Tensor, generator: object) -> Tensor:
        return torch.ones_like(outputs)

    loss = CustomLoss(half_squares, one, "rows")
    optimizer = Sophia(model.parameters(), lr=0.1, betas=(0.9, 0.0), gamma=2.0, weight_decay=0.0, loss=loss)
    before = model.weight.item()
    advance(model, optimizer, torch.full((1, 1), 5.0).double(), torch.zeros(1, 1).double())
    m, h = 0.1 * 25 * before, 25.0
    assert optimizer.curvature_diagonal()[model.weight].item() == pytest.approx(h)
    assert model.weight.item() - before == pytest.approx(-0.1 * m / (2.0 * h), rel=1e-12)


def test_zero_curvature_makes_it_a_sign_step():
    momentum = torch.tensor([1e-6, -3.0, 0.0])
    assert sophia_step(momentum, torch.zeros(3), gamma=0.04, eps=1e-15).tolist() == [1.0, -1.0, 0.0]


def test_the_estimate_is_not_corrected_for_its_bias():
    model = mlp()
    optimizer = Sophia(model.parameters(), lr=0.0, betas=(0.9, 0.99))
    inputs, targets = next(batches(1))
    optimizer.backward(model(inputs), targets)
    samples = {p: state["sample"].clone() for p, state in optimizer.state.items()}
    optimizer.step()
    for p, h in optimizer.curvature_diagonal().items():
        torch.testing.assert_close(h, 0.01 * len(inputs) * samples[p].square())


def test_refreshes_every_tenth_step():
    model = mlp()
    optimizer = Sophia(model.parameters())
    due = []
    for inputs, targets in batches(21):
        due.append(optimizer.refresh_due)
        advance(model, optimizer, inputs, targets)
    assert [i for i, refresh in enumerate(due) if refresh] == [0, 10, 20]


@pytest.mark.parametrize("foreach", [False, True])
def test_continues_bitwise_from_its_state_dict(foreach):
    model = mlp(torch.float32)
    optimizer = Sophia(model.parameters(), lr=1e-2, curvature_every=3, foreach=foreach)
    for inputs, targets in batches(7, torch.float32):
        advance(model, optimizer, inputs, targets)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(model)
    resumed = Sophia(other.parameters(), lr=5.0, curvature_every=3, foreach=foreach, seed=9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for inputs, targets in batches(8, torch.float32, seed=2):
        advance(model, optimizer, inputs, targets)
        advance(other, resumed, inputs, targets)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


INVALID = {
    "gamma": ({"gamma": -1.0}, "gamma must be a number >= 0, got -1.0"),
    "betas": ({"betas": (0.9, 1.0)}, "betas must be two numbers"),
    "every": ({"curvature_every": 0}, "curvature_every must be an integer >= 1"),
    "factor": ({"factor": "magic"}, "factor must be one of"),
}


@pytest.mark.parametrize(("options", "message"), INVALID.values(), ids=INVALID)
def test_invalid(options, message):
    with pytest.raises(ValueError, match=message):
        Sophia(mlp().parameters(), **options)
