"""Each loss against torch and against dense derivatives in the outputs, over its options and layouts."""

from dataclasses import dataclass, field

import pytest
import torch
from reference.gauss_newton import all_signs, output_hessian, relative_error
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature import BCE, FACTOR_KINDS, MSE, CrossEntropy, CustomLoss, Loss, make_loss

WEIGHT = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
POS_WEIGHT = torch.tensor([3.0, 0.5, 1.5], dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """One loss with options, the torch module it must equal, and outputs and targets of given shapes."""

    loss: Loss
    module: nn.Module
    shape: tuple[int, ...]  # of the outputs
    targets: str = "index"  # index, ignored (an index some positions of which do not count), soft, hard, real
    class_dim: int = -1  # where torch's module finds the classes of these outputs
    kinds: tuple[str, ...] = field(default=FACTOR_KINDS)

    def tensors(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(3)
        outputs = torch.randn(self.shape, dtype=torch.float64, generator=generator)
        if self.targets in ("index", "ignored"):
            shape = list(self.shape)
            del shape[self.class_dim]
            targets = torch.randint(3, shape, generator=generator)
            if self.targets == "ignored":
                targets.flatten()[0] = self.loss.ignore_index
            return outputs, targets
        if self.targets == "soft":
            return outputs, torch.randn(self.shape, dtype=torch.float64, generator=generator).softmax(self.class_dim)
        if self.targets == "hard":
            return outputs, torch.randint(2, self.shape, generator=generator).double()
        return outputs, torch.randn(self.shape, dtype=torch.float64, generator=generator)

    def torch_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if isinstance(self.module, nn.CrossEntropyLoss) and outputs.ndim > 2:
            outputs = outputs.movedim(self.class_dim, 1)
            targets = targets.movedim(self.class_dim, 1) if targets.is_floating_point() else targets
        return self.module(outputs, targets)


CE, SOFT_KINDS = nn.CrossEntropyLoss, ("rademacher", "diagonal", "sampled")
CASES = {
    "ce": Case(CrossEntropy(), CE(), (2, 3)),
    "ce_sum": Case(CrossEntropy(reduction="sum"), CE(reduction="sum"), (2, 3)),
    "ce_one_sample": Case(CrossEntropy(), CE(), (3,)),
    "ce_weight": Case(CrossEntropy(WEIGHT), CE(WEIGHT), (2, 3)),
    "ce_weight_sum": Case(CrossEntropy(WEIGHT, reduction="sum"), CE(WEIGHT, reduction="sum"), (2, 3)),
    "ce_ignore": Case(CrossEntropy(), CE(), (3, 3), "ignored"),
    "ce_ignore_class": Case(CrossEntropy(ignore_index=1), CE(ignore_index=1), (3, 3), "ignored"),
    "ce_ignore_weight": Case(CrossEntropy(WEIGHT), CE(WEIGHT), (3, 3), "ignored"),
    "ce_smooth": Case(CrossEntropy(label_smoothing=0.2), CE(label_smoothing=0.2), (2, 3)),
    "ce_smooth_weight_ignore": Case(
        CrossEntropy(WEIGHT, label_smoothing=0.2), CE(WEIGHT, label_smoothing=0.2), (3, 3), "ignored"
    ),
    "ce_soft": Case(CrossEntropy(), CE(), (2, 3), "soft", kinds=SOFT_KINDS),
    "ce_soft_smooth_weight": Case(
        CrossEntropy(WEIGHT, label_smoothing=0.2), CE(WEIGHT, label_smoothing=0.2), (2, 3), "soft", kinds=SOFT_KINDS
    ),
    "ce_last": Case(CrossEntropy(), CE(), (1, 2, 3), "ignored"),
    "ce_last_soft": Case(CrossEntropy(class_dim=-1), CE(), (2, 1, 3), "soft", kinds=SOFT_KINDS),
    "ce_first": Case(CrossEntropy(), CE(), (1, 3, 2), class_dim=1),
    "ce_first_set": Case(CrossEntropy(class_dim=1), CE(), (1, 3, 3), class_dim=1),
    "ce_first_soft": Case(CrossEntropy(class_dim=1), CE(), (1, 3, 2), "soft", class_dim=1, kinds=SOFT_KINDS),
    "ce_image": Case(CrossEntropy(), CE(), (1, 3, 2, 1), class_dim=1),
    "bce": Case(BCE(), nn.BCEWithLogitsLoss(), (2, 3), "hard"),
    "bce_vector": Case(BCE(), nn.BCEWithLogitsLoss(), (4,), "hard"),
    "bce_soft_sum": Case(BCE(reduction="sum"), nn.BCEWithLogitsLoss(reduction="sum"), (2, 3), "soft"),
    "bce_weights": Case(BCE(WEIGHT, POS_WEIGHT), nn.BCEWithLogitsLoss(WEIGHT, pos_weight=POS_WEIGHT), (2, 3), "soft"),
    "mse": Case(MSE(), nn.MSELoss(), (2, 3), "real"),
    "mse_sum": Case(MSE(reduction="sum"), nn.MSELoss(reduction="sum"), (2, 3), "real"),
    "mse_sequence": Case(MSE(), nn.MSELoss(), (2, 1, 3), "real"),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def enumerated(case: Case, kind: str) -> Tensor:
    """D times the mean of v v^T over every sign pattern, [numel, numel]: what stands for the reduced Hessian."""
    outputs, targets = case.tensors()
    shapes: list[torch.Size] = []
    total, count = torch.zeros(()), 0
    try:
        case.loss.draw_signs = lambda shape, like, generator: shapes.append(shape) or like.new_ones(shape)
        case.loss.factor(outputs, targets, kind)
        for signs in all_signs(*shapes[0]):
            case.loss.draw_signs = lambda shape, like, generator, signs=signs: signs
            v = case.loss.factor(outputs, targets, kind).flatten()
            total, count = total + torch.outer(v, v), count + 1
    finally:
        del case.loss.draw_signs
    return case.loss.predictions(outputs, targets) * total / count


@each_case
def test_value_is_torchs(case):
    outputs, targets = case.tensors()
    torch.testing.assert_close(case.loss(outputs, targets), case.torch_loss(outputs, targets), rtol=1e-14, atol=1e-14)


@each_case
def test_predictions_are_what_the_mean_divides_by(case):
    outputs, targets = case.tensors()
    total = Case(case.loss, case.module.__class__(**options(case.module)), case.shape, case.targets, case.class_dim)
    expected = total.torch_loss(outputs, targets) / case.torch_loss(outputs, targets)
    torch.testing.assert_close(case.loss.predictions(outputs, targets), expected, rtol=1e-13, atol=0.0)


def options(module: nn.Module) -> dict:
    """The options of a torch loss, with the mean taken off."""
    names = ("weight", "ignore_index", "label_smoothing", "pos_weight")
    return {name: getattr(module, name) for name in names if hasattr(module, name)} | {"reduction": "sum"}


@each_case
def test_hessian_product_is_the_dense_one(case):
    outputs, targets = case.tensors()
    vector = torch.randn(case.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    dense = output_hessian(case.torch_loss, outputs, targets) @ vector.flatten()
    product = case.loss.hessian_product(outputs, targets, vector)
    assert product.shape == outputs.shape
    assert (product.flatten() - dense).abs().max() < 1e-12


@each_case
def test_rademacher_has_the_hessian_as_expectation(case):
    outputs, targets = case.tensors()
    dense = output_hessian(case.torch_loss, outputs, targets)
    assert (enumerated(case, "rademacher") - dense).abs().max() < 1e-12


@each_case
def test_diagonal_has_the_hessians_diagonal(case):
    outputs, targets = case.tensors()
    dense = output_hessian(case.torch_loss, outputs, targets)
    assert (enumerated(case, "diagonal").diag() - dense.diag()).abs().max() < 1e-12


@each_case
def test_true_vs_rest_lies_below_the_hessian(case):
    if "true_vs_rest" not in case.kinds:
        pytest.skip("class probabilities have no true class")
    outputs, targets = case.tensors()
    dense = output_hessian(case.torch_loss, outputs, targets)
    assert torch.linalg.eigvalsh(dense - enumerated(case, "true_vs_rest")).min() > -1e-12


@each_case
def test_sampled_has_the_hessian_as_expectation(case):
    outputs, targets = case.tensors()
    draws = 100_000
    batch = [t[None] if outputs.ndim == 1 else t for t in (outputs, targets)]
    repeated = [t.repeat(draws, *[1] * (t.ndim - 1)) for t in batch]
    v = case.loss.factor(*repeated, "sampled", torch.Generator().manual_seed(0)).reshape(draws, -1)
    if case.loss.reduction == "mean":
        v = v * draws
    estimate = case.loss.predictions(outputs, targets) * v.T @ v / draws
    assert relative_error(estimate, output_hessian(case.torch_loss, outputs, targets)) < 0.03


@each_case
def test_from_torch(case):
    loss = make_loss(case.module)
    assert type(loss) is type(case.loss)
    outputs, targets = case.tensors()
    if isinstance(case.module, CE) and outputs.ndim > 2 and case.class_dim == -1:
        outputs = outputs.movedim(-1, 1)
        targets = targets.movedim(-1, 1) if targets.is_floating_point() else targets
    torch.testing.assert_close(loss(outputs, targets), case.module(outputs, targets))


@each_case
@pytest.mark.parametrize("kind", FACTOR_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_outputs(case, kind, dtype):
    if kind not in case.kinds:
        pytest.skip("class probabilities have no true class")
    outputs, targets = case.tensors()
    v = case.loss.factor(outputs.to(dtype), targets, kind, torch.Generator().manual_seed(0))
    assert v.dtype == dtype
    assert v.shape == outputs.shape
    assert not v.requires_grad
    assert v.isfinite().all()


@pytest.mark.parametrize("kind", FACTOR_KINDS)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_ignored_positions_contribute_exactly_nothing(kind, weight):
    outputs = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, -100, 2, -100])
    v = CrossEntropy(weight).factor(outputs, targets, kind, torch.Generator().manual_seed(0))
    assert (v[[1, 3]] == 0).all()
    assert (v[[0, 2]] != 0).all()


@pytest.mark.parametrize("kind", FACTOR_KINDS)
def test_all_ignored_is_nan_in_the_loss_and_zero_in_the_factor(kind):
    outputs, targets = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([-100, -100])
    loss = CrossEntropy()
    assert loss(outputs, targets).isnan()
    assert loss.predictions(outputs, targets) == 0
    assert (loss.factor(outputs, targets, kind) == 0).all()
    assert (loss.hessian_product(outputs, targets, outputs) == 0).all()


@pytest.mark.parametrize("margin", [-200.0, -40.0, 0.0, 40.0, 200.0])
@pytest.mark.parametrize("kind", FACTOR_KINDS)
def test_confident_outputs_stay_finite(kind, margin):
    outputs = torch.tensor([[margin, 0.0, 0.0]])
    assert CrossEntropy().factor(outputs, torch.tensor([0]), kind).isfinite().all()


def test_true_vs_rest_is_the_gradient_of_its_auxiliary_loss():
    outputs = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([0, 1, 2, 3, 0])
    s_y = outputs.softmax(-1)[torch.arange(5), targets]
    (expected,) = torch.autograd.grad(2 * s_y.sqrt().arccos().sum() / 5, outputs)
    v = CrossEntropy().factor(outputs, targets, "true_vs_rest", sample_signs=False)
    torch.testing.assert_close(v, expected, rtol=1e-12, atol=1e-14)


def test_generator_alone_decides_the_draw():
    outputs, targets = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    before = torch.random.get_rng_state()
    for kind in FACTOR_KINDS:
        draws = [CrossEntropy().factor(outputs, targets, kind, torch.Generator().manual_seed(7)) for _ in range(2)]
        assert torch.equal(*draws)
    assert torch.equal(before, torch.random.get_rng_state())


def poisson(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.poisson_nll_loss(outputs, targets)


def poisson_factor(outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
    return (0.5 * outputs).exp()


def test_custom_loss():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(6, dtype=torch.float64, generator=generator), torch.arange(6.0).double()
    loss = CustomLoss(poisson, poisson_factor)
    dense = output_hessian(poisson, outputs, targets)
    vector = torch.randn(6, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(loss.hessian_product(outputs, targets, vector), dense @ vector, rtol=1e-12, atol=1e-13)
    v = loss.factor(outputs, targets, sample_signs=False)
    torch.testing.assert_close(6 * v.square(), dense.diag(), rtol=1e-12, atol=1e-13)
    assert torch.equal(loss.factor(outputs, targets).abs(), v)
    assert CustomLoss(poisson, poisson_factor, lambda p, y: 3).predictions(outputs, targets) == 3


def test_custom_loss_linear_in_the_outputs():
    loss = CustomLoss(lambda p, y: (p * y).mean(), lambda p, y, generator: torch.zeros_like(p))
    assert (loss.hessian_product(torch.ones(3), torch.ones(3), torch.ones(3)) == 0).all()


X, Y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)
INVALID = {
    "reduction": (lambda: MSE("none"), ValueError, "reduction must be 'mean' or 'sum', got 'none'"),
    "torch_reduction": (lambda: make_loss(nn.MSELoss(reduction="none")), ValueError, "reduction must be"),
    "smoothing": (lambda: CrossEntropy(label_smoothing=1.5), ValueError, r"label_smoothing must be in \[0, 1\]"),
    "weight": (
        lambda: CrossEntropy(torch.tensor([1.0, -2.0])),
        ValueError,
        r"weight must hold finite numbers >= 0, got -2\.0",
    ),
    "weight_nan": (lambda: CrossEntropy(torch.tensor([torch.nan])), ValueError, "weight must hold .* got nan"),
    "weight_type": (lambda: CrossEntropy([1.0, 2.0]), TypeError, r"weight must be a tensor or None, got \[1.0, 2.0\]"),
    "bce_weight": (lambda: BCE(torch.tensor([-1.0])), ValueError, r"weight must hold .* got -1\.0"),
    "pos_weight": (lambda: BCE(pos_weight=torch.tensor([-1.0])), ValueError, r"pos_weight must hold .* got -1\.0"),
    "torch_weight": (
        lambda: make_loss(nn.CrossEntropyLoss(torch.tensor([-1.0]))),
        ValueError,
        "weight must hold finite numbers",
    ),
    "class_dim": (lambda: CrossEntropy(class_dim=2), ValueError, "class_dim must be 'auto', 1 or -1, got 2"),
    "name": (lambda: make_loss("hinge"), ValueError, "one of cross_entropy, bce, mse, got 'hinge'"),
    "object": (lambda: make_loss(3), TypeError, "a Loss, got 3"),
    "unknown_module": (lambda: make_loss(nn.HuberLoss()), TypeError, "factor=my_factor"),
    "kind": (lambda: MSE().factor(X, X, "exact"), ValueError, "factor must be one of rademacher, .*'exact'"),
    "probabilities": (
        lambda: CrossEntropy().factor(X, X.softmax(-1), "true_vs_rest"),
        ValueError,
        "needs class indices",
    ),
    "ambiguous": (
        lambda: CrossEntropy()(torch.zeros(4, 5, 5), torch.zeros(4, 5, dtype=torch.long)),
        ValueError,
        r"\[4, 5, 5\] and targets \[4, 5\] fit .* set class_dim",
    ),
    "ambiguous_soft": (lambda: CrossEntropy()(torch.ones(4, 3, 2), torch.ones(4, 3, 2)), ValueError, "set class_dim"),
    "unfit": (lambda: CrossEntropy()(X, torch.zeros(3, dtype=torch.long)), ValueError, r"\[4, 3\] and targets \[3\]"),
    "unfit_dim": (
        lambda: CrossEntropy(class_dim=1)(torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.long)),
        ValueError,
        "do not fit together with class_dim=1",
    ),
    "broadcast_mse": (lambda: MSE()(torch.zeros(4, 1), torch.zeros(4)), ValueError, r"\[4, 1\] and targets \[4\]"),
    "broadcast_bce": (lambda: BCE()(torch.zeros(4, 1), torch.zeros(4)), ValueError, "must have the same shape"),
    "broadcast_factor": (lambda: BCE().factor(torch.zeros(4, 1), torch.zeros(4)), ValueError, "same shape"),
    "broadcast_product": (lambda: MSE().hessian_product(X, X[0], X), ValueError, "same shape"),
    "custom_loss": (lambda: CustomLoss(3, poisson_factor), TypeError, "loss must be callable, got 3"),
    "custom_factor": (lambda: CustomLoss(poisson, "x"), TypeError, "factor must be callable, got 'x'"),
    "custom_count": (lambda: CustomLoss(poisson, poisson_factor, 3), TypeError, "predictions must be callable, got 3"),
    "custom_shape": (
        lambda: CustomLoss(poisson, lambda p, y, g: p[0]).factor(X, X),
        ValueError,
        r"outputs' shape \[4, 3\], got \[3\]",
    ),
    "custom_type": (lambda: CustomLoss(poisson, lambda p, y, g: 1.0).factor(X, X), TypeError, "must return a tensor"),
}


@pytest.mark.parametrize(("call", "error", "message"), INVALID.values(), ids=INVALID)
def test_invalid(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("name", "kind"), [("cross_entropy", CrossEntropy), ("bce", BCE), ("mse", MSE)])
def test_names(name, kind):
    assert type(make_loss(name)) is kind
    loss = kind(reduction="sum")
    assert make_loss(loss) is loss
