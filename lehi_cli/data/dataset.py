"""What a data source returns: three fixed splits held in memory as tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Prepare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Source = TypeVar("Source", bound=Callable[..., object])


@dataclass(frozen=True)
class Split:
    """One split; row n of `inputs` [N, ...] belongs to row n of `targets` [N, ...]."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: str) -> Split:
        """The same split on `device`."""
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test split, and what a model has to know about them.

    Data is stored as compactly as it came (pixels in uint8, symbols in int16). `prepare` turns a batch of it into what
    the model takes, on the device, so nothing is done sample by sample.

    Attributes:
        splits: `train`, `val` and `test`.
        outputs: width q of the model's output: classes, symbols or regression targets.
        checksum: identity of the raw data before any preprocessing, see `checksum`.
        floor: lowest expected loss per split, where theory gives it; empty otherwise.
        prepare: inputs and targets of a batch as stored -> as the model and the loss take them, for every split.
        augment: stored inputs [B, ...] of a training batch -> randomly changed, using the generator only.
        window: for splits that are one long sequence, inputs [L] and targets [L]: symbols per step of a batch. The
            sequence is then read by as many parallel readers as a batch has rows, and the model gets its state back at
            each step.
    """

    splits: Mapping[str, Split]
    outputs: int
    checksum: str
    floor: Mapping[str, float] = field(default_factory=dict)
    prepare: Prepare | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    window: int | None = None


@dataclass(frozen=True)
class Target:
    """What a scaled target stands for: a stored target of 1 is `scale` in units of `name`."""

    name: str
    scale: float


@dataclass(frozen=True)
class Table(Dataset):
    """A dataset with information for the user, beyond what a model has to know.

    Attributes:
        notes: how the data was read, in lines for the user.
        target: what a regression predicts; None where the target is not scaled.
    """

    notes: tuple[str, ...] = ()
    target: Target | None = None


def faked_by(fake: Callable[..., Dataset]) -> Callable[[Source], Source]:
    """Decorator of a source: `fake(**options)` makes learnable data of the same shape, without any files."""

    def mark(source: Source) -> Source:
        source.fake = fake  # type: ignore[attr-defined]
        return source

    return mark


def checksum(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over shapes, element types and bytes of `arrays`, in order: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]
