"""The overhead of the training loop, against a hand-written loop with the same model, batch and optimizer.

    python benchmarks/bench_loop.py

Both read uint8 images from memory, gather batches by a random permutation, convert, standardise, and step with Adam.
Images are synthetic, in the shape and number of the training images of MNIST and CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from measure import ratios, save, seconds_in_turn, show
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lehi_cli.data.dataset import Split
from lehi_cli.experiment.plan import plan
from lehi_cli.experiment.request import Request
from lehi_cli.runs.specs import Budget, OptimSpec
from lehi_cli.training.loop import Training

CASES = {"mnist": ("mnist", "mlp", 100, 128, 21), "cifar10 resnet18": ("cifar10", "resnet18", 2, 32, 9)}


def many(split: Split, rows: int) -> Split:
    """The split repeated until it has `rows` rows."""
    times = -(-rows // len(split))
    return Split(split.inputs.repeat(times, *[1] * (split.inputs.ndim - 1))[:rows], split.targets.repeat(times)[:rows])


def by_lehi(training: Training, steps: int) -> Callable[[], None]:
    """`steps` steps of the loop that `lehi` runs."""
    batches = training.batches()

    def run() -> None:
        for _ in range(steps):
            training.step(*next(batches))

    return run


def by_hand(model: nn.Module, split: Split, prepare: Callable[..., tuple[Tensor, Tensor]], batch: int, steps: int,
            augment: Callable[..., Tensor] | None) -> Callable[[], None]:  # fmt: skip
    """`steps` steps as one would write them for this model alone."""
    optimizer = torch.optim.Adam(model.parameters())
    generator = torch.Generator().manual_seed(0)

    def run() -> None:
        order = torch.randperm(len(split), generator=generator)
        for i in range(steps):
            rows = order[i * batch : (i + 1) * batch]
            inputs = split.inputs[rows]
            if augment is not None:
                inputs = augment(inputs, generator)
            inputs, targets = prepare(inputs, split.targets[rows].long())
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    """Measure both cases."""
    torch.set_num_threads(1)
    results = {}
    for name, (task, kind, steps, batch, rounds) in CASES.items():
        request = Request([task], [OptimSpec("adam")], [0], [f"batch_size={batch}"], Budget("steps", 10**6), fake=True)
        (run,) = plan(request)
        ours, theirs = (Training(run, "cpu", Path()) for _ in range(2))
        data = ours.data
        split = many(data.splits["train"], 45_000)
        object.__setattr__(ours.reader, "split", split)
        assert data.prepare is not None
        actions = {
            "by hand": by_hand(theirs.model, split, data.prepare, batch, steps, data.augment),
            "lehi": by_lehi(ours, steps),
        }
        summary = ratios(seconds_in_turn(actions, rounds), "by hand")
        show(f"{steps} steps of {name} ({kind}), batch {batch}", summary, "by hand")
        results[name] = summary
    save("loop", {"cases": results})


if __name__ == "__main__":
    main()
