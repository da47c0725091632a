"""Tables: one row per sample, numbers standardised by the training rows, text as one-hot inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lehi_cli.data import catalog, fake
from lehi_cli.data.categories import notes, one_hot, refuse_free_text
from lehi_cli.data.dataset import Dataset, Split, Table, Target, checksum, faked_by
from lehi_cli.errors import DataError, did_you_mean

KINDS = ("auto", "regression", "classification")
CLASSES = 20  # `auto` takes a target with more different values for a number
HELD_OUT = 0.15
LARGEST = 1e150  # squared for the variance, it must stay finite
FILL_IN = "fill it in, remove the row, or drop the column"


@faked_by(fake.table(9))
def protein(folder: Path, split: int = 0) -> Dataset:
    """Size of the residue of 45,730 decoys of proteins: inputs [N, 9] and targets [N, 1], both standardised.

    A root mean square error of 1 is 6.12 angstrom. `test` is the published one of the split, and `val` a tenth of its
    training rows; the checksum is that of the table, for every split.

    Args:
        folder: the data folder, with the table in `protein-tertiary-structure`.
        split: one of the five published splits, 0 to 4.

    Raises:
        DataError: a file is missing or altered.
        ValueError: there is no such split.
    """
    if split not in range(5):
        raise ValueError(f"protein: split={split!r} must be one of 0, 1, 2, 3, 4")
    paths = {path.name: path for path in catalog.find("protein").paths(folder)}
    table = np.loadtxt(paths["data.txt"])
    train, test = (np.loadtxt(paths[f"index_{part}_{split}.txt"]).astype(np.int64) for part in ("train", "test"))
    (chosen,) = hold_out(np.zeros(len(train), np.int64), 0.1, parts=1)
    rows = {"train": np.delete(train, chosen), "val": train[chosen], "test": test}
    targets = standardise(table[:, 9:], rows["train"])
    return _dataset(standardise(table[:, :9], rows["train"]), targets, rows, outputs=1, raw=(table,))


def _fake_csv(kind: str = "auto", **_: object) -> Dataset:
    return fake.table(8, classes=3 if kind == "classification" else None)()


@faked_by(_fake_csv)
def csv(
    folder: Path,
    path: str = "table.csv",
    target: str = "target",
    kind: str = "auto",
    drop: str | Sequence[str] = (),
    categories: str | Sequence[str] = (),
) -> Dataset:
    """A CSV file of your own, with a header: inputs [N, d], and targets [N, 1] standardised, or classes [N].

    `test` and `val` are 15 % of the rows each, of every class alike, drawn with RandomState(0).

    A feature of numbers, or of true and false, is one input, standardised by the training rows. A feature of text is an
    input of 0 or 1 for each of its values in the training rows (one-hot); where the value is in no training row, all of
    them are 0. The inputs of numbers come first. A feature that is the same in all training rows becomes 0.

    Args:
        folder: the data folder.
        path: the file, absolute or relative to `folder`.
        target: column to predict. All others are features, with no value missing.
        kind: `regression`, `classification`, or `auto`: classes if the target is text, true or false, or whole numbers
            with at most 20 different values.
        drop: column, or columns, to leave out: a list, or `a/b`.
        categories: column, or columns, to take as text whatever is in them, such as numbers that stand for something,
            or text with more than 100 different values or fewer than two rows for each.

    Raises:
        DataError: the file is missing or is not a table, a column is unknown, or a value is unusable, named by column
            and row. Rows are counted from 1, without the header.
        ValueError: `kind` is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"csv: kind={kind!r} must be one of {', '.join(KINDS)}")
    place = folder / path
    table = _read_csv(place)
    dropped, chosen = (_columns(place, given, list(table)) for given in (drop, categories))
    _require_column(place, target, list(table))
    names = [name for name in table if name != target and name not in dropped]
    if not names:
        raise DataError(f"csv: {place} has no column for a feature", "it needs one beside the target")
    features = _features(place, {name: table[name] for name in names}, chosen)
    where = f"{place}: target {target!r}"
    values = _values(where, table[target])
    if len(set(values.tolist())) < 2:
        raise DataError(f"csv: {where} is {values.tolist()[0]!r} in every row", "there is nothing to predict")
    if kind == "classification" or (kind == "auto" and _looks_like_classes(values)):
        classes, labels = _classes(where, values)
        rows = _splits(labels)
        inputs, said = features.inputs(rows)
        data = _dataset(inputs, labels, rows, len(classes), raw=(*features.raw, labels, classes))
        return Table(data.splits, data.outputs, data.checksum, notes=said)
    numbers = _numbers(
        where,
        table[target],
        "for classes: --set data.kind=classification --set loss=cross_entropy --set metrics=accuracy",
    )
    rows = _splits(np.zeros(len(numbers), np.int64))
    inputs, said = features.inputs(rows)
    data = _dataset(inputs, standardise(numbers[:, None], rows["train"]), rows, 1, raw=(*features.raw, numbers))
    scale = _scale(target, numbers[rows["train"]])
    return Table(data.splits, data.outputs, data.checksum, notes=said, target=scale)


@dataclass(frozen=True)
class Features:
    """The features of a table: numbers [N, d], and columns of categories [N] by name."""

    numbers: np.ndarray
    categories: Mapping[str, np.ndarray]

    @property
    def raw(self) -> tuple[np.ndarray, ...]:
        """Everything that was read, for the checksum."""
        return (self.numbers, *self.categories.values())

    def inputs(self, rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The model's inputs [N, q], and notes on them for the user."""
        encoded = [one_hot(name, values, rows) for name, values in self.categories.items()]
        standardised = standardise(self.numbers, rows["train"])
        inputs = np.concatenate([standardised, *(column.inputs for column in encoded)], axis=1)
        return inputs, notes(encoded, inputs.shape[1])


def _features(place: Path, table: Mapping[str, Any], chosen: Sequence[str]) -> Features:
    """The features: columns of text and those `chosen` as categories, all others as numbers."""
    numbers: list[np.ndarray] = []
    categories: dict[str, np.ndarray] = {}
    for name, column in table.items():
        where = f"{place}: column {name!r}"
        if name in chosen:
            categories[name] = _text(where, column)
        elif _is_text(column):
            categories[name] = _text(where, column)
            refuse_free_text(where, name, categories[name])
        else:
            numbers.append(
                _numbers(
                    where,
                    column,
                    f"write it as numbers, or leave it out: --set data.drop={name}; "
                    f"to take all of it as text: --set data.categories={name}",
                )
            )
    rows = len(next(iter(table.values())))
    return Features(np.stack(numbers, axis=1) if numbers else np.empty((rows, 0)), categories)


def _is_text(column: Any) -> bool:
    """Whether a column holds text, with no number among its values."""
    from pyarrow import types

    return types.is_string(column.type) and not any(map(_is_number, column.unique().drop_null().to_pylist()))


def _text(where: str, column: Any) -> np.ndarray:
    """A column as categories: numbers as they are, anything else as fixed-width text, which has a checksum."""
    values = _values(where, column)
    if values.dtype.kind in "biuf":
        return values
    texts = values.astype(str)
    blank = np.flatnonzero(np.char.strip(texts) == "")
    if len(blank):
        raise DataError(f"csv: {where} has no value in row {blank[0] + 1}", FILL_IN)
    return texts


def _scale(name: str, training: np.ndarray) -> Target | None:
    """What a standardised target of 1 stands for; None where it is the same in all training rows."""
    return Target(name, training.std().item()) if np.ptp(training) else None


def hold_out(labels: np.ndarray, share: float, parts: int) -> list[np.ndarray]:
    """Disjoint sorted sets of rows, each with `share` of each class's rows, at least one; drawn with RandomState(0)."""
    random = np.random.RandomState(0)
    chosen: list[list[np.ndarray]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        size = max(1, round(share * len(rows)))
        for part in range(parts):
            chosen[part].append(rows[part * size : (part + 1) * size])
    return [np.sort(np.concatenate(rows)) for rows in chosen]


def standardise(columns: np.ndarray, train: np.ndarray) -> np.ndarray:
    """`columns` [N, d] with mean 0 and variance 1 over the rows `train`, as float32; a constant column becomes 0."""
    mean, scale = columns[train].mean(axis=0), columns[train].std(axis=0)
    constant = np.ptp(columns[train], axis=0) == 0  # its standard deviation may be a rounding error instead of 0
    return (np.where(constant, 0, columns - mean) / np.where(constant, 1, scale)).astype(np.float32)


def _read_csv(place: Path) -> dict[str, Any]:
    """The columns by name, each an Arrow array."""
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow

    if place.is_dir():
        raise DataError(f"csv: {place} is a folder", "name a CSV file: --set data.path=PATH")
    if not place.is_file():
        hint = "name a CSV file with a header: --set data.path=PATH --set data.target=COLUMN"
        raise DataError(f"csv: there is no file {place}", f"{hint}; --fake-data makes a smoke run without it")
    # one block, as the type of a column is inferred from the first block only
    read = arrow.ReadOptions(block_size=min(max(place.stat().st_size, 1), 2**31 - 1))
    try:
        table = arrow.read_csv(place, read, convert_options=arrow.ConvertOptions(strings_can_be_null=True))
        names = table.column_names
    except ArrowInvalid as error:
        raise DataError(
            f"csv: {place} is not a table: {error}", "every line needs as many values as the header"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"csv: the header of {place} is not UTF-8: {error}", "convert it to UTF-8") from None
    if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise DataError(f"csv: {place} has {other!r} between its values", "write commas instead")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"csv: {place} has more than one column {twice[0]!r}", "rename all but one of them")
    if table.num_rows < 3:
        raise DataError(f"csv: {place} has {table.num_rows} rows", "each of train, val and test needs one")
    return dict(zip(names, table.columns, strict=True))


def _columns(place: Path, given: str | Sequence[str], known: list[str]) -> list[str]:
    """The names of columns: one, a list, or several with `/` between them."""
    if isinstance(given, str):
        given = [given] if given in known or "/" not in given else given.split("/")
    for name in given:
        _require_column(place, name, known)
    return list(given)


def _require_column(place: Path, name: str, known: list[str]) -> None:
    if name not in known:
        raise DataError(
            f"csv: {place} has no column {name!r}{did_you_mean(str(name), known)}", f"columns: {', '.join(known)}"
        )


def _values(where: str, column: Any) -> np.ndarray:
    """The values of a column, none of which is missing."""
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise DataError(f"csv: {where} has no value in row {row}", FILL_IN)
    return np.asarray(column.to_numpy())


def _numbers(where: str, column: Any, hint: str) -> np.ndarray:
    """A column as float64."""
    values = _values(where, column)
    if values.dtype.kind not in "biuf":
        _refuse_text(where, values.tolist(), hint)
    numbers = values.astype(np.float64)
    unusable = np.flatnonzero(~(np.abs(numbers) < LARGEST))
    if len(unusable):
        row = unusable[0].item()
        raise DataError(f"csv: {where} is {numbers[row]} in row {row + 1}", f"a number below {LARGEST:g} is needed")
    return numbers


def _refuse_text(where: str, values: Sequence[object], hint: str) -> None:
    """Refuse a column with a value that is not a number; unlike Arrow, take `+1` for one."""
    rows = enumerate(values, 1)
    text = next(((row, value) for row, value in rows if not _is_number(value)), None)
    if text is None:
        return
    number = next(((row, value) for row, value in enumerate(values, 1) if _is_number(value)), None)
    beside = f", and is one in row {number[0]}: {number[1]!r}" if number else ""
    raise DataError(f"csv: {where} is not a number in row {text[0]}: {text[1]!r}{beside}", hint)


def _is_number(value: object) -> bool:
    """Whether a text reads as a number; one with `_` between digits is a name."""
    try:
        float(str(value))
    except ValueError:
        return False
    return "_" not in str(value)


def _looks_like_classes(values: np.ndarray) -> bool:
    return values.dtype.kind in "bO" or (values.dtype.kind in "iu" and len(np.unique(values)) <= CLASSES)


def _classes(where: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, and the class of every row."""
    if values.dtype.kind == "f":
        raise DataError(f"csv: {where} holds fractions, which are not classes", "--set data.kind=regression")
    classes, labels = np.unique(values.astype(str) if values.dtype.kind == "O" else values, return_inverse=True)
    rare = np.flatnonzero(np.bincount(labels) < 3)
    if len(rare):
        name = classes[rare[0]].item()
        raise DataError(
            f"csv: {where}: class {name!r} is in fewer than 3 rows",
            "each of train, val and test needs one: remove or merge it, or use --set data.kind=regression for numbers",
        )
    return classes, labels.astype(np.int64)


def _splits(labels: np.ndarray) -> dict[str, np.ndarray]:
    test, val = hold_out(labels, HELD_OUT, parts=2)
    return {"train": np.setdiff1d(np.arange(len(labels)), np.concatenate([test, val])), "val": val, "test": test}


def _dataset(
    inputs: np.ndarray, targets: np.ndarray, rows: dict[str, np.ndarray], outputs: int, raw: tuple[np.ndarray, ...]
) -> Dataset:
    splits = {
        name: Split(torch.from_numpy(inputs[index]), torch.from_numpy(targets[index])) for name, index in rows.items()
    }
    return Dataset(splits, outputs, checksum(raw))
