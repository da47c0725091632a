"""Synthetic data in the shape of real data: for smoke runs where the real data is not available.

Each function returns a maker of data sets, `faked_by(images((28, 28), 10))`. Its data can be learnt, so a broken
training loop shows up; it says nothing about any optimizer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lehi_cli.data.dataset import Dataset, Prepare, Split, checksum

ROWS = {"train": 512, "val": 128, "test": 128}


def images(
    shape: tuple[int, ...], classes: int, prepare: Prepare | None = None, repeat_inputs: bool = False
) -> Callable[..., Dataset]:
    """uint8 images [N, *shape], each its class's pattern under noise; targets int64 [N], or the images themselves."""

    def make(**_: object) -> Dataset:
        random = np.random.RandomState(0)
        patterns = random.randint(0, 256, (classes, *shape))
        splits: dict[str, Split] = {}
        arrays: list[np.ndarray] = []
        for name, rows in ROWS.items():
            labels = np.arange(rows) % classes
            noise = random.randint(-64, 65, (rows, *shape))
            pixels = (patterns[labels] + noise).clip(0, 255).astype(np.uint8)
            arrays += [pixels, labels]
            inputs = torch.from_numpy(pixels)
            splits[name] = Split(inputs, inputs if repeat_inputs else torch.from_numpy(labels))
        outputs = int(np.prod(shape)) if repeat_inputs else classes
        return Dataset(splits, outputs, checksum(arrays), prepare=prepare)

    return make


def table(features: int, classes: int | None = None, binary: bool = False) -> Callable[..., Dataset]:
    """float32 rows [N, features]; targets a noisy linear function [N, 1], its sign as 0 or 1, or a class [N]."""

    def make(**_: object) -> Dataset:
        random = np.random.RandomState(0)
        weights = random.standard_normal((features, classes or 1)) / np.sqrt(features)
        splits: dict[str, Split] = {}
        arrays: list[np.ndarray] = []
        for name, rows in ROWS.items():
            inputs = random.standard_normal((rows, features)).astype(np.float32)
            scores = inputs @ weights + 0.1 * random.standard_normal((rows, classes or 1))
            targets = scores.argmax(1) if classes else (scores > 0 if binary else scores).astype(np.float32)
            arrays += [inputs, targets]
            splits[name] = Split(torch.from_numpy(inputs), torch.from_numpy(targets))
        return Dataset(splits, classes or 1, checksum(arrays))

    return make


def text(symbols: int, length: int, as_stream: bool = False) -> Callable[..., Dataset]:
    """A sequence that counts upwards with occasional jumps: windows [N, length], or one sequence [L] per split."""

    def make(**options: object) -> Dataset:
        width = options.get("window" if as_stream else "length", length)
        width = width if isinstance(width, int) else length
        random = np.random.RandomState(0)
        splits: dict[str, Split] = {}
        arrays: list[np.ndarray] = []
        for name, rows in ROWS.items():
            jumps = np.where(
                random.random_sample(rows * width + 1) < 0.1, random.randint(0, symbols, rows * width + 1), 1
            )
            sequence = torch.from_numpy(jumps.cumsum() % symbols)
            inputs, targets = sequence[:-1], sequence[1:]
            arrays.append(sequence.numpy())
            splits[name] = Split(*((inputs, targets) if as_stream else (inputs.view(rows, -1), targets.view(rows, -1))))
        return Dataset(splits, symbols, checksum(arrays), window=width if as_stream else None)

    return make
