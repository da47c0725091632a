"""Small networks in float64, one per architecture whose curvature is checked. Outputs are [N, 3] or [N, T, 3]."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.lstm(inputs)[0])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(inputs + self.attention(inputs, inputs, inputs, need_weights=False)[0]))


@dataclass(frozen=True)
class Net:
    build: Callable[[], nn.Module]
    inputs: tuple[int, ...]  # shape of one sample
    positions: int = 1  # predictions per sample
    curvlinops: bool = True  # False: no forward-mode rule for one of its layers


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))


def _norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3))


NETS = {
    "mlp": Net(_mlp, (4,)),
    "conv": Net(_conv, (1, 6, 6)),
    "layernorm_gelu": Net(_norm, (4,)),
    "lstm": Net(Recurrent, (2, 3), positions=2, curvlinops=False),
    "attention": Net(Attention, (2, 4), positions=2),
}


def make(name: str, samples: int, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network and a batch of inputs."""
    net = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return net.build().double(), torch.randn(samples, *net.inputs, dtype=torch.float64)
