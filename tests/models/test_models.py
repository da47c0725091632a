"""What every model promises, checked for every row of CASES; then what only some do."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from lehi_cli.data.dataset import Dataset, Split
from lehi_cli.models.sequence import GRULayer
from lehi_cli.registry.built_in.models import MODELS

ROWS, LENGTH, SYMBOLS = 6, 9, 5


def dataset(inputs, outputs):
    """A dataset of three equal splits; models look at inputs and outputs only."""
    split = Split(inputs, inputs)
    return Dataset(dict.fromkeys(("train", "val", "test"), split), outputs, checksum="")


def vectors():
    return dataset(torch.randn(ROWS, 7, generator=torch.Generator().manual_seed(0)), outputs=3)


def images():
    return dataset(torch.randn(ROWS, 2, 4, 4, generator=torch.Generator().manual_seed(0)), outputs=3)


def sequences():
    symbols = torch.randint(SYMBOLS, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    return dataset(symbols, outputs=SYMBOLS)


# model, data, options, shape of the output
CASES = [
    ("linear", vectors, {}, (ROWS, 3)),
    ("linear", images, {"bias": False}, (ROWS, 3)),
    ("mlp", vectors, {}, (ROWS, 3)),
    ("mlp", vectors, {"hidden": 8, "activation": "gelu"}, (ROWS, 3)),
    ("mlp", images, {"hidden": [8, 4], "activation": "tanh"}, (ROWS, 3)),
    ("mlp", vectors, {"hidden": (8,), "activation": "silu"}, (ROWS, 3)),
    ("gru", sequences, {}, (ROWS, LENGTH, SYMBOLS)),
    ("gru", sequences, {"embedding": 4, "hidden": 6, "layers": 2}, (ROWS, LENGTH, SYMBOLS)),
    ("transformer", sequences, {}, (ROWS, LENGTH, SYMBOLS)),
    ("transformer", sequences, {"width": 8, "heads": 2, "layers": 1}, (ROWS, LENGTH, SYMBOLS)),
]
cases = pytest.mark.parametrize(("name", "data", "options", "shape"), CASES)


def build(name, data, options, seed=0):
    module, function = MODELS[name].split(":")
    torch.manual_seed(seed)
    return getattr(import_module(module), function)(data, **options)


ELSEWHERE = {"cnn", "resnet18", "resnet18_gn", "autoencoder", "lstm_classifier", "lstm", "llama"}  # files of their own


def test_every_model_has_a_row():
    assert {name for name, *_ in CASES} | ELSEWHERE == set(MODELS)


@cases
def test_output_shape(name, data, options, shape):
    assert build(name, data(), options)(data().splits["train"].inputs).shape == shape


@cases
def test_gradient_reaches_every_parameter(name, data, options, shape):
    model = build(name, data(), options)
    model(data().splits["train"].inputs).square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-6, parameter_name


@cases
def test_the_seed_decides_the_weights(name, data, options, shape):
    first, again, other = (
        nn.utils.parameters_to_vector(build(name, data(), options, s).parameters()) for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@cases
def test_curvature_products_and_vectorisation_work(name, data, options, shape):
    """Differentiable twice, backward and forward mode, and one program over stacked weights."""
    model, inputs = build(name, data(), options).double(), data().splits["train"].inputs
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    weights = {key: weight.detach() for key, weight in model.named_parameters()}
    vector = {key: torch.randn_like(weight) for key, weight in weights.items()}

    def outputs(weights):
        return torch.func.functional_call(model, weights, (inputs,))

    def gradient(weights):
        return torch.func.grad(lambda w: outputs(w).square().mean())(weights)

    along = torch.func.grad(lambda w: sum((g * vector[key]).sum() for key, g in gradient(w).items()))(weights)
    size = 1e-5
    ahead, behind = (gradient({key: w + sign * vector[key] for key, w in weights.items()}) for sign in (size, -size))
    for key, product in along.items():
        difference = (ahead[key] - behind[key]) / (2 * size)
        torch.testing.assert_close(product, difference, rtol=1e-4, atol=1e-5)

    stacked = {key: torch.stack([weight, weight + vector[key]]) for key, weight in weights.items()}
    torch.testing.assert_close(torch.func.vmap(outputs)(stacked)[0], outputs(weights))


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_logits_ignore_later_symbols(name):
    model, symbols = build(name, sequences(), {}).double(), sequences().splits["train"].inputs
    for position in range(LENGTH):
        changed = symbols.clone()
        changed[:, position] = (changed[:, position] + 1) % SYMBOLS
        difference = (model(changed) - model(symbols)).abs().amax(dim=(0, 2))
        assert (difference[:position] == 0).all()
        assert (difference[position:] > 1e-9).all()


def test_gru_layer_is_torchs():
    torch.manual_seed(0)
    layer, oracle = GRULayer(4, 6).double(), nn.GRU(4, 6, batch_first=True).double()
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(layer.from_input.weight)
        oracle.bias_ih_l0.copy_(layer.from_input.bias)
        oracle.weight_hh_l0.copy_(layer.from_state.weight)
        oracle.bias_hh_l0.copy_(layer.from_state.bias)
    inputs = torch.randn(3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs), oracle(inputs)[0], rtol=0, atol=1e-14)


def test_a_single_width_is_one_hidden_layer():
    one, listed = (build("mlp", vectors(), {"hidden": hidden}) for hidden in (8, [8]))
    assert [weight.shape for weight in one.parameters()] == [weight.shape for weight in listed.parameters()]


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("mlp", vectors, {"hidden": []}, r"hidden=\[\] must be one or more positive integers"),
        ("mlp", vectors, {"hidden": [8, 0]}, r"hidden=\[8, 0\] must be"),
        ("mlp", vectors, {"hidden": 8.0}, r"hidden=8.0 must be"),
        ("mlp", vectors, {"hidden": True}, r"hidden=True must be"),
        ("mlp", vectors, {"activation": "sigmoid"}, "activation='sigmoid' must be one of relu, gelu, tanh, silu"),
        ("gru", sequences, {"hidden": 0}, "gru: hidden=0 must be a positive integer"),
        ("gru", sequences, {"layers": "2"}, "gru: layers='2' must be a positive integer"),
        ("gru", vectors, {}, r"gru: inputs are torch.float32 of shape \[6, 7\] but must be sequences"),
        ("transformer", sequences, {"heads": 3}, "transformer: heads=3 must divide width=64"),
        ("transformer", sequences, {"width": -4}, "transformer: width=-4 must be a positive integer"),
        ("transformer", images, {}, "transformer: inputs are torch.float32 of shape"),
    ],
)
def test_bad_options_are_refused(name, data, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, data(), options)


def test_the_tables_do_not_import_torch():
    code = (
        "import sys, lehi_cli.data, lehi_cli.models; sys.exit(bool({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
