"""Training input alone: batches from memory against torchvision's transforms behind a DataLoader, for CIFAR-10's shape.

    python benchmarks/bench_input.py

Both crop, flip and standardise 32 x 32 images and hand out shuffled batches of 128, on one thread; the DataLoader also
with two worker processes. Images are synthetic. A round is 40 batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from measure import ratios, save, seconds_in_turn, show
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from lehi_cli.data.batches import Rows
from lehi_cli.data.dataset import Split
from lehi_cli.data.vision import CIFAR10_PIXELS, crop_and_flip

IMAGES, BATCH, BATCHES, ROUNDS = 50_000, 128, 40, 9


class Transformed(Dataset[tuple[Tensor, int]]):
    """Images transformed one by one, as torchvision's data sets do it."""

    def __init__(self, split: Split):
        self.split = split
        self.transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
            ]
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.split.inputs[row]), int(self.split.targets[row])


def from_memory(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches a run trains on."""
    generator = torch.Generator().manual_seed(0)
    for inputs, targets in Rows(split, BATCH).shuffled(seed=0):
        yield CIFAR10_PIXELS(crop_and_flip(inputs, generator), targets.long())


def drain(batches: Callable[[], Iterator[object]]) -> Callable[[], None]:
    """A function that takes one round of batches."""

    def run() -> None:
        for _ in islice(batches(), BATCHES):
            pass

    return run


def main() -> None:
    """Measure all three."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(IMAGES) % 10)
    slow = Transformed(split)
    actions = {
        "lehi": drain(lambda: from_memory(split)),
        "DataLoader": drain(lambda: iter(DataLoader(slow, BATCH, shuffle=True))),
        "DataLoader, 2 workers": drain(lambda: iter(DataLoader(slow, BATCH, shuffle=True, num_workers=2))),
    }
    summary = ratios(seconds_in_turn(actions, ROUNDS), "lehi")
    show(f"{BATCHES} batches of {BATCH}", summary, "lehi")
    for name, row in summary.items():
        print(f"  {name:32s} {BATCH * BATCHES / row['seconds']:12,.0f} images per second")
    save("input", {"batch": BATCH, "batches": BATCHES, "rounds": ROUNDS, "pipelines": summary})


if __name__ == "__main__":
    main()
