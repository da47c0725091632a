"""What networks and data really send: overflowed and masked logits, odd integer types, targets out of range."""

import pytest
import torch
from reference.gauss_newton import all_signs, output_hessian, relative_error
from torch import Tensor
from torch.nn import functional

from lehi_cli.curvature import BCE, FACTOR_KINDS, CrossEntropy, Loss

INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
MASKS = {
    "some": [[False, True, False, False], [True, False, False, False]],
    "all_but_the_true_one": [[False, True, True, True], [True, True, False, True]],
    "none": [[False] * 4, [False] * 4],
}
LABELS = torch.tensor([0, 2])


def second_moment(loss: Loss, outputs: Tensor, targets: Tensor, kind: str) -> Tensor:
    """D times the mean of v v^T over every sign pattern, [numel, numel]."""
    shapes: list[torch.Size] = []
    loss.draw_signs = lambda shape, like, generator: shapes.append(shape) or like.new_ones(shape)
    loss.factor(outputs, targets, kind)
    moments = []
    for signs in all_signs(*shapes[0]):
        loss.draw_signs = lambda shape, like, generator, signs=signs: signs
        v = loss.factor(outputs, targets, kind).flatten()
        moments.append(torch.outer(v, v))
    return loss.predictions(outputs, targets) * torch.stack(moments).mean(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_draws_what_multinomial_would_have_drawn(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5000, 7, dtype=dtype, generator=generator)
    targets = torch.zeros(5000, dtype=torch.long)
    first, second = (torch.Generator().manual_seed(1) for _ in range(2))
    v = CrossEntropy(reduction="sum").factor(logits, targets, "sampled", first)
    s = logits.softmax(-1)
    drawn = torch.multinomial(s, 1, generator=second)
    assert torch.equal(v, s - torch.zeros_like(s).scatter(-1, drawn, 1.0))
    assert torch.equal(first.get_state(), second.get_state())


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("kind", FACTOR_KINDS)
@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_what_overflowed_is_not_finite_and_raises_nothing(name, kind, value):
    outputs = torch.zeros(3, 4)
    outputs[1, 2] = value
    if name == "bce" and value == torch.inf:
        pytest.skip("the logistic loss is linear there: its curvature is 0")
    loss, targets = (BCE(), torch.ones(3, 4)) if name == "bce" else (CrossEntropy(), torch.tensor([0, 1, 2]))
    v = loss.factor(outputs, targets, kind, torch.Generator().manual_seed(0))
    assert not v[1].isfinite().all()
    assert v[[0, 2]].isfinite().all()


def test_masked_logits_are_never_drawn(monkeypatch):
    logits = torch.tensor([[0.0, -torch.inf, 1.0, -torch.inf]]).expand(2000, 4)
    targets = torch.zeros(2000, dtype=torch.long)
    v = CrossEntropy().factor(logits, targets, "sampled", torch.Generator().manual_seed(0))
    assert (v[:, [1, 3]] == 0).all()
    # An exponential draw of exactly 0, which the CPU can make once in 2^53: 0 / 0 would win the argmax.
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, *args, **kwargs: self.zero_())
    v = CrossEntropy().factor(logits, targets, "sampled")
    assert (v[:, [1, 3]] == 0).all()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masked_logits_have_the_hessian_of_the_others(mask):
    mask = torch.tensor(mask)
    free = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs, open_entries = free.masked_fill(mask, -torch.inf), (~mask).flatten()
    others = torch.outer(open_entries, open_entries)

    def restricted(logits: Tensor, targets: Tensor) -> Tensor:
        rows = [(row[~shut], (~shut)[:y].sum()) for row, shut, y in zip(logits, mask, targets, strict=True)]
        return torch.stack([functional.cross_entropy(row, y) for row, y in rows]).mean()

    exact = output_hessian(restricted, free, LABELS)
    loss = CrossEntropy()
    assert loss(outputs, LABELS).isfinite()
    moment = second_moment(loss, outputs, LABELS, "rademacher")
    assert (moment[~others] == 0).all()
    assert (moment - exact).abs().max() < 1e-12
    assert (second_moment(CrossEntropy(), outputs, LABELS, "diagonal").diag() - exact.diag()).abs().max() < 1e-12
    rest = second_moment(CrossEntropy(), outputs, LABELS, "true_vs_rest")
    assert rest.isfinite().all()
    assert (rest[~others] == 0).all()
    assert torch.linalg.eigvalsh(exact - rest).min() > -1e-12
    vector = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    product = CrossEntropy().hessian_product(outputs, LABELS, vector)
    assert (product.flatten() - exact @ vector.flatten()).abs().max() < 1e-12
    draws = 20_000
    batch = outputs.repeat(draws, 1), LABELS.repeat(draws)
    v = draws * CrossEntropy().factor(*batch, "sampled", torch.Generator().manual_seed(0)).reshape(draws, -1)
    if exact.any():
        assert relative_error(2 * v.T @ v / draws, exact) < 0.05
    else:
        assert (v == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [-1e4, 1e4])
@pytest.mark.parametrize("kind", FACTOR_KINDS)
def test_very_confident_logits_are_finite(kind, margin, dtype):
    outputs = torch.tensor([[margin, 0.0, -margin]], dtype=dtype)
    v = CrossEntropy().factor(outputs, torch.tensor([0]), kind, torch.Generator().manual_seed(0))
    assert v.isfinite().all()
    assert CrossEntropy().hessian_product(outputs, torch.tensor([0]), torch.ones_like(outputs)).isfinite().all()


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("weight", [None, torch.linspace(0.5, 2, 200)])
@pytest.mark.parametrize("kind", FACTOR_KINDS)
def test_class_indices_of_every_integer_type_are_those_of_int64(dtype, weight, kind):
    outputs = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([156 if dtype == torch.uint8 else 100, 3, 0])
    loss = CrossEntropy(weight)
    for call in (
        loss,
        loss.predictions,
        lambda p, y: loss.factor(p, y, kind, torch.Generator().manual_seed(0)),
        lambda p, y: loss.hessian_product(p, y, outputs),
    ):
        assert torch.equal(call(outputs, targets.to(dtype)), call(outputs, targets))


@pytest.mark.parametrize("call", ["__call__", "predictions", "factor", "hessian_product"])
@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (torch.tensor([True, False]), TypeError, "class indices must be integers, got torch.bool"),
        (torch.tensor([0j, 1j]), TypeError, "class indices must be integers, got torch.complex64"),
        (torch.tensor([0, 3]), IndexError, r"class indices must be in \[0, 3\) or ignore_index=-100, got 3"),
        (torch.tensor([-1, 0]), IndexError, r"class indices must be in \[0, 3\) or ignore_index=-100, got -1"),
        (
            torch.tensor([[0.5, 0.6, -0.1], [1.0, 0.0, 0.0]]),
            ValueError,
            r"class probabilities must be in \[0, inf\), got -0\.1",
        ),
    ],
)
def test_targets_that_are_no_classes_are_refused(call, targets, error, message):
    outputs = torch.zeros(2, 3)
    arguments = [outputs, targets] + ([outputs] if call == "hessian_product" else [])
    with pytest.raises(error, match=message):
        getattr(CrossEntropy(), call)(*arguments)


@pytest.mark.parametrize("call", ["__call__", "factor", "hessian_product"])
@pytest.mark.parametrize("value", [-0.5, 1.5, torch.nan])
def test_binary_targets_outside_0_and_1_are_refused(call, value):
    outputs, targets = torch.zeros(2, 3), torch.zeros(2, 3)
    targets[1, 1] = value
    arguments = [outputs, targets] + ([outputs] if call == "hessian_product" else [])
    with pytest.raises(ValueError, match=rf"targets must be in \[0, 1\], got {value}"):
        getattr(BCE(), call)(*arguments)


@pytest.mark.parametrize("loss", [CrossEntropy(), BCE()], ids=["cross_entropy", "bce"])
def test_where_looking_waits_for_the_device_wrong_targets_make_the_loss_nan(loss, monkeypatch):
    monkeypatch.setattr("lehi_cli.curvature.validation.looking_is_free", lambda tensor: False)
    outputs = torch.zeros(2, 3, requires_grad=True)
    good = torch.full((2, 3), 1 / 3)
    assert loss(outputs, good).isfinite()
    bad = good.clone()
    bad[0, 0] = -0.1
    value = loss(outputs, bad)
    assert value.isnan()
    (gradient,) = torch.autograd.grad(value, outputs)
    assert gradient.isnan().all()
