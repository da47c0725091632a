"""The data and the model of this example's task."""

import torch
from torch import nn

from lehi_cli.data.dataset import Dataset, Split, checksum


def rings(rows=1024):
    """Points in the plane, and which of three rings around the origin each lies in; the same on every call."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2 * rows, 2, generator=generator)
    ring = torch.bucketize(points.norm(dim=1), torch.tensor([0.8, 1.6]))
    sizes = [rows, rows // 2, rows // 2]
    parts = zip(points.split(sizes), ring.split(sizes), strict=True)
    splits = {name: Split(*part) for name, part in zip(("train", "val", "test"), parts, strict=True)}
    return Dataset(splits, outputs=3, checksum=checksum([points.numpy(), ring.numpy()]))


def net(dataset, width=32):
    """A net with one hidden layer, from points [N, 2] to outputs [N, 3]."""
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, dataset.outputs))
