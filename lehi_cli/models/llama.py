"""A decoder in the style of Llama (Touvron et al. 2023): RMSNorm, rotary positions, SwiGLU, no biases.

Rotary positions (Su et al. 2021) turn each pair of query and key coordinates by an angle proportional to the position,
so their products depend on the distance alone. There is no table of positions, and any sequence length works.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention, silu

from lehi_cli.data.dataset import Dataset

INIT_STD = 0.02
EPS = 1e-5  # of the normalisations


def llama(
    dataset: Dataset,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    hidden: int | None = None,
    tied: bool = False,
    theta: float = 10_000.0,
) -> nn.Module:
    """A causal decoder over the symbols of `dataset`.

    Args:
        dataset: symbols in, symbols out; windows or one long sequence.
        width: width of the stream.
        layers: number of blocks of attention and perceptron.
        heads: number of attention heads, each `width / heads` wide, an even number.
        hidden: width of the perceptron; by default 8/3 `width`, rounded up to a multiple of 8.
        tied: use one matrix for embedding and read-out.
        theta: the slowest pair of coordinates turns by about 1 / theta per position.

    Raises:
        ValueError: an option is out of range.
    """
    hidden = 8 * math.ceil(width / 3) if hidden is None else hidden
    for name, size in (("width", width), ("layers", layers), ("heads", heads), ("hidden", hidden)):
        if type(size) is not int or size < 1:
            raise ValueError(f"llama: {name}={size!r} must be a positive integer")
    if width % (2 * heads):
        raise ValueError(f"llama: width={width!r} must be a multiple of 2 heads, heads={heads!r}")
    if theta <= 1:
        raise ValueError(f"llama: theta={theta!r} must be above 1")
    return Llama(dataset.outputs, width, layers, heads, hidden, tied, theta)


class Llama(nn.Module):
    """Embedding, `layers` blocks, linear read-out of the normalised stream."""

    def __init__(self, symbols: int, width: int, layers: int, heads: int, hidden: int, tied: bool, theta: float):
        super().__init__()
        self.head_width, self.theta = width // heads, theta
        self.embedding = nn.Embedding(symbols, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=EPS)
        self.readout = None if tied else nn.Linear(width, symbols, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # The 2 layers contributions to the stream start small enough to keep its variance.
                std = INIT_STD / math.sqrt(2 * layers) if name.endswith(("merge.weight", "down.weight")) else INIT_STD
                nn.init.normal_(weight, std=std)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits [N, T, q] of the symbols that follow `symbols` [N, T]."""
        stream = self.embedding(symbols)
        turns = rotations(symbols.shape[1], self.head_width, self.theta, stream)
        for block in self.blocks:
            stream = block(stream, turns)
        stream = self.norm(stream)
        return linear(stream, self.embedding.weight) if self.readout is None else self.readout(stream)


class Block(nn.Module):
    """Causal self-attention, then a gated perceptron, each added to the stream [N, T, width]."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.RMSNorm(width, eps=EPS)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.norm_perceptron = nn.RMSNorm(width, eps=EPS)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, stream: Tensor, turns: Tensor) -> Tensor:
        """The stream with both contributions added; `turns` come from `rotations`."""
        stream = stream + self.attention(self.norm_attention(stream), turns)
        inner = self.norm_perceptron(stream)
        return stream + self.down(silu(self.gate(inner)) * self.up(inner))

    def attention(self, stream: Tensor, turns: Tensor) -> Tensor:
        """What each position gathers from itself and the positions before it."""
        query, key, value = self.project(stream).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # the fused kernels cannot be differentiated twice, which Hessian-vector products need
        with sdpa_kernel(SDPBackend.MATH):
            gathered = scaled_dot_product_attention(rotated(query, turns), rotated(key, turns), value, is_causal=True)
        return self.merge(gathered.transpose(1, 2).flatten(-2))


def rotations(length: int, width: int, theta: float, like: Tensor) -> Tensor:
    """Cosines and sines [2, length, width / 2] of the angles t theta^(-2i / width), in the dtype of `like`."""
    speeds = theta ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angles = torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * speeds
    return torch.stack([angles.cos(), angles.sin()]).to(like.dtype)


def rotated(vectors: Tensor, turns: Tensor) -> Tensor:
    """`vectors` [..., T, width], with coordinates i and i + width / 2 of each turned by angle i of its position."""
    (first, second), (cos, sin) = vectors.chunk(2, dim=-1), turns
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
