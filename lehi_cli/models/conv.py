"""A small convolutional network for images [N, C, H, W]."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lehi_cli.data.dataset import Dataset
from lehi_cli.models.mlp import ACTIVATIONS


def cnn(dataset: Dataset, channels: Sequence[int] = (32, 64), hidden: int = 128, activation: str = "relu") -> nn.Module:
    """Blocks of 3 x 3 convolution, `activation` and 2 x 2 max pooling, a hidden layer, [N, C, H, W] -> [N, outputs].

    Args:
        dataset: gives the channels and size of the images, and the width of the output.
        channels: channels after each block; each block halves height and width.
        hidden: width of the hidden layer.
        activation: relu, gelu, tanh or silu.

    Raises:
        ValueError: a width is not a positive integer, `activation` is unknown, or the inputs are not images large
            enough to be halved by every block.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"cnn: activation={activation!r} must be one of {', '.join(ACTIVATIONS)}")
    if not channels or any(type(width) is not int or width < 1 for width in (*channels, hidden)):
        raise ValueError(f"cnn: channels={channels!r}, hidden={hidden!r} must be positive integers")
    depth, height, width = image_shape("cnn", dataset)
    rows, columns = (side >> len(channels) for side in (height, width))
    if not (rows and columns):
        raise ValueError(f"cnn: images of {height} x {width} pixels cannot be halved {len(channels)} times")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((depth, *channels)):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), ACTIVATIONS[activation](), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(channels[-1] * rows * columns, hidden), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(hidden, dataset.outputs))


def image_shape(model: str, dataset: Dataset) -> tuple[int, int, int]:
    """Channels, height and width of the inputs.

    Raises:
        ValueError: when they are not images.
    """
    shape = dataset.splits["train"].inputs.shape
    if len(shape) != 4:
        raise ValueError(f"{model}: inputs have shape {list(shape)} but must be images, [N, C, H, W]")
    _, channels, height, width = shape
    return channels, height, width
