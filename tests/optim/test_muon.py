"""MuonAdamW: the two torch optimizers, side by side and nothing else."""

import copy
import io

import pytest
import torch
from torch import nn

from lehi_cli.optim import MuonAdamW
from lehi_cli.optim.muon import split_matrices


class Language(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.hidden = nn.Linear(4, 6)
        self.back = nn.Linear(6, 4, bias=False)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.norm(self.back(self.hidden(self.embedding(tokens)).tanh())))


def mlp() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def train(model: nn.Module, optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        inputs = torch.randn(8, 4, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), inputs[:, :3].argmax(-1)).backward()
        optimizer.step()


MODELS = {
    "mlp": (mlp, ["0.weight", "2.weight"]),
    "one_layer": (lambda: nn.Linear(4, 3), []),
    "conv": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(6, 5), nn.Linear(5, 2)), ["2.weight"]),
    "language": (lambda: Language(tied=False), ["hidden.weight", "back.weight"]),
    "tied": (lambda: Language(tied=True), ["hidden.weight", "back.weight"]),
}


@pytest.mark.parametrize(("build", "expected"), MODELS.values(), ids=MODELS)
def test_split(build, expected):
    model = build()
    matrices, rest = split_matrices(model)
    assert [name for name, _ in matrices] == expected
    assert {name for name, _ in matrices + rest} == dict(model.named_parameters()).keys()


def test_frozen_parameters_are_left_out():
    model = mlp()
    model[0].weight.requires_grad_(False)
    matrices, rest = split_matrices(model)
    assert [name for name, _ in matrices] == ["2.weight"]
    assert "0.weight" not in dict(rest)


def test_equals_the_two_optimizers():
    model, twin = mlp(), mlp()
    optimizer = MuonAdamW.for_model(model, lr=1e-2, weight_decay=0.1)
    matrices, rest = split_matrices(twin)
    muon = torch.optim.Muon(matrices, 1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, 1e-2, weight_decay=0.1)

    class Both:
        def zero_grad(self):
            twin.zero_grad()

        def step(self):
            muon.step()
            adamw.step()

    train(model, optimizer, 5)
    train(twin, Both(), 5)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("build", [lambda: nn.Linear(4, 3), mlp], ids=["adamw_only", "both"])
def test_continues_bitwise_from_its_state_dict(build):
    model = build()
    optimizer = MuonAdamW.for_model(model)
    train(model, optimizer, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(model)
    resumed = MuonAdamW.for_model(other, lr=5.0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(model, optimizer, 4)
    train(other, resumed, 4)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_deepcopy_goes_on_alike():
    model = mlp()
    optimizer = MuonAdamW.for_model(model)
    train(model, optimizer, 3)
    other, twin = copy.deepcopy((model, optimizer))
    train(model, optimizer, 4)
    train(other, twin, 4)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_without_matrices_it_is_adamw():
    model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    twin.load_state_dict(model.state_dict())
    train(model, MuonAdamW.for_model(model, lr=1e-2, weight_decay=0.0), 5)
    train(twin, torch.optim.AdamW(twin.parameters(), 1e-2, weight_decay=0.0), 5)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


def test_without_others_it_is_muon():
    weight = nn.Parameter(torch.ones(4, 3))
    optimizer = MuonAdamW([weight], [])
    weight.grad = torch.ones(4, 3)
    optimizer.step()
    assert list(optimizer.state[weight]) == ["momentum_buffer"]


def test_scheduler_moves_both():
    model = mlp()
    optimizer = MuonAdamW.for_model(model, lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.0)
    train(model, optimizer, 1)
    scheduler.step()
    before = copy.deepcopy(model)
    train(model, optimizer, 2)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True))


def test_closure_is_called_once():
    model, calls = mlp(), []
    optimizer = MuonAdamW.for_model(model)

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = model(torch.ones(1, 4)).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).ndim == 0
    assert len(calls) == 1


def test_step_is_semi_orthogonal():
    # Momentum 0, lr 1, 32 x 16: singular values over sqrt(2) in about [0.68, 1.14], whatever the gradient's scale.
    gradient = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    steps = []
    for scale in (1.0, 1e3):
        weight = nn.Parameter(torch.zeros(32, 16))
        optimizer = MuonAdamW([weight], [], lr=1.0, momentum=0.0, adjust_lr_fn="original")
        weight.grad = scale * gradient
        optimizer.step()
        steps.append(weight.detach())
    values = torch.linalg.svdvals(steps[0]) / 2**0.5
    assert 0.68 < values.min() < values.max() < 1.14
    torch.testing.assert_close(steps[0], steps[1], rtol=0.02, atol=0.02)


INVALID = {
    "nothing": (([], []), {}, "empty parameter list"),
    "adjust_lr_fn": (
        ([nn.Parameter(torch.ones(3, 2))], []),
        {"adjust_lr_fn": "twice"},
        "adjust_lr_fn must be one that",
    ),
    "vector": (([nn.Parameter(torch.ones(3))], []), {}, "2D"),
    "lr": (([nn.Parameter(torch.ones(3, 2))], []), {"lr": -1.0}, "lr must be a number >= 0, got -1.0"),
}


@pytest.mark.parametrize(("arguments", "options", "message"), INVALID.values(), ids=INVALID)
def test_invalid(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        MuonAdamW(*arguments, **options)


# What torch's own pair does, ours does to the last bit, whatever the option.
PAIRS = {
    "plain": {},
    "original": {"adjust_lr_fn": "original", "ns_steps": 3},
    "momentum": {"momentum": 0.8, "nesterov": False},
    "adam": {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.0},
    "foreach": {"foreach": True},
}
OF_MUON, OF_ADAMW = ("momentum", "nesterov", "ns_steps"), ("betas", "eps", "foreach")


@pytest.mark.parametrize("options", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("lr", [1e-2, torch.tensor(1e-2)], ids=["number", "tensor"])
def test_every_option_as_in_torch(options, lr):
    if options.get("foreach") and isinstance(lr, torch.Tensor):
        pytest.skip("torch refuses this")
    model, twin = mlp(), mlp()
    optimizer = MuonAdamW.for_model(model, lr=lr, **options)
    matrices, rest = split_matrices(twin)
    decay = options.get("weight_decay", 0.1)
    adjust = options.get("adjust_lr_fn", "match_rms_adamw")
    muon = {name: options[name] for name in OF_MUON if name in options}
    adamw = {name: options[name] for name in OF_ADAMW if name in options}
    pair = [torch.optim.Muon(matrices, lr, decay, adjust_lr_fn=adjust, **muon)]
    pair.append(torch.optim.AdamW(rest, lr, weight_decay=decay, **adamw))
    for seed in range(5):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        for net, kinds in ((model, [optimizer]), (twin, pair)):
            net.zero_grad()
            nn.functional.cross_entropy(net(inputs), inputs[:, :3].argmax(-1)).backward()
            for kind in kinds:
                kind.step()
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


def test_maximize_is_the_negative_gradient():
    ends = []
    for sign, maximize in ((1.0, False), (-1.0, True)):
        model = mlp()
        optimizer = MuonAdamW.for_model(model, maximize=maximize)
        (sign * model(torch.ones(2, 4)).square().sum()).backward()
        optimizer.step()
        ends.append(list(model.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(*ends, strict=True))


def test_groups_in_the_constructor():
    model = mlp()
    matrices, rest = split_matrices(model)
    optimizer = MuonAdamW([{"params": matrices, "lr": 0.0}], [{"params": rest, "eps": 1e-3}], lr=1e-2)
    assert [(group["use_muon"], group["lr"], group["eps"]) for group in optimizer.param_groups] == [
        (True, 0.0, 1e-8),
        (False, 1e-2, 1e-3),
    ]


def test_added_groups_move():
    model, extra = mlp(), [nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(3))]
    optimizer = MuonAdamW([], model.parameters())
    optimizer.add_param_group({"params": extra[0], "use_muon": True})
    optimizer.add_param_group({"params": extra[1], "use_muon": False})
    optimizer.add_param_group({"params": extra[2]})
    for p in extra:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert not any(torch.equal(p, torch.ones_like(p)) for p in extra)
    assert [set(optimizer.state[p]) for p in extra] == [
        {"momentum_buffer"},
        {"step", "exp_avg", "exp_avg_sq"},
        {"step", "exp_avg", "exp_avg_sq"},
    ]


def test_a_group_of_matrices_says_what_it_is():
    optimizer = MuonAdamW.for_model(mlp())
    with pytest.raises(ValueError, match="this group has matrices: say use_muon=True"):
        optimizer.add_param_group({"params": [("late", nn.Parameter(torch.ones(2, 2)))]})
    assert len(optimizer.param_groups) == 2


def test_a_state_of_muon_is_not_one_of_adamw():
    weights = [nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    with pytest.raises(ValueError, match="use_muon is False here, and was True where the state was saved"):
        MuonAdamW([], [weights[0]]).load_state_dict(MuonAdamW([weights[1]], []).state_dict())
