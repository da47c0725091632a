"""Real data sets that come with scikit-learn: no download, the same rows everywhere.

The splits are stored, not drawn: `splits.json` lists the row numbers of `val` and `test` per set, all other rows train.
They were made once with scikit-learn's `train_test_split(random_state=0)`: first 15 % of the rows for `test`, then as
many of the rest for `val`, both stratified by class (diabetes has none).
The checksum covers the raw arrays and these row numbers, so any change to the data or the splits is noticed.
"""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import torch

from lehi_cli.data import fake
from lehi_cli.data.dataset import Dataset, Split, checksum, faked_by
from lehi_cli.data.tables import standardise


@faked_by(fake.table(64, classes=10))
def digits() -> Dataset:
    """Handwritten digits of 8 × 8 pixels: inputs in [0, 1] [N, 64], targets 0..9 [N]; N = 1797."""
    # importing scikit-learn takes most of a second: only runs that need it pay for it
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels.astype(np.uint8), labels.astype(np.int64)
    rows = split_rows("digits", len(labels))
    return _dataset(pixels / np.float32(16), labels, rows, outputs=10, raw=(pixels, labels))


@faked_by(fake.table(30, binary=True))
def breast_cancer() -> Dataset:
    """Tumours measured on microscope images: standardised inputs [N, 30], targets 1 = benign [N, 1]; N = 569."""
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    features, labels = features.astype(np.float64), labels.astype(np.int64)
    rows = split_rows("breast_cancer", len(labels))
    inputs = standardise(features, rows["train"])
    targets = labels[:, None].astype(np.float32)
    return _dataset(inputs, targets, rows, outputs=1, raw=(features, labels))


@faked_by(fake.table(10))
def diabetes() -> Dataset:
    """Disease progression after one year: standardised inputs [N, 10] and targets [N, 1]; N = 442.

    Predicting the mean of the training targets costs a mean square error of exactly 1 on `train`.
    """
    from sklearn.datasets import load_diabetes

    features, progression = load_diabetes(return_X_y=True, scaled=False)
    # the table has four decimals at most; versions of scikit-learn read some of them an ulp apart
    features, progression = features.astype(np.float64).round(4), progression.astype(np.float64)
    rows = split_rows("diabetes", len(progression))
    inputs = standardise(features, rows["train"])
    targets = standardise(progression[:, None], rows["train"])
    return _dataset(inputs, targets, rows, outputs=1, raw=(features, progression))


def split_rows(name: str, total: int) -> dict[str, np.ndarray]:
    """Sorted row numbers of `train`, `val` and `test` of the embedded set `name`, which has `total` rows."""
    stored = json.loads(resources.files("lehi_cli.data").joinpath("splits.json").read_text(encoding="utf-8"))[name]
    held_out = {split: np.array(stored[split], dtype=np.int64) for split in ("val", "test")}
    train = np.setdiff1d(np.arange(total, dtype=np.int64), np.concatenate(list(held_out.values())))
    return {"train": train, **held_out}


def _dataset(
    inputs: np.ndarray,
    targets: np.ndarray,
    rows: dict[str, np.ndarray],
    *,
    outputs: int,
    raw: tuple[np.ndarray, ...],
) -> Dataset:
    splits = {
        name: Split(torch.from_numpy(inputs[index]), torch.from_numpy(targets[index])) for name, index in rows.items()
    }
    return Dataset(splits, outputs, checksum((*raw, rows["val"], rows["test"])))
