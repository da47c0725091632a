"""What every source that needs no files promises, as its built-in task configures it."""

from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lehi_cli.data.dataset import checksum
from lehi_cli.data.embedded import split_rows
from lehi_cli.registry.built_in.sources import SOURCES

TASKS = Path(__file__).parents[2] / "tasks"

# source: rows per split, input shape, input dtype, target shape, target dtype, outputs
EXPECTED = {
    "digits": ((1257, 270, 270), (64,), torch.float32, (), torch.int64, 10),
    "breast_cancer": ((399, 85, 85), (30,), torch.float32, (1,), torch.float32, 1),
    "diabetes": ((310, 66, 66), (10,), torch.float32, (1,), torch.float32, 1),
    "quadratic": ((2048, 512, 512), (32,), torch.float32, (1,), torch.float32, 1),
    "markov": ((4096, 512, 512), (16,), torch.int64, (16,), torch.int64, 6),
}
EMBEDDED = {"digits": 1797, "breast_cancer": 569, "diabetes": 442}


def build(name):
    """A fresh dataset and the checksum its task declares."""
    options = dict(yaml.safe_load((TASKS / f"{name}.yaml").read_text(encoding="utf-8"))["data"])
    declared = options.pop("checksum")
    module, function = SOURCES[options.pop("source")].split(":")
    return getattr(import_module(module), function)(**options), declared


cached = cache(build)


@pytest.mark.parametrize("name", EXPECTED)
def test_shapes_and_dtypes(name):
    dataset, _ = cached(name)
    rows, input_shape, input_dtype, target_shape, target_dtype, outputs = EXPECTED[name]
    assert list(dataset.splits) == ["train", "val", "test"]
    assert dataset.outputs == outputs
    for split, size in zip(dataset.splits.values(), rows, strict=True):
        assert len(split) == size
        assert (split.inputs.shape, split.inputs.dtype) == ((size, *input_shape), input_dtype)
        assert (split.targets.shape, split.targets.dtype) == ((size, *target_shape), target_dtype)
        assert split.inputs.isfinite().all()
        assert split.targets.isfinite().all()


@pytest.mark.parametrize("name", EXPECTED)
def test_checksum_is_the_one_the_task_declares(name):
    dataset, declared = cached(name)
    assert dataset.checksum == declared


@pytest.mark.parametrize("name", EXPECTED)
def test_built_twice_is_the_same(name):
    (first, _), (second, _) = cached(name), build(name)
    for split in first.splits:
        assert torch.equal(first.splits[split].inputs, second.splits[split].inputs)
        assert torch.equal(first.splits[split].targets, second.splits[split].targets)


@pytest.mark.parametrize(
    "name", [name for name in EXPECTED if name not in {"markov"}]
)  # independent windows may coincide
def test_no_held_out_row_is_a_training_row(name):
    splits = cached(name)[0].splits
    train = {row.numpy().tobytes() for row in splits["train"].inputs}
    for held_out in ("val", "test"):
        assert not any(row.numpy().tobytes() in train for row in splits[held_out].inputs)


@pytest.mark.parametrize(("name", "total"), EMBEDDED.items())
def test_stored_splits_are_sorted_disjoint_and_cover_all_rows(name, total):
    rows = split_rows(name, total)
    assert all((np.diff(index) > 0).all() for index in rows.values())
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(total))


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_classes_are_stratified(name):
    splits = cached(name)[0].splits
    labels = {split: data.targets.long().flatten() for split, data in splits.items()}
    share = torch.cat(list(labels.values())).bincount() / sum(map(len, labels.values()))
    for split in labels.values():
        assert (split.bincount() - share * len(split)).abs().max() <= 1.5  # rows


def test_digits_span_zero_to_one():
    inputs = torch.cat([split.inputs for split in cached("digits")[0].splits.values()])
    assert (inputs.min(), inputs.max()) == (0, 1)


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_standardised_by_the_training_rows_alone(name):
    splits = cached(name)[0].splits
    columns = {split: data.inputs.double() for split, data in splits.items()}
    if name == "diabetes":
        columns = {split: torch.cat([columns[split], data.targets.double()], dim=1) for split, data in splits.items()}
    assert columns["train"].mean(0).abs().max() < 1e-6
    assert (columns["train"].var(0, correction=0) - 1).abs().max() < 1e-6
    # held-out rows, or all rows together, have other moments
    assert columns["val"].mean(0).abs().max() > 1e-2
    assert torch.cat(list(columns.values())).mean(0).abs().max() > 1e-3


def test_benign_tumours_are_ones():
    targets = torch.cat([split.targets for split in cached("breast_cancer")[0].splits.values()])
    assert targets.unique().tolist() == [0, 1]
    assert targets.sum() == 357


def test_checksum_sees_shape_type_and_content():
    zeros = np.zeros((2, 3))
    variants = [[zeros], [zeros.T], [zeros.astype(np.float32)], [zeros + 1], [zeros, zeros]]
    assert len({checksum(arrays) for arrays in variants}) == len(variants)
    assert checksum([zeros[:, ::2]]) == checksum([np.zeros((2, 2))])
