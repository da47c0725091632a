"""The files that `lehi tasks new` and `lehi optims new` write: they run as they are; comments say what to change."""

from __future__ import annotations

from pathlib import Path

from lehi_cli.errors import UsageError


def write(name: str, suffix: str, content: str, kind: str) -> Path:
    """Write a starter file, named after its task or optimizer, into the working folder; it never overwrites a file.

    Raises:
        UsageError: when `name` cannot name a file and its content, or the file exists or cannot be written.
    """
    if not name.isidentifier():
        article = "an" if kind[0] in "aeiou" else "a"
        hint = f"letters, digits and underscores, for example my_{kind}"
        raise UsageError(f"{name!r} cannot be the name of {article} {kind}", hint)
    path = Path(f"{name}{suffix}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content.format(name=name, file=path))
    except FileExistsError:
        raise UsageError(f"{path} already exists", "choose another name, or remove it first") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another folder") from error
    return path


YAML = """\
# A task: what is trained on what, for how long, and how it is judged.
#   lehi tasks check {file}
#   lehi compare --task {file} --optims lehi,adam
name: {name}
summary: one line on what is learnt from what

# Where the data comes from. csv: a table with a header; its path is absolute, or relative to the folder of this file,
# to the working folder or to the data folder.
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

OPTIMIZER = '''\
"""An optimizer of your own.

    lehi optims check {file}
    lehi compare --task digits --optims {file},adam
"""

import torch

from lehi_cli.registry.optimizers import Option, OptimizerRecord


class Momentum(torch.optim.Optimizer):
    """Gradient descent with momentum: m <- momentum m + g, w <- w - lr m."""

    def __init__(self, params, lr, momentum):
        super().__init__(params, {{"lr": lr, "momentum": momentum}})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:  # frozen, or the loss does not depend on it
                    continue
                if p.grad.is_sparse:
                    raise RuntimeError("sparse gradients are not supported")
                state = self.state[p]  # what is kept here is saved and loaded by state_dict; attributes are not
                if not state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(group["momentum"]).add_(p.grad)
                p.add_(state["m"], alpha=-group["lr"])  # from the group: a schedule changes it at every step


OPTIMIZERS = [
    OptimizerRecord(
        "{name}",
        "gradient descent with momentum",
        ":Momentum",  # a name in this file, or module:name
        (
            # name, default (its type is the option's), meaning, and the interval it must lie in
            Option("lr", 0.01, "learning rate", within="[0, inf)"),
            Option("momentum", 0.9, "fraction of the last step that is repeated", within="[0, 1)"),
        ),
        # What the training loop calls. gradient: loss.backward(), step(). closure: step(closure). loss: step(loss).
        # curvature: backward(outputs, targets), step(). differentiable: step(), gradients have a graph.
        # whole: step(part).
        kind="gradient",
        passes="1",  # gradients per step: forward 1/3, backward 2/3
        state="1",  # numbers kept per parameter
        space={{"lr": "1e-4..1/log", "momentum": "0.5,0.9,0.99"}},  # where --tune and sweeps look
    )
]
'''
