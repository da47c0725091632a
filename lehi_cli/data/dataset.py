"""What a data source returns: three fixed splits held in memory as tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


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
    """Training, validation and test split, and what a model must know to fit them.

    Attributes:
        splits: `train`, `val` and `test`.
        outputs: width q of the model's output: classes, symbols or regression targets.
        checksum: identity of the raw data before any preprocessing, see `checksum`.
        floor: lowest expected loss per split, where theory gives it; empty otherwise.
    """

    splits: Mapping[str, Split]
    outputs: int
    checksum: str
    floor: Mapping[str, float] = field(default_factory=dict)


def checksum(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over shapes, element types and bytes of `arrays`, in order: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
