"""Recurrent classification of whole sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lehi_cli.data.dataset import Dataset


def lstm_classifier(dataset: Dataset, hidden: int = 64, layers: int = 3) -> nn.Module:
    """`layers` LSTM layers and an affine map of the last layer's final state, [N, T, d] -> [N, outputs].

    Raises:
        ValueError: a size is not a positive integer, or the prepared inputs are not sequences of vectors.
    """
    if any(type(size) is not int or size < 1 for size in (hidden, layers)):
        raise ValueError(f"lstm_classifier: hidden={hidden!r}, layers={layers!r} must be positive integers")
    return LSTMClassifier(_features(dataset), hidden, layers, dataset.outputs)


class LSTMClassifier(nn.Module):
    """PyTorch's LSTM and a linear read-out.

    On a CPU it can be differentiated twice. cuDNN's recurrence, which takes its place on a GPU, cannot: optimizers
    that use Hessian-vector products, and `torch.func.vmap` on any device, need a written-out recurrence like
    `lehi_cli.models.sequence.GRU`.
    """

    def __init__(self, features: int, hidden: int, layers: int, outputs: int):
        super().__init__()
        self.recurrence = nn.LSTM(features, hidden, layers, batch_first=True)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, sequences: Tensor) -> Tensor:
        """Outputs [N, q] after the last of `sequences` [N, T, d]."""
        states, _ = self.recurrence(sequences)
        return self.readout(states[:, -1])


def _features(dataset: Dataset) -> int:
    """Width d of one element of a sequence, after `prepare`."""
    first = dataset.splits["train"]
    inputs, targets = first.inputs[:1], first.targets[:1]
    if dataset.prepare is not None:
        with torch.no_grad():
            inputs, _ = dataset.prepare(inputs, targets)
    if inputs.ndim != 3:
        raise ValueError(f"lstm_classifier: inputs have shape {list(inputs.shape)} but must be sequences, [N, T, d]")
    return inputs.shape[-1]
