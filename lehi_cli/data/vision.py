"""Image sets read from their published files; pixels stay uint8 [N, C, H, W] until a batch needs them.

`test` is the official test set. `val` is the last 5,000 rows of the official training set, in its published
order, and `train` the rows before them. Neither set is sorted by class, so the classes are about balanced.

Pixels are standardised per channel with constants commonly published for each training set, in `prepare`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lehi_cli.data import catalog, fake
from lehi_cli.data.dataset import Dataset, Prepare, Split, checksum, faked_by
from lehi_cli.data.idx import read_idx
from lehi_cli.errors import DataError

Augment = Callable[[Tensor, torch.Generator], Tensor]
VALIDATION_ROWS = 5_000


def standardise(mean: Sequence[float], std: Sequence[float]) -> Prepare:
    """`prepare` for uint8 pixels [B, C, H, W]: (pixel / 255 - mean) / std with one mean and std per channel."""
    shift, scale = tuple(255 * value for value in mean), tuple(255 * value for value in std)

    def prepare(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (inputs.float() - _channels(shift, inputs.device)) / _channels(scale, inputs.device), targets

    return prepare


@cache
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """`values` as [C, 1, 1], copied to `device` once."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


MNIST_PIXELS = standardise([0.1307], [0.3081])
FASHION_PIXELS = standardise([0.2860], [0.3530])
CIFAR10_PIXELS = standardise([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
CIFAR100_PIXELS = standardise([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762])


def reconstruction(inputs: Tensor, _targets: Tensor) -> tuple[Tensor, Tensor]:
    """`prepare` of an autoencoder: pixels in [0, 1] as a vector [B, C H W], both input and (soft) target."""
    pixels = inputs.flatten(1).float() / 255
    return pixels, pixels


def pooled_sequence(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`prepare` of sequential MNIST: standardised, averaged over 4 x 4 pixels, read row by row: [B, 49, 1]."""
    pixels, targets = MNIST_PIXELS(inputs, targets)
    return functional.avg_pool2d(pixels, 4).flatten(1).unsqueeze(-1), targets


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """`augment` for images [B, C, H, W]: each moved by up to H / 8 pixels on either axis, every other one mirrored.

    This is a random crop of the image with a black border, 4 pixels wide for 32 x 32. There is no loop over images: the
    result is gathered from the bordered images with one index per row and column.
    """
    count, channels, height, width = images.shape
    border, device = height // 8, images.device
    top, left = torch.randint(2 * border + 1, (2, count, 1), generator=generator, device=device)
    mirrored = torch.randint(2, (count, 1), generator=generator, device=device).bool()
    across = torch.arange(width, device=device)
    rows = top + torch.arange(height, device=device)
    columns = left + torch.where(mirrored, across.flip(0), across)
    image = torch.arange(count, device=device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, -1, 1, 1)
    bordered = functional.pad(images, (border,) * 4)
    return bordered[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


@faked_by(fake.images((1, 28, 28), 10, MNIST_PIXELS))
def mnist(folder: Path) -> Dataset:
    """Handwritten digits, 28 x 28: inputs uint8 [N, 1, 28, 28], targets 0..9 uint8 [N]; 55,000, 5,000 and 10,000."""
    return _mnist_like("mnist", folder, MNIST_PIXELS)


@faked_by(fake.images((1, 28, 28), 10, FASHION_PIXELS))
def fashion_mnist(folder: Path) -> Dataset:
    """Ten kinds of clothing in the shape of MNIST."""
    return _mnist_like("fashion_mnist", folder, FASHION_PIXELS)


@faked_by(fake.images((1, 28, 28), 10, pooled_sequence))
def smnist(folder: Path) -> Dataset:
    """MNIST as sequences of 49 values: `pooled_sequence` turns a batch into [B, 49, 1]."""
    return _mnist_like("mnist", folder, pooled_sequence)


@faked_by(fake.images((1, 28, 28), 10, reconstruction, repeat_inputs=True))
def mnist_autoencoder(folder: Path) -> Dataset:
    """MNIST images [B, 784] that are their own targets; the inputs and targets of a split share memory."""
    digits = _mnist_like("mnist", folder, reconstruction)
    splits = {name: Split(split.inputs, split.inputs) for name, split in digits.splits.items()}
    return Dataset(splits, 28 * 28, digits.checksum, prepare=reconstruction)


@faked_by(fake.images((3, 32, 32), 10, CIFAR10_PIXELS))
def cifar10(folder: Path) -> Dataset:
    """Photographs of ten kinds of things, 32 x 32: inputs uint8 [N, 3, 32, 32]; 45,000, 5,000 and 10,000."""
    return _cifar("cifar10", "CIFAR10", folder, CIFAR10_PIXELS)


@faked_by(fake.images((3, 32, 32), 100, CIFAR100_PIXELS))
def cifar100(folder: Path) -> Dataset:
    """Photographs of a hundred kinds of things, in the shape of CIFAR-10."""
    return _cifar("cifar100", "CIFAR100", folder, CIFAR100_PIXELS)


def _mnist_like(name: str, folder: Path, prepare: Prepare) -> Dataset:
    """Four idx files, gzipped as published; where there are none of these, unpacked ones without `.gz` in their names.

    No MD5 is published for unpacked files: the task's checksum decides whether their content is the original.
    """
    corpus = catalog.find(name)
    packed = [folder / file.path for file in corpus.files]
    unpacked = [path.with_suffix("") for path in packed]
    only_unpacked = all(path.is_file() for path in unpacked) and not any(path.exists() for path in packed)
    pixels, labels, test_pixels, test_labels = map(read_idx, unpacked if only_unpacked else corpus.paths(folder))
    for images, classes in ((pixels, labels), (test_pixels, test_labels)):
        if images.ndim != 3 or classes.shape != images.shape[:1]:
            place = folder / corpus.place
            raise DataError(f"{place} holds images of shape {images.shape} with labels of shape {classes.shape}")
    return _official_splits(pixels[:, None], labels, test_pixels[:, None], test_labels, 10, prepare)


def _cifar(name: str, publication: str, folder: Path, prepare: Prepare) -> Dataset:
    """The Python batches of a torchvision class, augmented by `crop_and_flip` in training."""
    # importing torchvision takes most of a second: only runs that need it pay for it
    from torchvision import datasets

    kind = getattr(datasets, publication)
    place, hint = folder / kind.base_folder, catalog.find(name).hint(folder)
    md5 = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
    missing = [file for file in md5 if not (place / file).is_file()]
    if missing:
        raise DataError(f"{name}: {place} lacks {', '.join(missing)}", hint)
    for file, expected in md5.items():
        found = catalog.md5(place / file)
        if found != expected:
            raise DataError(f"{place / file} has md5 {found}, expected {expected}", hint)
    train, test = (kind(folder, train=train) for train in (True, False))
    # torchvision returns the files' [N, C, H, W] as [N, H, W, C]
    pixels, test_pixels = (np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test))
    labels, test_labels = (np.array(part.targets, np.uint8) for part in (train, test))
    return _official_splits(pixels, labels, test_pixels, test_labels, len(train.classes), prepare, crop_and_flip)


def _official_splits(
    pixels: np.ndarray,
    labels: np.ndarray,
    test_pixels: np.ndarray,
    test_labels: np.ndarray,
    classes: int,
    prepare: Prepare,
    augment: Augment | None = None,
) -> Dataset:
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(labels)
    train = len(inputs) - VALIDATION_ROWS
    splits = {
        "train": Split(inputs[:train], targets[:train]),
        "val": Split(inputs[train:], targets[train:]),
        "test": Split(torch.from_numpy(test_pixels), torch.from_numpy(test_labels)),
    }
    identity = checksum((pixels, labels, test_pixels, test_labels))
    return Dataset(splits, classes, identity, prepare=prepare, augment=augment)
