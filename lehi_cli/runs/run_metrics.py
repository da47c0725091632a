"""The metric rows of one run in memory: columns of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .shards import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa


class _Column(NamedTuple):
    """The values of a column, and the rows that have one; None if all do."""

    values: Any
    present: Any


class RunMetrics:
    """The metric rows of one run, by column.

    Args:
        columns: values by name, as a list or an Arrow array, with None or null in a row without a value; None in place
            of a column that was not read.
        rest: reads the run again with every column, so that rows of two attempts are never mixed.
    """

    def __init__(self, columns: Mapping[str, Any], rest: Callable[[], Mapping[str, Any]] | None = None):
        self._columns = dict(columns)
        self._rest = rest
        self._rows: dict[str, Any] = {}
        self._finals: dict[tuple[str, str], float | None] = {}

    def curve(self, split: str, column: str, x: str = "step") -> tuple[list[float], list[float]]:
        """`x` and `column` over the rows of a split, without rows that lack a value."""
        xs, values = self.columns(split, column, (x, column))
        return xs, values

    def columns(self, split: str, column: str, wanted: Sequence[str]) -> list[list[float]]:
        """Several columns over the rows of a split in which `column` has a value."""
        rows = self._with_values(split, column, *wanted)
        if not len(rows):
            return [[] for _ in wanted]
        return [self._column(name).values[rows].tolist() for name in wanted]

    def final(self, split: str, column: str) -> float | None:
        """The last value of a split; None if there is none."""
        if (split, column) not in self._finals:  # every table, ranking and verdict asks for it
            rows = self._with_values(split, column)
            self._finals[split, column] = float(self._column(column).values[rows[-1]]) if len(rows) else None
        return self._finals[split, column]

    def last(self, split: str, column: str, count: int) -> list[float]:
        """The last `count` values of a split; the value before the first step does not count."""
        steps, values = self.curve(split, column)
        return [value for step, value in zip(steps, values, strict=True) if step > 0][-count:]

    def _with_values(self, split: str, column: str, *others: str) -> Any:
        """The rows of a split that have a value; reads columns that were not read before."""
        unread = any(self._columns.get(name, ()) is None for name in (column, *others))
        if unread and self._rest is not None:
            self._columns, self._rows = dict(self._rest()), {}
        if column not in self._columns:
            return ()
        rows, present = self._of(split), self._column(column).present
        return rows if present is None else rows[present[rows]]

    def names(self) -> list[str]:
        """The metrics besides the loss."""
        return [name for name in self._columns if name not in COLUMNS]

    def _of(self, split: str) -> Any:
        """The rows of a split."""
        if split not in self._rows:
            (self._rows[split],) = (self._column("split").values == split).nonzero()
        return self._rows[split]

    def _column(self, name: str) -> _Column:
        found = self._columns[name]
        if not isinstance(found, _Column):
            found = self._columns[name] = _from_list(found) if isinstance(found, list) else _from_arrow(found)
        return found


def _from_list(values: Sequence[Any]) -> _Column:
    import numpy as np

    present = np.array([value is not None for value in values], dtype=bool)
    return _Column(np.array(values, dtype=object), None if present.all() else present)


def _from_arrow(column: pa.ChunkedArray) -> _Column:
    """A column from a file, without Arrow's own `to_numpy`, which would import pandas for a quarter of a second."""
    import pyarrow as pa

    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_dictionary(whole.type):
        return _text(whole)
    if pa.types.is_floating(whole.type) or pa.types.is_integer(whole.type):
        return _numbers(whole)
    return _from_list(whole.to_pylist())


def _text(array: pa.DictionaryArray) -> _Column:
    """A column of text, with one Python string per distinct text."""
    import numpy as np

    texts = np.array([*array.dictionary.to_pylist(), None], dtype=object)
    which, present = _memory(array.indices)
    return _Column(texts[which if present is None else np.where(present, which, -1)], present)


def _numbers(array: pa.Array) -> _Column:
    """A column of numbers, with NaN where there is none."""
    import numpy as np

    values, present = _memory(array)
    return _Column(values if present is None else np.where(present, values, np.nan), present)


def _memory(array: pa.Array) -> _Column:
    """The numbers of an array as they are in memory, with an arbitrary number where there is none."""
    import numpy as np

    part = slice(array.offset, array.offset + len(array))
    bitmap, numbers = array.buffers()
    values = np.frombuffer(numbers, _dtype(array.type))[part]
    if not array.null_count:
        return _Column(values, None)
    # Arrow keeps one bit for each value, the lowest of a byte first.
    return _Column(values, np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[part].astype(bool))


def _dtype(kind: pa.DataType) -> str:
    """The numbers' type in numpy's notation, such as `f8`; Arrow's own `to_pandas_dtype` may need pandas."""
    import pyarrow as pa

    letter = "f" if pa.types.is_floating(kind) else "i" if pa.types.is_signed_integer(kind) else "u"
    return f"{letter}{kind.bit_width // 8}"
