"""Linear and fully connected models on vectors; inputs with more axes are flattened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from lehi_cli.data.dataset import Dataset

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


def linear(dataset: Dataset, bias: bool = True) -> nn.Module:
    """One affine map, [N, ...] -> [N, outputs]: linear, logistic or softmax regression, depending on the loss."""
    return nn.Sequential(nn.Flatten(), nn.Linear(_inputs(dataset), dataset.outputs, bias=bias))


def mlp(dataset: Dataset, hidden: int | Sequence[int] = (128, 128), activation: str = "relu") -> nn.Module:
    """Affine maps with `activation` between them, [N, ...] -> [N, outputs].

    Args:
        dataset: gives the widths of input and output.
        hidden: widths of the hidden layers; a single number makes one layer.
        activation: relu, gelu, tanh or silu.

    Raises:
        ValueError: `hidden` holds anything but positive integers, or `activation` is unknown.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"mlp: activation={activation!r} must be one of {', '.join(ACTIVATIONS)}")
    widths = [_inputs(dataset), *_hidden_widths(hidden)]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], dataset.outputs))


def _inputs(dataset: Dataset) -> int:
    return math.prod(dataset.splits["train"].inputs.shape[1:])


def _hidden_widths(hidden: int | Sequence[int]) -> list[int]:
    widths: list[Any] = list(hidden) if isinstance(hidden, list | tuple) else [hidden]
    if not widths or any(type(width) is not int or width < 1 for width in widths):
        raise ValueError(f"mlp: hidden={hidden!r} must be one or more positive integers")
    return widths
