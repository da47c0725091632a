"""An LSTM that carries its state from one window of a long sequence to the next."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lehi_cli.data.dataset import Dataset

LayerState = tuple[Tensor, Tensor]


def lstm(dataset: Dataset, width: int = 200, layers: int = 2, dropout: float = 0.0) -> nn.Module:
    """Word-level language model with one matrix for embedding and read-out (Zaremba et al. 2014; Press & Wolf 2017).

    Args:
        dataset: symbols in, symbols out.
        width: width of the embedding and of every layer.
        layers: number of stacked layers.
        dropout: fraction of each layer's inputs, and of the read-out's, that is zeroed in training.

    Raises:
        ValueError: an option is out of range.
    """
    for name, size in (("width", width), ("layers", layers)):
        if type(size) is not int or size < 1:
            raise ValueError(f"lstm: {name}={size!r} must be a positive integer")
    if not 0 <= dropout < 1:
        raise ValueError(f"lstm: dropout={dropout!r} must be at least 0 and below 1")
    return LSTM(dataset.outputs, width, layers, dropout)


class LSTM(nn.Module):
    """Embedding, `layers` recurrent layers, read-out by the transposed embedding."""

    def __init__(self, symbols: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)  # as a read-out, N(0, 1) would start far too confident
        self.layers = nn.ModuleList(LSTMLayer(width, width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(
        self, symbols: Tensor, state: tuple[LayerState, ...] | None = None
    ) -> tuple[Tensor, tuple[LayerState, ...]]:
        """Logits [B, T, q] of the symbols that follow `symbols` [B, T], and the state after the last of them.

        The state is one pair ([B, width], [B, width]) per layer; if not given, it is zero.
        """
        stream = self.embedding(symbols)
        if state is None:
            zero = stream.new_zeros(len(symbols), self.embedding.embedding_dim)
            state = ((zero, zero),) * len(self.layers)
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            stream, after = layer(self.dropout(stream), before)
            states.append(after)
        return linear(self.dropout(stream), self.embedding.weight, self.bias), tuple(states)


class LSTMLayer(nn.Module):
    """The map of `nn.LSTM(fan_in, hidden)`, written out so that it can be differentiated twice and vectorised.

    c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), with (i, f, g, o) linear in input and h. The
    forget gate starts half open: the common bias of 1 lets c grow without bound where the state is carried on.
    """

    def __init__(self, fan_in: int, hidden: int):
        super().__init__()
        self.from_input = nn.Linear(fan_in, 4 * hidden)
        self.from_state = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Outputs [B, T, hidden] after each of `inputs` [B, T, fan_in], and the state (h, c) after the last."""
        output, cell = state
        outputs = []
        for projected in self.from_input(inputs).unbind(1):
            enter, keep, proposal, leave = (projected + self.from_state(output)).chunk(4, dim=-1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(proposal)
            output = torch.sigmoid(leave) * torch.tanh(cell)
            outputs.append(output)
        return torch.stack(outputs, dim=1), (output, cell)
