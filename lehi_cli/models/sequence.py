"""Next-symbol models, [N, T] symbols -> [N, T, q] logits; position t sees the symbols up to and including t."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from lehi_cli.data.dataset import Dataset


def gru(dataset: Dataset, embedding: int = 32, hidden: int = 64, layers: int = 1) -> nn.Module:
    """A gated recurrent network over embedded symbols.

    Raises:
        ValueError: a size is not a positive integer, or the dataset does not hold sequences of symbols.
    """
    _check_sizes("gru", embedding=embedding, hidden=hidden, layers=layers)
    _sequence_length("gru", dataset)
    return GRU(dataset.outputs, embedding, hidden, layers)


def transformer(dataset: Dataset, width: int = 64, heads: int = 4, layers: int = 2) -> nn.Module:
    """A causal pre-norm transformer with learned positions, without dropout.

    Raises:
        ValueError: a size is not a positive integer, `heads` does not divide `width`, or the dataset does not hold
            sequences of symbols.
    """
    _check_sizes("transformer", width=width, heads=heads, layers=layers)
    if width % heads:
        raise ValueError(f"transformer: heads={heads!r} must divide width={width!r}")
    return Transformer(dataset.outputs, _sequence_length("transformer", dataset), width, heads, layers)


class GRU(nn.Module):
    """Embedding, `layers` recurrent layers, linear read-out."""

    def __init__(self, symbols: int, embedding: int, hidden: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding)
        self.layers = nn.Sequential(*(GRULayer(hidden if layer else embedding, hidden) for layer in range(layers)))
        self.readout = nn.Linear(hidden, symbols)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits [N, T, q] of the symbols that follow `symbols` [N, T]."""
        return self.readout(self.layers(self.embedding(symbols)))


class GRULayer(nn.Module):
    """The map of `nn.GRU(fan_in, hidden)`, [N, T, fan_in] -> [N, T, hidden], written out.

    The fused recurrence of cuDNN cannot be differentiated twice and `nn.GRU` cannot be vectorised by `torch.func.vmap`;
    this one can, at about the same speed on a CPU.
    """

    def __init__(self, fan_in: int, hidden: int):
        super().__init__()
        self.from_input = nn.Linear(fan_in, 3 * hidden)
        self.from_state = nn.Linear(hidden, 3 * hidden)

    def forward(self, inputs: Tensor) -> Tensor:
        """States [N, T, hidden] after each of `inputs` [N, T, fan_in], from a state of zero."""
        state = inputs.new_zeros(len(inputs), self.from_state.in_features)
        states = []
        for projected in self.from_input(inputs).unbind(1):
            reset_x, update_x, new_x = projected.chunk(3, dim=-1)
            reset_h, update_h, new_h = self.from_state(state).chunk(3, dim=-1)
            proposal = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            state = torch.lerp(proposal, state, torch.sigmoid(update_x + update_h))
            states.append(state)
        return torch.stack(states, dim=1)


class Transformer(nn.Module):
    """Symbol plus position embedding, `layers` blocks, linear read-out of the normalised stream."""

    def __init__(self, symbols: int, length: int, width: int, heads: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.positions = nn.Parameter(torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, symbols)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits [N, T, q] of the symbols that follow `symbols` [N, T]."""
        stream = self.embedding(symbols) + self.positions[: symbols.shape[1]]
        return self.readout(self.norm(self.blocks(stream)))


class Block(nn.Module):
    """Causal self-attention, then a two-layer perceptron, each added to the stream [N, T, width]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width, bias=False)  # a key bias would cancel in the softmax
        self.merge = nn.Linear(width, width)
        self.norm_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, stream: Tensor) -> Tensor:
        """The stream with both contributions added."""
        stream = stream + self.attention(self.norm_attention(stream))
        return stream + self.perceptron(self.norm_perceptron(stream))

    def attention(self, stream: Tensor) -> Tensor:
        """What each position gathers from itself and the positions before it."""
        query, key, value = self.project(stream).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # the fused kernels cannot be differentiated twice, which Hessian-vector products need
        with sdpa_kernel(SDPBackend.MATH):
            gathered = scaled_dot_product_attention(query, key, value, is_causal=True)  # [N, heads, T, width / heads]
        return self.merge(gathered.transpose(1, 2).flatten(-2))


def _check_sizes(model: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ValueError(f"{model}: {name}={size!r} must be a positive integer")


def _sequence_length(model: str, dataset: Dataset) -> int:
    inputs = dataset.splits["train"].inputs
    if inputs.ndim != 2 or inputs.is_floating_point():
        found = f"{inputs.dtype} of shape {list(inputs.shape)}"
        raise ValueError(f"{model}: inputs are {found} but must be sequences of symbols, integers of shape [N, T]")
    return inputs.shape[1]
