"""The starting files that `lehi tasks new` writes: they run as they are, and comment what a contributor changes."""

from __future__ import annotations

YAML = """\
# A task: what is trained on what, for how long, and how it is judged.
#   lehi tasks check {file}
#   lehi compare --task {file} --optims lehi,adam
name: {name}
summary: one line on what is learnt from what

# Where the data comes from. csv: a table with a header; the path is relative to the data folder, or absolute.
# Others: text (any text file), imagefolder (a folder of images per class), or a source with its name, such as digits.
data: {{source: digits}}

# mlp, linear, cnn, resnet18, gru, lstm, transformer, ... with their options
model: {{kind: mlp, hidden: [64, 64], activation: relu}}
# --set model=linear picks a variant
variants: {{model: {{linear: {{kind: linear}}}}}}

loss: cross_entropy  # cross_entropy | bce | mse | huber | smooth_l1 | nll | poisson_nll | gaussian_nll
metrics: [accuracy]  # accuracy | mae | rmse | perplexity
batch_size: 64
budget: {{epochs: 10}}  # exactly one of epochs, steps, passes, seconds
schedule: {{kind: cosine, warmup: 0.0}}  # constant | linear | cosine; warmup is a fraction of the budget
evaluations: 10  # evaluations on the validation split, spread evenly over the budget
threads: 1  # torch threads per run: 1 for small models; leave it out for large ones
"""

PYTHON = '''\
"""A task of your own.

    lehi tasks check {file}
    lehi compare --task {file} --optims lehi,adam
"""

import torch
from torch import nn

from lehi_cli.data.dataset import Dataset, Split, checksum


def make_data(rows=1024):
    """Three fixed splits in memory; the same on every call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2 * rows, 4, generator=generator)
    targets = (inputs.norm(dim=1) > 1.8).long()
    parts = zip(inputs.split([rows, rows // 2, rows // 2]), targets.split([rows, rows // 2, rows // 2]))
    splits = {{name: Split(*part) for name, part in zip(("train", "val", "test"), parts)}}
    return Dataset(splits, outputs=2, checksum=checksum([inputs.numpy(), targets.numpy()]))


def make_model(dataset, width=64):
    """A module from inputs [N, 4] to outputs [N, dataset.outputs]; its weights come from torch's global generator."""
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, dataset.outputs))


TASK = {{
    "name": "{name}",
    "summary": "whether a point lies outside a ball",
    "data": {{"source": ":make_data"}},  # a function of this file, or a name such as digits
    "model": {{"kind": ":make_model", "width": 64}},
    "loss": "cross_entropy",  # a name, {{"kind": "huber", "delta": 0.5}}, or ":my_loss" for a CustomLoss of this file
    "metrics": ["accuracy"],
    "batch_size": 64,
    "budget": {{"epochs": 30}},  # exactly one of epochs, steps, passes, seconds
    "schedule": {{"kind": "cosine"}},
    "evaluations": 10,
    "threads": 1,
}}
'''
