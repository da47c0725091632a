"""The deep autoencoder of Hinton and Salakhutdinov, "Reducing the Dimensionality of Data", Science 313 (2006)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lehi_cli.data.dataset import Dataset
from lehi_cli.models.mlp import ACTIVATIONS


def autoencoder(
    dataset: Dataset, hidden: Sequence[int] = (1000, 500, 250), code: int = 30, activation: str = "tanh"
) -> nn.Module:
    """An encoder through `hidden` down to `code`, and its mirror image back, [N, ...] -> [N, outputs] logits.

    The code layer is linear, as published. The paper's logistic units need its layer-by-layer pretraining; tanh, the
    same curve centred on zero and just as smooth, trains from Glorot's weights, which are used here with zero biases.

    Args:
        dataset: gives the widths of input and output.
        hidden: widths of the encoder's hidden layers.
        code: width of the code.
        activation: sigmoid (as published), tanh, relu, gelu or silu.

    Raises:
        ValueError: a width is not a positive integer, or `activation` is unknown.
    """
    activations = {"sigmoid": nn.Sigmoid, **ACTIVATIONS}
    if activation not in activations:
        raise ValueError(f"autoencoder: activation={activation!r} must be one of {', '.join(activations)}")
    if any(type(width) is not int or width < 1 for width in (*hidden, code)):
        raise ValueError(f"autoencoder: hidden={hidden!r}, code={code!r} must be positive integers")
    widths = [dataset.splits["train"].inputs[0].numel(), *hidden, code, *reversed(hidden), dataset.outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    for position, (fan_in, fan_out) in enumerate(pairwise(widths)):
        if position not in (0, len(hidden) + 1):  # no activation after the input or the code
            layers.append(activations[activation]())
        layer = nn.Linear(fan_in, fan_out)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
    return nn.Sequential(*layers)
