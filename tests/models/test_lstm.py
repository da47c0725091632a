"""The recurrent language model: the map of torch's own, its state, and the training loop around it."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from lehi_cli.data import fake
from lehi_cli.models.lstm import LSTMLayer, lstm
from lehi_cli.registry import optimizers, tasks
from lehi_cli.runs.specs import OptimSpec, RunSpec
from lehi_cli.training.loop import Training

SYMBOLS = 11
DATA = fake.text(SYMBOLS, 8, as_stream=True)()


def build(**options):
    torch.manual_seed(0)
    return lstm(DATA, **{"width": 6, **options}).double()


def symbols(rows=3, length=12):
    return torch.randint(SYMBOLS, (rows, length), generator=torch.Generator().manual_seed(0))


def test_a_layer_is_torchs():
    torch.manual_seed(0)
    layer, oracle = LSTMLayer(4, 6).double(), nn.LSTM(4, 6, batch_first=True).double()
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(layer.from_input.weight)
        oracle.bias_ih_l0.copy_(layer.from_input.bias)
        oracle.weight_hh_l0.copy_(layer.from_state.weight)
        oracle.bias_hh_l0.zero_()
    inputs, state = torch.randn(3, 5, 4).double(), (torch.randn(3, 6).double(), torch.randn(3, 6).double())
    outputs, (output, cell) = layer(inputs, state)
    expected, (last_output, last_cell) = oracle(inputs, tuple(part[None] for part in state))
    for ours, theirs in ((outputs, expected), (output, last_output[0]), (cell, last_cell[0])):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layers", [1, 2])
def test_windows_with_carried_state_are_one_long_pass(layers):
    model, sequence = build(layers=layers), symbols()
    whole, end = model(sequence)
    first, state = model(sequence[:, :5])
    second, state = model(sequence[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-14)
    for ours, expected in zip(itertools.chain(*state), itertools.chain(*end), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-14)


def test_logits_depend_on_every_earlier_symbol_and_no_later_one():
    model, sequence = build(), symbols(1)
    for position in range(sequence.shape[1]):
        changed = sequence.clone()
        changed[:, position] = (changed[:, position] + 1) % SYMBOLS
        difference = (model(changed)[0] - model(sequence)[0]).abs().amax(dim=(0, 2))
        assert (difference[:position] == 0).all()
        assert (difference[position:] > 0).all()


@pytest.mark.parametrize("layers", [1, 3])
def test_gradient_to_every_parameter_and_their_number(layers):
    model, width = build(layers=layers), 6
    model(symbols())[0].square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    expected = SYMBOLS * (width + 1) + layers * (8 * width**2 + 4 * width)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_it_can_be_differentiated_twice():
    model, sequence = build(layers=1), symbols(1, 4)
    weights = dict(model.named_parameters())

    def loss(*values):
        return torch.func.functional_call(model, dict(zip(weights, values, strict=True)), (sequence,))[0].square().sum()

    assert torch.autograd.gradgradcheck(loss, tuple(weights.values()), atol=1e-6)


def test_dropout_acts_in_training_only():
    model, sequence = build(dropout=0.5), symbols()
    assert not torch.equal(model(sequence)[0], model(sequence)[0])
    model.eval()
    assert torch.equal(model(sequence)[0], model(sequence)[0])
    assert torch.equal(model(sequence)[0], build().eval()(sequence)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "lstm: width=0 must be a positive integer"),
        ({"layers": 1.5}, "lstm: layers=1.5 must be a positive integer"),
        ({"dropout": 1.0}, "lstm: dropout=1.0 must be at least 0 and below 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        lstm(DATA, **options)


def test_evaluation_leaves_the_state_of_training_alone():
    overrides = ["model.width=8", "model.dropout=0.5", "batch_size=4", "data.fake=true"]
    task = tasks.find("ptb").spec(overrides)
    adam = optimizers.find("adam").resolve(OptimSpec("adam"))

    def losses(evaluate):
        training = Training(RunSpec(task, adam, 0), "cpu", Path())
        for inputs, targets in itertools.islice(training.batches(), 3):
            yield training.step(inputs, targets).item()
            if evaluate:
                training.evaluate("val")

    assert list(losses(evaluate=True)) == list(losses(evaluate=False))
