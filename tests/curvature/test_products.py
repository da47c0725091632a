"""Products with the Gauss-Newton matrix and the Hessian against curvlinops, BackPACK and dense matrices, in float64."""

import copy
import warnings
from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from reference.gauss_newton import jacobian, output_hessian, relative_error
from reference.nets import Recurrent
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from lehi_cli.curvature import BCE, MSE, CrossEntropy
from lehi_cli.curvature.products import GaussNewton, Hessian, flatten, unflatten
from lehi_cli.training.steps import Evaluation, Meter

SAMPLES = 4
TOLERANCE = 1e-10


def batchnorm() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2.0)
    return model.eval()


def layernorm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3))


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3))


NETS = {"batchnorm": (batchnorm, (4,)), "layernorm": (layernorm, (4,)), "convolution": (convolution, (1, 6, 6))}
NETS["lstm"] = (Recurrent, (2, 3))
FORWARD = ("batchnorm", "layernorm", "convolution")  # what curvlinops' forward-mode derivatives can do: not the LSTM
FORWARD_OVER_REVERSE = ("batchnorm", "convolution")  # and for the Hessian
LOSSES = {
    "cross_entropy": (CrossEntropy, nn.CrossEntropyLoss()),
    "bce": (BCE, nn.BCEWithLogitsLoss()),
    "mse": (MSE, nn.MSELoss()),
}
CASES = [pytest.param(net, loss, id=f"{net}-{loss}") for net in NETS for loss in LOSSES]


class Problem:
    """A network and a batch; outputs of sequences with the classes in dimension 1, as torch's loss wants them."""

    def __init__(self, net: str, loss: str) -> None:
        build, shape = NETS[net]
        torch.manual_seed(0)
        self.model = build().double()
        self.inputs = torch.randn(SAMPLES, *shape, dtype=torch.float64)
        self.loss, self.module = LOSSES[loss][0](), copy.deepcopy(LOSSES[loss][1])
        if net == "lstm":
            self.model = nn.Sequential(self.model, nn.Flatten(0, 1))
        self.params = list(self.model.parameters())
        outputs = self.outputs().detach()
        if loss == "cross_entropy":
            self.targets = torch.randint(3, outputs.shape[:1])
        else:
            self.targets = torch.rand(outputs.shape, dtype=torch.float64)

    def outputs(self) -> Tensor:
        return self.model(self.inputs)

    def vector(self) -> Tensor:
        return torch.randn(sum(p.numel() for p in self.params), dtype=torch.float64)

    def gauss_newton(self) -> GaussNewton:
        return GaussNewton(self.outputs(), self.targets, self.loss, self.params)

    def dense_gauss_newton(self) -> Tensor:
        outputs = self.outputs()
        J = jacobian(outputs, self.params)
        return J.T @ output_hessian(self.module, outputs, self.targets) @ J

    def dense_hessian(self) -> Tensor:
        names = [name for name, _ in self.model.named_parameters()]

        def value(flat: Tensor) -> Tensor:
            pieces = dict(zip(names, unflatten(flat, self.params), strict=True))
            return self.module(functional_call(self.model, pieces, self.inputs), self.targets)

        return hessian(value, flatten(self.params).detach())


def curvlinops_product(name: str, problem: Problem, vector: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies and torch's forward mode still call torch.jit.script
        import curvlinops

        data = [(problem.inputs, problem.targets)]
        operator = getattr(curvlinops, name)(
            problem.model, problem.module, problem.params, data, check_deterministic=False
        )
        return operator @ vector


def backpack_product(name: str, problem: Problem, vector: Tensor, params: list[Tensor]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backpack.hessianfree.ggnvp import ggn_vector_product_from_plist
        from backpack.hessianfree.hvp import hessian_vector_product

        outputs = problem.outputs()
        loss = problem.module(outputs, problem.targets)
        pieces = unflatten(vector, params)
        if name == "hessian":
            return flatten(hessian_vector_product(loss, params, pieces))
        return flatten(ggn_vector_product_from_plist(loss, outputs, params, pieces))


@pytest.mark.parametrize(("net", "loss"), CASES)
def test_gauss_newton_products(net, loss):
    problem = Problem(net, loss)
    operator, dense = problem.gauss_newton(), problem.dense_gauss_newton()
    for _ in range(2):  # the graph serves every product
        vector = problem.vector()
        product = operator.product(vector)
        assert not product.requires_grad
        assert relative_error(product, dense @ vector) < TOLERANCE
        assert relative_error(product, backpack_product("ggn", problem, vector, problem.params)) < TOLERANCE
        if net in FORWARD:
            assert relative_error(product, curvlinops_product("GGNLinearOperator", problem, vector)) < TOLERANCE


@pytest.mark.parametrize(("net", "loss"), CASES)
def test_hessian_products(net, loss):
    problem = Problem(net, loss)
    value = problem.module(problem.outputs(), problem.targets)
    operator, dense = Hessian(value, problem.params), problem.dense_hessian()
    gradient = flatten(torch.autograd.grad(problem.module(problem.outputs(), problem.targets), problem.params))
    assert relative_error(operator.gradient, gradient) < TOLERANCE
    assert not operator.gradient.requires_grad
    for _ in range(2):
        vector = problem.vector()
        product = operator.product(vector)
        assert not product.requires_grad
        assert relative_error(product, dense @ vector) < TOLERANCE
        assert relative_error(product, backpack_product("hessian", problem, vector, problem.params)) < TOLERANCE
        if net in FORWARD_OVER_REVERSE:
            assert relative_error(product, curvlinops_product("HessianLinearOperator", problem, vector)) < TOLERANCE


@pytest.mark.parametrize("net", NETS)
def test_a_block_is_what_the_padded_full_product_has_there(net):
    problem = Problem(net, "cross_entropy")
    operator = problem.gauss_newton()
    half = len(problem.params) // 2
    for chosen in ([0], [1, half], list(range(half, len(problem.params)))):
        params = [problem.params[i] for i in chosen]
        vector = flatten([torch.randn_like(p) for p in params])
        padded = [torch.zeros_like(p) for p in problem.params]
        for i, piece in zip(chosen, unflatten(vector, params), strict=True):
            padded[i] = piece
        full = unflatten(operator.product(flatten(padded)), problem.params)
        product = operator.block(chosen).product(vector)
        assert relative_error(product, flatten([full[i] for i in chosen])) < 1e-12
        assert relative_error(product, backpack_product("ggn", problem, vector, params)) < TOLERANCE
        outside = [full[i] for i in range(len(full)) if i not in chosen]
        assert flatten(outside).norm() > 1e-3 * product.norm()  # what the block leaves out is not nothing


def test_what_the_outputs_do_not_depend_on_has_zeros():
    layer, unused = nn.Linear(2, 3).double(), nn.Parameter(torch.ones(4, dtype=torch.float64))
    params = [unused, *layer.parameters()]
    outputs, targets = layer(torch.ones(1, 2, dtype=torch.float64)), torch.zeros(1, 3, dtype=torch.float64)
    vector = torch.ones(13, dtype=torch.float64)
    for operator in (GaussNewton(outputs, targets, MSE(), params), Hessian(MSE()(outputs, targets), params)):
        product = operator.product(vector)
        assert not product[:4].any()
        assert product[4:].all()
    block = GaussNewton(outputs, targets, MSE(), params).block([0])
    assert torch.equal(block.product(vector[:4]), torch.zeros(4, dtype=torch.float64))


def test_a_gradient_that_does_not_depend_on_the_parameters_has_no_hessian():
    weight = torch.ones(3, requires_grad=True)
    operator = Hessian(weight.sum(), [weight])
    assert torch.equal(operator.gradient, torch.ones(3))
    assert torch.equal(operator.product(torch.ones(3)), torch.zeros(3))


def test_half_precision_weights_take_and_give_any_vector():
    torch.manual_seed(0)
    layer = nn.Linear(2, 3)
    inputs, targets = torch.randn(5, 2), torch.randint(3, (5,))
    vector = torch.randn(9)
    exact = GaussNewton(layer(inputs), targets, CrossEntropy(), list(layer.parameters())).product(vector)
    half = layer.bfloat16()
    params = list(half.parameters())
    outputs = half(inputs.bfloat16())
    for operator in (
        GaussNewton(outputs, targets, CrossEntropy(), params),
        Hessian(CrossEntropy()(outputs, targets), params),
    ):
        assert operator.product(vector.bfloat16()).dtype == torch.bfloat16
        product = operator.product(vector)
        assert product.dtype == torch.float32
        assert relative_error(product, exact) < 0.05


def test_flatten_and_unflatten_are_inverse():
    tensors = [torch.randn(2, 3), torch.randn(()), torch.randn(4)]
    pieces = unflatten(flatten(tensors), tensors)
    assert all(torch.equal(piece, tensor) for piece, tensor in zip(pieces, tensors, strict=True))
    for wrong in (torch.zeros(10), torch.zeros(11, 1)):
        with pytest.raises(ValueError, match=r"vector must have shape \[11\].*got"):
            unflatten(wrong, tensors)


def test_products_of_another_shape_are_refused():
    problem = Problem("layernorm", "mse")
    value = problem.loss(problem.outputs(), problem.targets)
    for operator in (problem.gauss_newton(), Hessian(value, problem.params)):
        with pytest.raises(ValueError, match="vector must have shape"):
            operator.product(problem.vector()[:-1])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("share", [1, Fraction(1, 2)])
def test_a_product_costs_two_passes_and_a_part_its_part(net, share):
    problem, meter = Problem(net, "cross_entropy"), Meter()
    inputs, targets = problem.inputs, problem.targets
    if net == "lstm":  # rows are samples: give back the axis of time
        problem.model, targets = problem.model[0], targets.reshape(SAMPLES, 2)
    loss = CrossEntropy(class_dim=-1)
    evaluation = Evaluation(problem.model, loss, inputs, targets, meter, nullcontext)
    outputs, targets = evaluation.part(slice(0, int(SAMPLES * share)))
    assert meter.thirds == 1 * share

    def spent() -> Fraction:
        before, meter.thirds = meter.thirds, 0
        return Fraction(before)

    spent()
    operator = GaussNewton(outputs, targets, loss, problem.params)
    assert spent() == 2 * share
    operator.product(problem.vector())
    operator.product(problem.vector())
    assert spent() == 12 * share
    for chosen in ([0], [1, 2]):  # a block is counted as if it were all: what is saved below it is not
        block = operator.block(chosen)
        assert spent() == 0
        block.product(flatten([torch.ones_like(p) for p in block.params]))
        assert spent() == 6 * share
    operator = Hessian(loss(outputs, targets), problem.params)
    assert spent() == 2 * share
    operator.product(problem.vector())
    assert spent() == 6 * share
