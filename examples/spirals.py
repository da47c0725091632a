"""A task of your own in Python: data and a model that no configuration could say.

lehi tasks check examples/spirals.py
lehi compare --task examples/spirals.py --optims lehi,adam
"""

import math

import torch
from torch import nn

from lehi_cli.data.dataset import Dataset, Split, checksum


def spirals(rows=600, turns=1.5):
    """Points [N, 2] on three arms of a spiral, and the arm of each [N]; the same on every call."""
    generator = torch.Generator().manual_seed(0)
    arm = torch.randint(3, (2 * rows,), generator=generator)
    radius = torch.rand(2 * rows, generator=generator).sqrt()
    angle = 2 * math.pi * (turns * radius + arm / 3) + 0.2 * torch.randn(2 * rows, generator=generator)
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    sizes = [rows, rows // 2, rows // 2]
    parts = zip(points.split(sizes), arm.split(sizes), strict=True)
    splits = {name: Split(*part) for name, part in zip(("train", "val", "test"), parts, strict=True)}
    return Dataset(splits, outputs=3, checksum=checksum([points.numpy(), arm.numpy()]))


class Sine(nn.Module):
    """sin(w x): an activation that bends as spirals do."""

    def __init__(self, frequency):
        super().__init__()
        self.frequency = frequency

    def forward(self, inputs):
        """Elementwise, any shape."""
        return (self.frequency * inputs).sin()


def net(dataset, width=64, frequency=10.0):
    """From points [N, 2] to outputs [N, 3]; `--set model.width=32` changes an option."""
    return nn.Sequential(nn.Linear(2, width), Sine(frequency), nn.Linear(width, dataset.outputs))


TASK = {
    "name": "spirals",
    "summary": "which of three arms of a spiral a point lies on",
    "data": {"source": ":spirals"},
    "model": {"kind": ":net", "width": 64},
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "batch_size": 50,
    "budget": {"epochs": 40},
    "schedule": {"kind": "cosine"},
    "evaluations": 10,
    "threads": 1,
}
