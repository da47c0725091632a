"""SOAA against its reference twin, against Adam, and against numbers worked out by hand."""

import copy
import io
from contextlib import nullcontext

import pytest
import torch
from reference.soaa import ReferenceSOAA
from torch import Tensor, nn

from lehi_cli.curvature import make_loss
from lehi_cli.optim.soaa import SOAA, next_trust, soaa_step
from lehi_cli.training.steps import STEPS, Evaluation, Meter

TOTAL = 100

OPTIONS = {
    "defaults": {},
    "betas_eps": {"betas": (0.5, 0.9), "eps": 1e-3},
    "decay": {"weight_decay": 0.1},
    "gamma": {"gamma": 0.25},
    "per_tensor": {"scope": "tensor"},
    "previous": {"lhat": "previous"},
    "same_step": {"same_step": True},
    "schedule": {"schedule": "t"},
    "tadam": {"scope": "tensor", "lhat": "previous", "same_step": True, "schedule": "t", "gamma": 0.25},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def mlp(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float64, start: int = 0):
    for k in range(start, start + count):
        generator = torch.Generator().manual_seed(k)
        inputs = 3 * torch.randn(5, 4, dtype=torch.float64, generator=generator)
        yield inputs.to(dtype), inputs[:, :3].argmax(-1)


def advance(model: nn.Module, optimizer: SOAA, inputs: Tensor, targets: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = 10 * nn.functional.cross_entropy(model(inputs), targets)  # large enough for both regimes
    loss.backward()
    optimizer.step(loss)
    return loss.detach()


def trusts(optimizer: SOAA) -> list[Tensor]:
    """d of all parameters, or of each."""
    saved = optimizer.state_dict()
    owners = saved["param_groups"][:1] if optimizer.scope == "all" else saved["state"].values()
    return [owner["trust"] for owner in owners]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@each_option
@pytest.mark.parametrize("foreach", [False, True])
def test_equals_its_reference_twin_after_every_step(options, foreach):
    model, twin_model = mlp(), mlp()
    optimizer = SOAA(model.parameters(), lr=1e-2, total_steps=TOTAL, foreach=foreach, **options)
    twin = ReferenceSOAA(list(twin_model.parameters()), lr=1e-2, total_steps=TOTAL, **options)
    trusts = set()
    for inputs, targets in batches(TOTAL):
        advance(model, optimizer, inputs, targets)
        loss = 10 * nn.functional.cross_entropy(twin_model(inputs), targets)
        twin.step(torch.autograd.grad(loss, twin.params), loss.item())
        for p, q in zip(model.parameters(), twin_model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-11)
        assert float(optimizer.diagnostics["trust"]) == pytest.approx(sum(twin.d) / len(twin.d), rel=1e-9)
        assert float(optimizer.diagnostics["rho"]) == pytest.approx(sum(twin.rho) / len(twin.rho), rel=1e-6, abs=1e-9)
        trusts.add(round(float(optimizer.diagnostics["trust"]), 6))
    assert len(trusts) > 10


@each_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_foreach_equals_single_tensor_bitwise(options, dtype):
    models = [mlp(dtype), mlp(dtype)]
    optimizers = [
        SOAA(m.parameters(), lr=1e-2, total_steps=TOTAL, foreach=f, **options)
        for m, f in zip(models, (False, True), strict=True)
    ]
    for inputs, targets in batches(20, dtype):
        for model, optimizer in zip(models, optimizers, strict=True):
            advance(model, optimizer, inputs, targets)
        assert same(*models)
    assert optimizers[0].diagnostics == optimizers[1].diagnostics


@pytest.mark.parametrize("foreach", [False, True])
def test_first_step(foreach):
    w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = SOAA([w], lr=0.01, total_steps=100, foreach=foreach)
    w.grad = torch.tensor([0.1, 2.0], dtype=torch.float64)
    optimizer.step(3.0)
    assert w.tolist() == pytest.approx([0.99, 1.9975], abs=1e-8)
    assert optimizer.diagnostics == {"trust": 1.0, "rho": 0.0}
    assert optimizer.state_dict()["param_groups"][0]["predicted"].item() == pytest.approx(0.0047, abs=1e-9)


def test_rule_of_the_first_step():
    mh, vh = torch.tensor([0.1, 2.0]).double(), torch.tensor([0.01, 4.0]).double()
    c = 1 + (mh**2).sum() / vh.sum()
    assert c == pytest.approx(2.0)
    u = soaa_step(mh, vh, torch.tensor(1.0), c, 1e-8)
    assert u.tolist() == pytest.approx([1.0, 0.25], abs=1e-6)


def test_rule_maps_over_stacked_runs():
    generator = torch.Generator().manual_seed(0)
    mh = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator)
    vh = mh.square() + 0.1
    d, c = torch.tensor([1.0, 1.5, 0.9]).double(), torch.tensor([1.1, 1.5, 2.0]).double()
    mapped = torch.vmap(lambda *each: soaa_step(*each, 1e-8))(mh, vh, d, c)
    for i in range(3):
        torch.testing.assert_close(mapped[i], soaa_step(mh[i], vh[i], d[i], c[i], 1e-8), rtol=1e-14, atol=0)


def test_a_large_second_moment_makes_the_step_independent_of_the_trust_region():
    mh, vh, c = torch.tensor([3.0, -5.0]).double(), torch.tensor([10.0, 30.0]).double(), torch.tensor(1.3)
    for d in (0.9, 1.0, 1.9):
        u = soaa_step(mh, vh, torch.tensor(d), c, 0.0)
        torch.testing.assert_close(u, mh / (c * vh), rtol=1e-7, atol=0)


@pytest.mark.parametrize("gamma", [0.1, 0.0])
def test_with_small_gradients_a_step_is_the_trust_region_times_adams(gamma):
    model, twin = mlp(), mlp()
    optimizer = SOAA(model.parameters(), lr=1e-3, total_steps=100, gamma=gamma)
    trusts = []
    for k, (inputs, targets) in enumerate(batches(100), start=1):
        trust = float(optimizer.diagnostics.get("trust", 1.0))
        trusts.append(trust)
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets) * 1e-3
        loss.backward()
        assert all(p.grad.abs().max() < 0.02 for p in model.parameters())
        if k == 1:
            adam = torch.optim.Adam(twin.parameters(), lr=1e-3)
        for p, q, start in zip(model.parameters(), twin.parameters(), before, strict=True):
            q.data.copy_(start)
            q.grad = p.grad.clone()
        optimizer.step(loss)
        adam.step()
        for p, q, start in zip(model.parameters(), twin.parameters(), before, strict=True):
            torch.testing.assert_close(p - start, trust * (q - start), rtol=1e-5, atol=1e-14)
    if gamma == 0:
        assert set(trusts[3:]) == {1.0}
    else:
        assert max(trusts) > 1.05


def test_without_gamma_the_trust_region_is_1_as_soon_as_q_is_above_0():
    model = mlp()
    optimizer = SOAA(model.parameters(), total_steps=10, gamma=0.0)
    found = []
    for inputs, targets in batches(10):
        advance(model, optimizer, inputs, targets)
        found.append(float(optimizer.diagnostics["trust"]))
    assert found == [1.0] * 10


@each_option
def test_trust_region_stays_within_its_bounds(options):
    model = mlp()
    optimizer = SOAA(model.parameters(), lr=1e-2, total_steps=TOTAL, **options)
    gamma = options.get("gamma", 0.1)
    for t, (inputs, targets) in enumerate(batches(TOTAL), start=1):
        advance(model, optimizer, inputs, targets)
        q = (t if options.get("schedule") == "t" else t - 1) / TOTAL
        for d in trusts(optimizer):
            assert (1 - gamma) ** q - 1e-12 <= d <= 1 + gamma**q + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lhat", ["inclusive", "previous"])
@pytest.mark.parametrize("loss", [0.1, 1.0 / 3.0, 1e4])
def test_first_step_has_no_past_to_judge_by(dtype, lhat, loss):
    w = nn.Parameter(torch.ones(2, dtype=dtype))
    w.grad = torch.ones(2, dtype=dtype)
    optimizer = SOAA([w], total_steps=5, lhat=lhat)
    optimizer.step(torch.tensor(loss, dtype=dtype))
    assert optimizer.diagnostics == {"trust": 1.0, "rho": 0.0}


def test_on_a_quadratic_the_trust_region_sits_at_its_upper_bound():
    w = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    optimizer = SOAA([w], lr=0.01, total_steps=200)
    upper = 0
    for t in range(1, 201):
        optimizer.zero_grad()
        loss = 0.5 * (10 * w[0] ** 2 + w[1] ** 2)
        loss.backward()
        optimizer.step(loss)
        upper += float(optimizer.diagnostics["trust"]) == pytest.approx(1 + 0.1 ** ((t - 1) / 200), rel=1e-12)
    assert upper / 200 > 0.9


def test_next_trust():
    d = torch.tensor([1.0, 1.0, 1.2, 1.2, 1.2])
    rho = torch.tensor([0.0, 5.0, 0.9, torch.nan, torch.inf])
    assert next_trust(d, rho, 0.9, 1.5).tolist() == pytest.approx([0.9, 1.5, 1.08, 1.2, 1.2])


@pytest.mark.parametrize("how", ["tensor", "number", "closure"])
def test_ways_to_hand_over_the_loss(how):
    model, twin = mlp(), mlp()
    optimizer, other = (SOAA(m.parameters(), total_steps=5) for m in (model, twin))
    for inputs, targets in batches(5):
        expected = advance(twin, other, inputs, targets)
        optimizer.zero_grad()

        def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            loss = 10 * nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            return loss

        loss = closure if how == "closure" else closure() if how == "tensor" else closure().item()
        assert torch.as_tensor(optimizer.step(loss), dtype=torch.float64).detach() == expected
    assert same(model, twin)


def test_driven_by_the_loop_at_the_price_of_one_pass():
    model, meter = mlp(), Meter()
    optimizer = SOAA(model.parameters(), total_steps=10)
    first = last = 0.0
    for step in range(10):
        inputs, targets = next(batches(1))
        evaluation = Evaluation(model, make_loss("cross_entropy"), inputs, targets, meter, nullcontext)
        last = STEPS["loss"](optimizer, evaluation).item()
        first = last if step == 0 else first
    assert meter.passes == 10
    assert last < first


@each_option
@pytest.mark.parametrize("foreach", [False, True])
def test_continues_bitwise_from_its_state_dict(options, foreach):
    model = mlp(torch.float32)
    optimizer = SOAA(model.parameters(), total_steps=20, foreach=foreach, **options)
    for batch in batches(8, torch.float32):
        advance(model, optimizer, *batch)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = mlp(torch.float32)
    other.load_state_dict(saved["model"])
    resumed = SOAA(other.parameters(), total_steps=20, foreach=foreach, **options)
    resumed.load_state_dict(saved["optimizer"])
    copied, copied_optimizer = copy.deepcopy((model, optimizer))
    for batch in batches(12, torch.float32, start=8):
        advance(model, optimizer, *batch)
        advance(other, resumed, *batch)
        advance(copied, copied_optimizer, *batch)
        assert same(model, other)
        assert same(model, copied)
    for m, o in ((model, optimizer), (other, resumed)):
        with pytest.raises(RuntimeError, match="step 21, and total_steps=20"):
            advance(m, o, *next(batches(1, torch.float32)))


def test_state_is_two_copies_of_the_parameters():
    model = mlp()
    optimizer = SOAA(model.parameters(), total_steps=5)
    advance(model, optimizer, *next(batches(1)))
    for p in model.parameters():
        tensors = [value for value in optimizer.state[p].values() if isinstance(value, Tensor)]
        assert [tensor.shape for tensor in tensors] == [p.shape, p.shape]


@pytest.mark.parametrize("scope", ["all", "tensor"])
@pytest.mark.parametrize("foreach", [False, True])
def test_groups_have_rates_of_their_own(scope, foreach):
    model = mlp()
    first, second, *rest = model.parameters()
    before = [p.detach().clone() for p in model.parameters()]
    groups = [{"params": [first], "lr": 0.0}, {"params": [second], "lr": 0.1, "weight_decay": 0.5}, {"params": rest}]
    optimizer = SOAA(groups, lr=1e-3, total_steps=5, foreach=foreach, scope=scope)
    for batch in batches(1):
        advance(model, optimizer, *batch)
    moves = [(p - q).abs().max().item() for p, q in zip(model.parameters(), before, strict=True)]
    assert moves[0] == 0
    assert moves[1] > 10 * moves[2] > 0
    saved = optimizer.state_dict()
    owners = saved["param_groups"][:1] if scope == "all" else saved["state"].values()
    assert sum(owner["predicted"] for owner in owners) > 0


def test_a_rate_of_zero_changes_nothing():
    model = mlp()
    optimizer = SOAA(model.parameters(), lr=0.0, total_steps=10, weight_decay=0.1)
    for batch in batches(10):
        advance(model, optimizer, *batch)
    assert same(model, mlp())


@each_option
@pytest.mark.parametrize("foreach", [False, True])
def test_gradients_of_zero_move_nothing(options, foreach):
    model = mlp()
    optimizer = SOAA(model.parameters(), total_steps=5, foreach=foreach, **{**options, "weight_decay": 0.0})
    for _ in range(5):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step(1.0)
    assert same(model, mlp())


@each_option
def test_a_tensor_without_a_gradient_waits(options):
    model, whole = mlp(), mlp()
    optimizer = SOAA(model.parameters(), lr=1e-2, total_steps=20, **options)
    (before,) = [whole[0].weight.detach().clone()]
    for batch in batches(5):
        model[0].weight.requires_grad_(False)
        advance(model, optimizer, *batch)
    assert torch.equal(model[0].weight, before)
    model[0].weight.requires_grad_(True)
    for batch in batches(5, start=5):
        advance(model, optimizer, *batch)
    step = (model[0].weight - before).abs().max()
    assert 0 < step < 5 * 2 * 1.2e-2  # its own bias correction: no more than 2 lr a step, as for the others


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_leaves_the_trust_region(value):
    model = mlp()
    optimizer = SOAA(model.parameters(), total_steps=20)
    for k, (inputs, targets) in enumerate(batches(10)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        before = float(optimizer.diagnostics.get("trust", 1.0))
        optimizer.step(value if k in (0, 5) else loss)
        if k == 5:
            bound = 1 + 0.1 ** (5 / 20)
            assert float(optimizer.diagnostics["trust"]) == pytest.approx(min(before, bound))
    assert all(p.isfinite().all() for p in model.parameters())
    assert 0.9 <= float(optimizer.diagnostics["trust"]) <= 2


def test_overflowing_second_moments_make_no_nan():
    model = mlp(torch.float32)
    optimizer = SOAA(model.parameters(), total_steps=10)
    for k, batch in enumerate(batches(6, torch.float32)):
        optimizer.zero_grad()
        (10.0 ** (30 * (k == 2)) * nn.functional.cross_entropy(model(batch[0]), batch[1])).backward()
        optimizer.step(1.0)
    assert all(p.isfinite().all() for p in model.parameters())


def test_bf16_weights():
    model = mlp(torch.bfloat16)
    optimizer = SOAA(model.parameters(), total_steps=10)
    for batch in batches(10, torch.bfloat16):
        advance(model, optimizer, *batch)
    assert all(p.isfinite().all() and p.dtype == torch.bfloat16 for p in model.parameters())
    assert trusts(optimizer)[0].dtype == torch.float32


def test_a_scheduler_may_change_the_rate():
    model = mlp()
    optimizer = SOAA(model.parameters(), lr=1e-2, total_steps=6)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for batch in batches(6):
        advance(model, optimizer, *batch)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 / 64)


BAD = [
    ({"lr": -1.0}, "lr must be a number >= 0, got -1.0"),
    ({"lr": float("nan")}, "lr must be"),
    ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\)"),
    ({"betas": 0.9}, "betas must be"),
    ({"eps": 0.0}, "eps must be a number > 0, got 0.0"),
    ({"weight_decay": -0.1}, "weight_decay must be"),
    ({"total_steps": None}, "total_steps must be an integer >= 1, the number of steps of the run, got None"),
    ({"total_steps": 0}, "total_steps must be"),
    ({"total_steps": 1.5}, "total_steps must be"),
    ({"total_steps": True}, "total_steps must be"),
    ({"gamma": 1.0}, r"gamma must be a number in \[0, 1\), got 1.0"),
    ({"gamma": -0.1}, "gamma must be"),
    ({"scope": "layer"}, "scope must be 'all' or 'tensor', got 'layer'"),
    ({"lhat": "next"}, "lhat must be"),
    ({"same_step": 1}, "same_step must be True or False"),
    ({"schedule": "t+1"}, "schedule must be"),
    ({"foreach": "yes"}, "foreach must be"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options) for options, _ in BAD])
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        SOAA(mlp().parameters(), **{"total_steps": 10, **options})


def test_groups_may_set_only_their_own():
    first, *_ = mlp().parameters()
    with pytest.raises(ValueError, match="gamma is one for all groups of SOAA: give it to the constructor"):
        SOAA([{"params": [first], "gamma": 0.2}], total_steps=10)
    with pytest.raises(ValueError, match="lr must be"):
        SOAA([{"params": [first], "lr": -1}], total_steps=10)
    with pytest.raises(TypeError, match="complex"):
        SOAA([nn.Parameter(torch.zeros(2, dtype=torch.complex64))], total_steps=10)


def test_a_step_without_a_loss_is_refused():
    optimizer = SOAA(mlp().parameters(), total_steps=10)
    with pytest.raises(TypeError, match="call step\\(loss\\)"):
        optimizer.step()
    with pytest.raises(ValueError, match="one number, got a tensor of shape \\[2\\]"):
        optimizer.step(torch.zeros(2))
    assert optimizer.step(1.0) == 1.0  # no gradients: nothing to do
    assert optimizer.diagnostics == {}


def test_one_step_too_many_is_refused_before_anything_moves():
    model = mlp()
    optimizer = SOAA(model.parameters(), total_steps=3)
    for batch in batches(3):
        advance(model, optimizer, *batch)
    before = copy.deepcopy(model)
    with pytest.raises(RuntimeError, match="this is step 4, and total_steps=3"):
        advance(model, optimizer, *next(batches(1)))
    assert same(model, before)


def test_sparse_gradients_are_refused():
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = SOAA(embedding.parameters(), total_steps=3)
    loss = embedding(torch.tensor([1, 2])).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="SOAA does not support sparse gradients"):
        optimizer.step(loss)
