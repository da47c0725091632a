"""Each loss against torch and against dense derivatives in the outputs, over its options and layouts."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from reference.gauss_newton import all_signs, output_hessian, relative_error
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature import (
    BCE,
    FACTOR_KINDS,
    MSE,
    NLL,
    CrossEntropy,
    CustomLoss,
    GaussianNLL,
    Huber,
    Loss,
    PoissonNLL,
    SmoothL1,
    check_loss,
    make_loss,
)
from lehi_cli.curvature.products import GaussNewton

WEIGHT = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
POS_WEIGHT = torch.tensor([3.0, 0.5, 1.5], dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """One loss with options, the torch module it must equal, and outputs and targets of given shapes."""

    loss: Loss
    module: nn.Module
    shape: tuple[int, ...]  # of the outputs
    targets: str = "index"  # index, ignored (an index some positions of which do not count), soft, hard, real, count
    class_dim: int = -1  # where torch's module finds the classes of these outputs
    kinds: tuple[str, ...] = field(default=FACTOR_KINDS)
    outputs: str = "real"  # real, positive, log_probabilities
    split: nn.Module | None = None  # whose Hessian in the outputs it is, where that is not the module's

    def tensors(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(3)
        outputs = torch.randn(self.shape, dtype=torch.float64, generator=generator)
        if self.outputs == "positive":
            outputs = outputs.exp()
        if self.outputs == "log_probabilities":
            outputs = outputs.log_softmax(self.class_dim)
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
        if self.targets == "count":
            return outputs, torch.randint(5, self.shape, generator=generator).double()
        return outputs, torch.randn(self.shape, dtype=torch.float64, generator=generator)

    def torch_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if isinstance(self.module, nn.CrossEntropyLoss | nn.NLLLoss) and outputs.ndim > 2:
            outputs = outputs.movedim(self.class_dim, 1)
            targets = targets.movedim(self.class_dim, 1) if targets.is_floating_point() else targets
        return self.module(outputs, targets)

    def hessian(self) -> Tensor:
        """The dense Hessian in the outputs, by torch alone."""
        differentiated = self if self.split is None else replace(self, module=self.split)
        return output_hessian(differentiated.torch_loss, *self.tensors())


class Gaussian(nn.Module):
    """torch's Gaussian loss, with the variance given."""

    def __init__(self, var: float | Tensor, **options) -> None:
        super().__init__()
        self.var, self.options = var, options
        self.reduction = options.get("reduction", "mean")

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        var = torch.as_tensor(self.var, dtype=outputs.dtype).expand_as(outputs)
        return functional.gaussian_nll_loss(outputs, targets, var, **self.options)


VAR = torch.tensor([0.5, 2.0, 0.0], dtype=torch.float64)
CE, SOFT_KINDS = nn.CrossEntropyLoss, ("rademacher", "diagonal", "sampled")
SIGNED, NO_DIAGONAL = ("rademacher", "true_vs_rest", "diagonal"), ("rademacher", "true_vs_rest", "sampled")
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
    "huber": Case(Huber(), nn.HuberLoss(), (2, 3), "real", kinds=SIGNED),
    "huber_delta_sum": Case(
        Huber(delta=0.5, reduction="sum"), nn.HuberLoss("sum", 0.5), (2, 1, 3), "real", kinds=SIGNED
    ),
    "smooth_l1": Case(SmoothL1(), nn.SmoothL1Loss(), (6,), "real", kinds=SIGNED),
    "smooth_l1_beta_sum": Case(
        SmoothL1(beta=0.7, reduction="sum"), nn.SmoothL1Loss(beta=0.7, reduction="sum"), (2, 3), "real", kinds=SIGNED
    ),
    "nll": Case(NLL(), nn.NLLLoss(), (2, 3), kinds=NO_DIAGONAL, outputs="log_probabilities", split=CE()),
    "nll_weight_ignore": Case(
        NLL(WEIGHT),
        nn.NLLLoss(WEIGHT),
        (3, 3),
        "ignored",
        kinds=NO_DIAGONAL,
        outputs="log_probabilities",
        split=CE(WEIGHT),
    ),
    "nll_ignore_class_sum": Case(
        NLL(ignore_index=1, reduction="sum"),
        nn.NLLLoss(ignore_index=1, reduction="sum"),
        (3, 3),
        "ignored",
        kinds=NO_DIAGONAL,
        outputs="log_probabilities",
        split=CE(ignore_index=1, reduction="sum"),
    ),
    "nll_first": Case(
        NLL(), nn.NLLLoss(), (1, 3, 2), class_dim=1, kinds=NO_DIAGONAL, outputs="log_probabilities", split=CE()
    ),
    "poisson": Case(PoissonNLL(), nn.PoissonNLLLoss(), (2, 3), "count"),
    "poisson_full_sum": Case(
        PoissonNLL(full=True, reduction="sum"), nn.PoissonNLLLoss(full=True, reduction="sum"), (2, 3), "count"
    ),
    "poisson_rate": Case(
        PoissonNLL(log_input=False, eps=0.1),
        nn.PoissonNLLLoss(log_input=False, eps=0.1),
        (2, 3),
        "count",
        kinds=SIGNED,
        outputs="positive",
    ),
    "gaussian": Case(GaussianNLL(0.5), Gaussian(0.5), (2, 3), "real"),
    "gaussian_full_sum": Case(
        GaussianNLL(VAR, full=True, reduction="sum"), Gaussian(VAR, full=True, reduction="sum"), (2, 3), "real"
    ),
    "gaussian_eps": Case(GaussianNLL(VAR, eps=1.0), Gaussian(VAR, eps=1.0), (2, 1, 3), "real"),
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
    total = replace(case, module=case.module.__class__(**options(case.module)))
    expected = total.torch_loss(outputs, targets) / case.torch_loss(outputs, targets)
    torch.testing.assert_close(case.loss.predictions(outputs, targets), expected, rtol=1e-13, atol=0.0)


def options(module: nn.Module) -> dict:
    """The options of a torch loss, with the mean taken off."""
    names = (
        "weight",
        "ignore_index",
        "label_smoothing",
        "pos_weight",
        "delta",
        "beta",
        "log_input",
        "full",
        "eps",
        "var",
    )
    found = {name: getattr(module, name) for name in names if hasattr(module, name)}
    return found | getattr(module, "options", {}) | {"reduction": "sum"}


@each_case
def test_hessian_product_is_the_dense_one(case):
    outputs, targets = case.tensors()
    vector = torch.randn(case.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    dense = case.hessian() @ vector.flatten()
    product = case.loss.hessian_product(outputs, targets, vector)
    assert product.shape == outputs.shape
    assert (product.flatten() - dense).abs().max() < 1e-12


@each_case
def test_rademacher_has_the_hessian_as_expectation(case):
    dense = case.hessian()
    assert (enumerated(case, "rademacher") - dense).abs().max() < 1e-12


@each_case
def test_diagonal_has_the_hessians_diagonal(case):
    if "diagonal" not in case.kinds:
        pytest.skip("log_softmax would change it")
    dense = case.hessian()
    assert (enumerated(case, "diagonal").diag() - dense.diag()).abs().max() < 1e-12


@each_case
def test_true_vs_rest_lies_below_the_hessian(case):
    if "true_vs_rest" not in case.kinds:
        pytest.skip("class probabilities have no true class")
    dense = case.hessian()
    assert torch.linalg.eigvalsh(dense - enumerated(case, "true_vs_rest")).min() > -1e-12


@each_case
def test_sampled_has_the_hessian_as_expectation(case):
    if "sampled" not in case.kinds:
        pytest.skip("its Hessian depends on the targets")
    outputs, targets = case.tensors()
    draws = 100_000
    batch = [t[None] if outputs.ndim == 1 else t for t in (outputs, targets)]
    repeated = [t.repeat(draws, *[1] * (t.ndim - 1)) for t in batch]
    v = case.loss.factor(*repeated, "sampled", torch.Generator().manual_seed(0)).reshape(draws, -1)
    if case.loss.reduction == "mean":
        v = v * draws
    estimate = case.loss.predictions(outputs, targets) * v.T @ v / draws
    assert relative_error(estimate, case.hessian()) < 0.03


@each_case
def test_from_torch(case):
    if isinstance(case.module, Gaussian):
        pytest.skip("torch's takes the variance at the call")
    loss = make_loss(case.module)
    assert type(loss) is type(case.loss)
    outputs, targets = case.tensors()
    if isinstance(case.module, CE | nn.NLLLoss) and outputs.ndim > 2 and case.class_dim == -1:
        outputs = outputs.movedim(-1, 1)
        targets = targets.movedim(-1, 1) if targets.is_floating_point() else targets
    torch.testing.assert_close(loss(outputs, targets), case.module(outputs, targets))


@each_case
@pytest.mark.parametrize("kind", FACTOR_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_outputs(case, kind, dtype):
    if kind not in case.kinds:
        pytest.skip("not for this loss or these targets")
    outputs, targets = case.tensors()
    v = case.loss.factor(outputs.to(dtype), targets, kind, torch.Generator().manual_seed(0))
    assert v.dtype == dtype
    assert v.shape == outputs.shape
    assert not v.requires_grad
    assert v.isfinite().all()


@each_case
def test_every_loss_passes_its_own_check(case):
    outputs, targets = case.tensors()
    if outputs.ndim == 1 and isinstance(case.loss, CrossEntropy):
        outputs, targets = outputs[None], targets[None]
    assert check_loss(case.loss, outputs, targets, generator=torch.Generator().manual_seed(0)) == pytest.approx(
        1, abs=0.09
    )


@each_case
@pytest.mark.parametrize("kind", FACTOR_KINDS)
def test_a_factor_that_is_not_there_is_refused_by_name(case, kind):
    if kind in case.kinds or case.targets == "soft":
        pytest.skip("it is there, or refused for these targets")
    with pytest.raises(ValueError, match=f"{type(case.loss).__name__} has no factor '{kind}', only rademacher, "):
        case.loss.factor(*case.tensors(), kind)


@pytest.mark.parametrize("kind", NO_DIAGONAL)
def test_nll_pulled_back_through_log_softmax_is_the_cross_entropy_at_the_logits(kind):
    logits = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([0, 2])
    v, expected = (
        loss.factor(outputs, targets, kind, torch.Generator().manual_seed(0))
        for loss, outputs in ((NLL(WEIGHT), logits.log_softmax(-1)), (CrossEntropy(WEIGHT), logits))
    )
    (pulled,) = torch.autograd.grad(logits.log_softmax(-1), logits, v)
    torch.testing.assert_close(pulled, expected, rtol=1e-12, atol=1e-15)


def test_gauss_newton_of_nll_is_that_of_the_cross_entropy():
    weights = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    inputs = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets, vector = torch.tensor([0, 1, 2, -100, 1]), torch.arange(12, dtype=torch.float64)
    logits = inputs @ weights.T
    products = [
        GaussNewton(outputs, targets, loss, [weights]).product(vector)
        for outputs, loss in ((logits, CrossEntropy()), (logits.log_softmax(-1), NLL()))
    ]
    torch.testing.assert_close(*products, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nll_takes_log_probabilities_only(dtype):
    logits = 3 * torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(64, dtype=torch.long)
    assert NLL()(logits.to(dtype).log_softmax(-1), targets).isfinite()
    for wrong in (logits, logits.softmax(-1), logits[:, :2].softmax(-1)):
        for call in (NLL(), NLL().factor):
            with pytest.raises(ValueError, match="outputs must be log-probabilities"):
                call(wrong.to(dtype), targets)
    overflowed = logits.log_softmax(-1).index_fill(0, torch.tensor([1]), torch.nan)
    assert NLL().factor(overflowed, targets, "sampled")[1].isnan().all()


def test_poisson_draws_at_any_rate():
    outputs = torch.tensor([-200.0, 0.0, 30.0, 80.0, 100.0, torch.inf, torch.nan], dtype=torch.float32)
    draws = 2000
    v = PoissonNLL(reduction="sum").factor(
        outputs.repeat(draws, 1), torch.zeros(draws, 7), "sampled", torch.Generator().manual_seed(0)
    )
    assert not v[:, 4:].isfinite().any()
    rates, moments = outputs[1:4].double().exp(), v[:, 1:4].double().square().mean(0)
    assert ((moments / rates - 1).abs() < 0.15).all()
    assert (v[:, 0] == 0).all()


@pytest.mark.parametrize("loss", [NLL(), PoissonNLL()], ids=["nll", "poisson_nll"])
def test_where_looking_waits_for_the_device_what_is_wrong_makes_the_loss_nan(loss, monkeypatch):
    monkeypatch.setattr("lehi_cli.curvature.validation.looking_is_free", lambda tensor: False)
    outputs = torch.zeros(2, 3)
    assert loss(outputs, torch.zeros(2).long() if isinstance(loss, NLL) else -torch.ones(2, 3)).isnan()


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


def poisson(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return functional.poisson_nll_loss(outputs, targets, reduction=reduction)


def poisson_factor(outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
    return (0.5 * outputs).exp()


def test_custom_loss():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(6, dtype=torch.float64, generator=generator), torch.arange(6.0).double()
    loss = CustomLoss(poisson, poisson_factor, "rows")
    dense = output_hessian(poisson, outputs, targets)
    vector = torch.randn(6, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(loss.hessian_product(outputs, targets, vector), dense @ vector, rtol=1e-12, atol=1e-13)
    v = loss.factor(outputs, targets, sample_signs=False)
    torch.testing.assert_close(6 * v.square(), dense.diag(), rtol=1e-12, atol=1e-13)
    assert torch.equal(loss.factor(outputs, targets).abs(), v)


def test_what_a_custom_loss_averages_over():
    counts = {"rows": 4, "elements": 12, "sum": 1, (lambda p, y: 3): 3}
    for predictions, count in counts.items():
        loss = CustomLoss(poisson, poisson_factor, predictions)
        assert loss.predictions(X, X) == count
        assert loss.reduction == ("sum" if predictions == "sum" else "mean")


def test_custom_loss_linear_in_the_outputs():
    loss = CustomLoss(lambda p, y: (p * y).mean(), lambda p, y, generator: torch.zeros_like(p), "rows")
    assert (loss.hessian_product(torch.ones(3), torch.ones(3), torch.ones(3)) == 0).all()
    assert check_loss(loss, torch.ones(3), torch.ones(3), draws=10) == 1


def random_factor(outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
    signs = torch.randint(0, 2, outputs.shape, generator=generator) * 2 - 1
    return poisson_factor(outputs, targets, generator) * signs


WRONG = {
    "rows_for_elements": (CustomLoss(poisson, random_factor, "rows"), "sampled curvature .* against exact"),
    "elements_for_sum": (
        CustomLoss(lambda p, y: poisson(p, y, reduction="sum"), random_factor, "elements"),
        "is .* on a batch and .* on the same batch twice, averaged over 12 and 24 predictions",
    ),
    "sum_for_elements": (CustomLoss(poisson, random_factor, "sum"), "averaged over 1 and 1 predictions"),
    "one_sign_per_row": (CustomLoss(poisson, poisson_factor, "elements"), "sampled curvature"),
    "twice_the_factor": (
        CustomLoss(poisson, lambda p, y, g: 2 * random_factor(p, y, g), "elements"),
        "sampled curvature",
    ),
    "concave": (CustomLoss(lambda p, y: -poisson(p, y), random_factor, "elements"), "against exact -"),
    "no_scalar": (CustomLoss(lambda p, y: p, random_factor, "elements"), r"must be a scalar, got shape \[4, 3\]"),
}


@pytest.mark.parametrize(("loss", "message"), WRONG.values(), ids=WRONG)
def test_the_check_finds_what_is_wrong(loss, message):
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=message):
        check_loss(loss, outputs, torch.ones(4, 3), generator=torch.Generator().manual_seed(1))


def test_the_check_finds_a_wrong_product():
    class Wrong(MSE):
        def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return torch.ones_like(outputs)

    with pytest.raises(ValueError, match=r"hessian_product has norm .* of the loss differentiated twice"):
        check_loss(Wrong(), X, X, generator=torch.Generator().manual_seed(1))


def test_the_check_passes_what_is_right():
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    loss = CustomLoss(poisson, random_factor, "elements")
    assert check_loss(loss, outputs, torch.ones(4, 3), generator=torch.Generator().manual_seed(1)) == pytest.approx(
        1, abs=0.09
    )


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
    "name": (lambda: make_loss("hinge"), ValueError, "one of cross_entropy, bce, mse, .*gaussian_nll, got 'hinge'"),
    "option": (lambda: make_loss("huber", beta=1), TypeError, "loss huber has no option 'beta', only delta, reduction"),
    "option_of_object": (lambda: make_loss(MSE(), beta=1), TypeError, "options go with a name"),
    "no_variance": (lambda: make_loss("gaussian_nll"), ValueError, r"needs its variance: .*GaussianNLL\(var="),
    "torch_gaussian": (
        lambda: make_loss(nn.GaussianNLLLoss(full=True)),
        TypeError,
        r"variance at the call.*GaussianNLL\(var=..., full=True, eps=1e-06, reduction='mean'\)",
    ),
    "delta": (lambda: Huber(delta=0), ValueError, "delta must be a finite number > 0, got 0"),
    "delta_type": (lambda: Huber(delta="1"), TypeError, "delta must be a finite number > 0, got '1'"),
    "beta": (lambda: SmoothL1(beta=-1.0), ValueError, r"beta must be a finite number > 0, got -1\.0"),
    "beta_0": (lambda: make_loss(nn.SmoothL1Loss(beta=0)), ValueError, "that is the L1 loss, which has no curvature"),
    "poisson_eps": (lambda: PoissonNLL(eps=0), ValueError, "eps must be a finite number > 0, got 0"),
    "poisson_flag": (lambda: PoissonNLL(log_input=1), TypeError, "log_input must be True or False, got 1"),
    "poisson_targets": (lambda: PoissonNLL()(X, X - 1), ValueError, r"targets must be in \[0, inf\), got -1"),
    "poisson_factor": (lambda: PoissonNLL().factor(X, X - 1), ValueError, r"targets must be in \[0, inf\), got -1"),
    "var": (lambda: GaussianNLL(-1), ValueError, "var must be a finite number >= 0, got -1"),
    "var_entry": (lambda: GaussianNLL(torch.tensor([1, -1.0])), ValueError, "var must hold .* >= 0, got -1"),
    "var_type": (lambda: GaussianNLL("1"), TypeError, "var must be a finite number >= 0, got '1'"),
    "var_learnt": (lambda: GaussianNLL(torch.ones(1, requires_grad=True)), ValueError, "var must not require grad"),
    "var_shape": (lambda: GaussianNLL(torch.ones(2, 4, 3))(X, X), ValueError, r"var \[2, 4, 3\] must broadcast to"),
    "nll_probabilities": (lambda: NLL()(X, X.softmax(-1)), TypeError, "NLL needs class indices .* got torch.float32"),
    "nll_dim": (lambda: NLL(class_dim=2), ValueError, "class_dim must be 'auto', 1 or -1, got 2"),
    "object": (lambda: make_loss(3), TypeError, "a Loss, got 3"),
    "unknown_module": (lambda: make_loss(nn.L1Loss()), TypeError, "CustomLoss.my_loss, my_factor, predict"),
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
    "custom_loss": (lambda: CustomLoss(3, poisson_factor, "rows"), TypeError, "loss must be callable, got 3"),
    "custom_factor": (lambda: CustomLoss(poisson, "x", "rows"), TypeError, "factor must be callable, got 'x'"),
    "custom_unsaid": (lambda: CustomLoss(poisson, poisson_factor), TypeError, "must say over what it averages.*'rows'"),
    "custom_count": (lambda: CustomLoss(poisson, poisson_factor, 3), TypeError, "predictions must be 'rows'.* got 3"),
    "custom_word": (lambda: CustomLoss(poisson, poisson_factor, "row"), ValueError, "predictions must be .* got 'row'"),
    "custom_shape": (
        lambda: CustomLoss(poisson, lambda p, y, g: p[0], "rows").factor(X, X),
        ValueError,
        r"outputs' shape \[4, 3\], got \[3\]",
    ),
    "custom_type": (
        lambda: CustomLoss(poisson, lambda p, y, g: 1.0, "rows").factor(X, X),
        TypeError,
        "must return a tensor",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), INVALID.values(), ids=INVALID)
def test_invalid(call, error, message):
    with pytest.raises(error, match=message):
        call()


NAMES = {
    "cross_entropy": CrossEntropy,
    "bce": BCE,
    "mse": MSE,
    "huber": Huber,
    "smooth_l1": SmoothL1,
    "nll": NLL,
    "poisson_nll": PoissonNLL,
    "gaussian_nll": GaussianNLL,
}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_names(name, kind):
    options = {"var": 2.0} if kind is GaussianNLL else {}
    assert type(make_loss(name, **options)) is kind
    loss = make_loss(name, reduction="sum", **options)
    assert loss.reduction == "sum"
    assert make_loss(loss) is loss
