"""Columns of categories as inputs: one for each category of the training rows, 1 where a row has it and 0 elsewhere.

This is scikit-learn's `OneHotEncoder(handle_unknown="ignore")`: a row whose category is in no training row has 0 in all
inputs of the column. As with numbers, a column that is the same in all training rows becomes 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lehi_cli.errors import DataError

MOST = 100
"""Categories of a column that nobody called one of categories; more look like an id or free text."""
LISTED = 3  # unknown categories that are named


@dataclass(frozen=True)
class Encoded:
    """A column as inputs [N, q], and what has to be said about it."""

    name: str
    inputs: np.ndarray
    remarks: tuple[str, ...] = ()


def refuse_free_text(where: str, name: str, values: np.ndarray) -> None:
    """Refuse a column of text that has too many different values for one-hot inputs to mean anything.

    Raises:
        DataError: when there are more than 100, or a value is in fewer than two rows on average.
    """
    distinct = len(set(values.tolist()))
    if distinct > MOST or 2 * distinct > len(values):
        raise DataError(
            f"csv: {where} is text with {distinct:,} different values in {len(values):,} rows, like an id or free text",
            f"leave it out: --set data.drop={name}; to have an input for each value: --set data.categories={name}",
        )


def one_hot(name: str, values: np.ndarray, rows: Mapping[str, np.ndarray]) -> Encoded:
    """One input per category.

    Args:
        name: of the column.
        values: its values [N].
        rows: the rows of `train`, `val` and `test`.
    """
    # scikit-learn takes most of a second to import: only a table with categories needs it
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    encoder.fit(values[rows["train"], None])
    inputs = encoder.transform(values[:, None])
    if inputs.shape[1] == 1:
        inputs = np.zeros_like(inputs)
    (known,) = encoder.categories_
    return Encoded(name, inputs, tuple(_unknown(name, values, rows, set(known.tolist()))))


def _unknown(name: str, values: np.ndarray, rows: Mapping[str, np.ndarray], known: set[object]) -> list[str]:
    """What is said of the rows whose category no training row has."""
    missing = {split: [value for value in values[rows[split]].tolist() if value not in known] for split in rows}
    counts = [f"{len(found)} row{'s' * (len(found) > 1)} of {split}" for split, found in missing.items() if found]
    if not counts:
        return []
    distinct = list(Counter(value for found in missing.values() for value in found))
    shown = ", ".join(map(repr, distinct[:LISTED])) + (", ..." if len(distinct) > LISTED else "")
    return [f"{name} is {shown} in {' and '.join(counts)} and in no training row: its inputs are all 0 there"]


def notes(encoded: Sequence[Encoded], width: int) -> tuple[str, ...]:
    """What a user should know of the columns of categories, among `width` inputs in all."""
    if not encoded:
        return ()
    columns = ", ".join(f"{column.name} {column.inputs.shape[1]}" for column in encoded)
    remarks = [remark for column in encoded for remark in column.remarks]
    return f"one-hot inputs: {columns} (of {width} inputs)", *remarks
