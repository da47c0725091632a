"""Models for images and sequences: shapes, gradients once and twice, sizes, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lehi_cli.data import fake, vision
from lehi_cli.data.dataset import Dataset, Split
from lehi_cli.models.autoencoder import autoencoder
from lehi_cli.models.conv import cnn
from lehi_cli.models.lstm_classifier import lstm_classifier
from lehi_cli.models.resnet import resnet18, resnet18_gn

ROWS = 4


def dataset(*shape: int, outputs: int = 10) -> Dataset:
    inputs = torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0))
    return Dataset(dict.fromkeys(("train", "val", "test"), Split(inputs, inputs)), outputs, checksum="")


# model, inputs of a row, options, weights
CASES = [
    (cnn, (1, 28, 28), {}, 421_642),
    (cnn, (3, 32, 32), {"channels": (8,), "hidden": 4, "activation": "gelu"}, 8_470),
    (cnn, (3, 9, 8), {"channels": (4, 4, 4), "hidden": 4, "activation": "silu"}, None),
    (resnet18, (3, 32, 32), {}, 11_173_962),
    (resnet18_gn, (3, 32, 32), {}, 11_173_962),
    (resnet18_gn, (1, 28, 28), {"groups": 8}, 11_172_810),
    (autoencoder, (1, 28, 28), {}, None),
    (autoencoder, (12,), {"hidden": (8, 6), "code": 2, "activation": "sigmoid"}, None),
    (lstm_classifier, (7, 2), {"hidden": 6, "layers": 2}, 4 * 6 * (2 + 6 + 2) + 4 * 6 * (6 + 6 + 2) + 70),
]
cases = pytest.mark.parametrize(("build", "shape", "options", "weights"), CASES)


def make(build, shape, options, seed: int = 0) -> tuple[nn.Module, Tensor]:  # type: ignore[no-untyped-def]
    torch.manual_seed(seed)
    data = dataset(*shape)
    return build(data, **options), data.splits["train"].inputs


@cases
def test_shape_size_and_gradients(build, shape, options, weights) -> None:  # type: ignore[no-untyped-def]
    model, inputs = make(build, shape, options)
    outputs = model(inputs)
    assert outputs.shape == (ROWS, 10)
    assert weights is None or sum(weight.numel() for weight in model.parameters()) == weights
    outputs.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 1e-7, name


@cases
def test_the_seed_decides_the_weights(build, shape, options, weights) -> None:  # type: ignore[no-untyped-def]
    first, again, other = (
        nn.utils.parameters_to_vector(make(build, shape, options, seed)[0].parameters()) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# the kinks of a ResNet's ReLUs lie so close together that a difference of gradients would meet some
COMPARABLE = [case for case in CASES if case[0] is not resnet18 and case[0] is not resnet18_gn]


@pytest.mark.parametrize(("build", "shape", "options", "weights"), COMPARABLE)
def test_hessian_products(build, shape, options, weights) -> None:  # type: ignore[no-untyped-def]
    model, inputs = make(build, shape, options)
    model, inputs = model.double(), inputs.double()
    parameters = list(model.parameters())
    vector = [torch.randn_like(weight) for weight in parameters]

    def gradient(create_graph: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(model(inputs).square().mean(), parameters, create_graph=create_graph)

    def gradient_at(step: float) -> tuple[Tensor, ...]:
        with torch.no_grad():
            torch._foreach_add_(parameters, vector, alpha=step)
        shifted = gradient()
        with torch.no_grad():
            torch._foreach_add_(parameters, vector, alpha=-step)
        return shifted

    product = torch.autograd.grad(gradient(create_graph=True), parameters, vector)
    for exact, ahead, behind in zip(product, gradient_at(1e-6), gradient_at(-1e-6), strict=True):
        torch.testing.assert_close((ahead - behind) / 2e-6, exact, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("build", [resnet18, resnet18_gn])
def test_resnets_can_be_differentiated_twice(build) -> None:  # type: ignore[no-untyped-def]
    model, inputs = make(build, (3, 8, 8), {})
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(model(inputs).square().mean(), parameters, create_graph=True)
    product = torch.autograd.grad(gradient, parameters, [torch.ones_like(weight) for weight in parameters])
    assert all(part.isfinite().all() for part in product)


def test_group_normalisation_keeps_samples_apart() -> None:
    model, inputs = make(resnet18_gn, (3, 8, 8), {})
    torch.testing.assert_close(model(inputs)[:1], model(inputs[:1]), rtol=1e-4, atol=1e-5)
    assert not list(model.buffers())


def test_the_lstm_takes_its_width_from_what_prepare_makes() -> None:
    data = fake.images((1, 28, 28), 10, vision.pooled_sequence)()
    model = lstm_classifier(data, hidden=5, layers=1)
    inputs, _ = vision.pooled_sequence(data.splits["val"].inputs[:3], data.splits["val"].targets[:3])
    assert model(inputs).shape == (3, 10)


def test_the_code_layer_is_linear() -> None:
    model, _ = make(autoencoder, (1, 28, 28), {})
    widths = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert widths == [1000, 500, 250, 30, 250, 500, 1000, 10]
    layers = list(model.children())
    code = next(place for place, layer in enumerate(layers) if getattr(layer, "out_features", 0) == 30)
    assert isinstance(layers[code + 1], nn.Linear)
    assert sum(isinstance(layer, nn.Tanh) for layer in layers) == 6


@pytest.mark.parametrize(
    ("build", "shape", "options", "message"),
    [
        (cnn, (1, 28, 28), {"channels": []}, r"channels=\[\]"),
        (cnn, (1, 28, 28), {"channels": (8, 0)}, r"channels=\(8, 0\)"),
        (cnn, (1, 28, 28), {"hidden": -1}, "hidden=-1"),
        (cnn, (1, 28, 28), {"activation": "step"}, "activation='step' must be one of relu"),
        (cnn, (1, 28, 28), {"channels": [2] * 5}, "images of 28 x 28 pixels cannot be halved 5 times"),
        (cnn, (5,), {}, r"cnn: inputs have shape \[4, 5\] but must be images"),
        (resnet18, (5,), {}, "resnet18: inputs have shape"),
        (resnet18_gn, (3, 32, 32), {"groups": 3}, "groups=3 must be a positive divisor of 64"),
        (autoencoder, (5,), {"code": 0}, "code=0"),
        (autoencoder, (5,), {"hidden": (8, "4")}, r"hidden=\(8, '4'\)"),
        (autoencoder, (5,), {"activation": "step"}, "activation='step' must be one of sigmoid, relu"),
        (lstm_classifier, (7, 2), {"layers": 0}, "layers=0"),
        (lstm_classifier, (7,), {}, r"inputs have shape \[1, 7\] but must be sequences"),
    ],
)
def test_bad_options_are_refused(build, shape, options, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make(build, shape, options)
