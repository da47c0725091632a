"""Mini-batches from a split in memory: rows gathered by index, or one long sequence read by many readers at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lehi_cli.errors import DataError

from .dataset import Split

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Rows:
    """Mini-batches of a split whose rows are independent samples.

    Attributes:
        split: inputs [N, ...] and targets [N, ...].
        size: rows per batch; the last batch of an epoch may have fewer.
    """

    split: Split
    size: int

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self.split) / self.size)

    @property
    def samples(self) -> int:
        """Samples per epoch."""
        return len(self.split)

    def order(self, seed: int) -> Tensor:
        """The order of the rows in the epoch with this seed."""
        return torch.randperm(len(self.split), generator=torch.Generator().manual_seed(seed))

    def shuffled(self, seed: int) -> Iterator[Batch]:
        """One epoch of training batches."""
        for rows in self.order(seed).to(self.split.inputs.device).split(self.size):
            yield self.split.inputs[rows], self.split.targets[rows]

    def in_order(self) -> Iterator[Batch]:
        """One pass for evaluation: views, no copies."""
        yield from zip(self.split.inputs.split(self.size), self.split.targets.split(self.size), strict=True)


@dataclass(frozen=True)
class Readers:
    """Mini-batches of a split that is one long sequence [L], cut into `size` equal parts that are read side by side.

    A batch is the next `window` symbols of each part. Successive batches continue each other, so a model can carry its
    state from one to the next. Symbols left over after the last whole part are not read.

    Raises:
        DataError: when the sequence is shorter than one symbol for each part.
    """

    split: Split
    size: int
    window: int

    def __post_init__(self) -> None:
        if self._length < 1:
            found = f"a sequence of {len(self.split)} symbols cannot be read in {self.size} parts at once"
            raise DataError(found, "use a smaller batch_size, or a longer text")

    @property
    def _length(self) -> int:
        return len(self.split) // self.size

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return math.ceil(self._length / self.window)

    @property
    def samples(self) -> int:
        """Samples per epoch: a sample is one window of one reader."""
        return self.steps * self.size

    def order(self, seed: int) -> Tensor:
        """The order of the readers, which never changes."""
        return torch.arange(self.size)

    def shuffled(self, seed: int) -> Iterator[Batch]:
        """One epoch of training batches, [size, window]; a sequence has its own order, so nothing is shuffled."""
        return self.in_order()

    def in_order(self) -> Iterator[Batch]:
        """One pass over the sequence; the last window may be shorter."""
        used = self._length * self.size
        inputs, targets = (whole[:used].view(self.size, -1) for whole in (self.split.inputs, self.split.targets))
        yield from zip(inputs.split(self.window, dim=1), targets.split(self.window, dim=1), strict=True)


def reader(split: Split, size: int, window: int | None) -> Rows | Readers:
    """The batches of a split."""
    return Rows(split, size) if window is None else Readers(split, size, window)
