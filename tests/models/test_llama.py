"""The Llama decoder: rotary positions, normalisation, causality, size."""

import pytest
import torch
from torch import nn

from lehi_cli.data import fake
from lehi_cli.models.llama import llama, rotated, rotations

SYMBOLS = 11
DATA = fake.text(SYMBOLS, 8)()
SMALL = {"width": 8, "layers": 2, "heads": 2}


def build(**options):
    torch.manual_seed(0)
    model = llama(DATA, **{**SMALL, **options}).double()
    for parameter in model.parameters():  # the small initial weights would hide what is to be seen
        nn.init.normal_(parameter, std=0.5)
    return model


def symbols(rows=2, length=9):
    return torch.randint(SYMBOLS, (rows, length), generator=torch.Generator().manual_seed(0))


def test_logits_depend_on_every_earlier_symbol_and_no_later_one():
    model, sequence = build(), symbols(1)
    for position in range(sequence.shape[1]):
        changed = sequence.clone()
        changed[:, position] = (changed[:, position] + 1) % SYMBOLS
        difference = (model(changed) - model(sequence)).abs().amax(dim=(0, 2))
        assert (difference[:position] == 0).all()
        assert (difference[position:] > 1e-9).all()


def test_the_order_of_earlier_symbols_matters():
    model, sequence = build(layers=1), symbols(1)
    swapped = sequence[:, [1, 0, *range(2, sequence.shape[1])]]
    assert (model(swapped)[:, -1] - model(sequence)[:, -1]).abs().max() > 1e-6


def test_rotation_keeps_lengths_and_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(2, 6, dtype=torch.float64)
    turns = rotations(12, 6, 100.0, query)
    queries, keys = (rotated(vector.expand(12, 6), turns) for vector in (query, key))
    torch.testing.assert_close(queries.norm(dim=-1), query.norm().expand(12))
    torch.testing.assert_close(queries[0], query)
    products = queries @ keys.T  # [position of the query, position of the key]
    for distance in range(-11, 12):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-6)
    assert products[0].std() > 1e-2


def test_angles_follow_the_formula():
    cos, sin = rotations(5, 4, 100.0, torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(cos[3], torch.tensor([3.0, 0.3]).cos().double())
    torch.testing.assert_close(sin[3], torch.tensor([3.0, 0.3]).sin().double())


def test_norms_set_the_mean_square_to_one_and_ignore_scale():
    norm = build().norm
    with torch.no_grad():
        norm.weight.fill_(1)
    stream = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(norm(stream).square().mean(-1), torch.ones(4).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(norm(100 * stream), norm(stream), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("hidden", [None, 5])
def test_gradient_to_every_parameter_and_their_number(tied, hidden):
    model = build(tied=tied, hidden=hidden)
    model(symbols()).square().sum().backward()
    assert all(parameter.grad.abs().max() > 1e-6 for parameter in model.parameters())
    width, layers, inner = 8, 2, hidden or 24
    blocks = layers * (4 * width**2 + 3 * width * inner + 2 * width)
    expected = (1 if tied else 2) * SYMBOLS * width + blocks + width
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_it_starts_near_indifference():
    torch.manual_seed(0)
    logits = llama(DATA)(symbols())
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), symbols().flatten())
    assert loss.item() == pytest.approx(torch.tensor(SYMBOLS).log().item(), abs=0.1)


def test_it_can_be_differentiated_twice_and_vectorised():
    model, sequence = build(layers=1, width=4), symbols(1, 4)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def outputs(weights):
        return torch.func.functional_call(model, weights, (sequence,))

    def loss(*values):
        return outputs(dict(zip(weights, values, strict=True))).square().sum()

    assert torch.autograd.gradgradcheck(loss, tuple(w.clone().requires_grad_() for w in weights.values()), atol=1e-4)
    stacked = {name: torch.stack([weight, 2 * weight]) for name, weight in weights.items()}
    torch.testing.assert_close(torch.func.vmap(outputs)(stacked)[0], outputs(weights))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "llama: width=0 must be a positive integer"),
        ({"layers": True}, "llama: layers=True must be a positive integer"),
        ({"hidden": -1}, "llama: hidden=-1 must be a positive integer"),
        ({"heads": 3}, "llama: width=8 must be a multiple of 2 heads, heads=3"),
        ({"heads": 8}, "llama: width=8 must be a multiple of 2 heads, heads=8"),
        ({"theta": 1.0}, "llama: theta=1.0 must be above 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        llama(DATA, **{**SMALL, **options})
