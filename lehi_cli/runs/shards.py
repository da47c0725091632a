"""The metric rows of one run: write-once parquet shards on disk, columns of numbers in memory.

Rows are wide, one per logged step or evaluation, and say themselves which run they belong to, and with which options
and budget, so that a query can keep those apart. The columns `mae` and `rmse` are in units of the target as the task
scales it; times `outcome.target.scale` in the run's `run.json` they are in the target's own. Shards written before
there were `options` and `budget` are read too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lehi_cli.errors import Notice

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS = ("run_id", "task", "data", "optimizer", "label", "options", "budget", "split")
COUNT_COLUMNS = ("seed", "step", "samples")
COLUMNS = (
    "run_id", "task", "data", "optimizer", "label", "options", "budget", "lr", "seed", "split",
    "epoch", "step", "samples", "passes", "seconds", "loss", "lr_now",
)  # fmt: skip
AT_ONCE = ("split", "step", "samples", "passes", "seconds", "loss")
"""Columns that every report needs; they and the task's metrics are read with the run, the others when asked for."""


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as one shard: fixed columns first, then every metric that occurs; numbers that are not finite stay."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metrics = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    fields = [(name, _column_type(name)) for name in (*COLUMNS, *metrics)]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    # Numbers hardly repeat, and a shard is read whole: dictionaries and statistics would only slow that.
    pq.write_table(table, path, compression="zstd", use_dictionary=list(TEXT_COLUMNS), write_statistics=False)


def _column_type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name in TEXT_COLUMNS:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.int64() if name in COUNT_COLUMNS else pa.float64()


def read_columns(
    folder: Path, notices: list[Notice], wanted: set[str] | None = None
) -> dict[str, pa.ChunkedArray | None]:
    """The columns of a run.

    Args:
        folder: of the run.
        notices: where a damaged shard is named; the rest is read.
        wanted: columns that come with their values, the others as None; without it, all do.
    """
    import pyarrow as pa

    tables, names = [], dict[str, None]()
    for shard in _shards(folder):
        try:
            table, known = _read_shard(shard, wanted)
        except (OSError, pa.ArrowException) as error:
            first = str(error).partition("\n")[0]
            notice = Notice(f"skipped {shard}: damaged ({first})", "delete its folder to run it again")
            if notice not in notices:  # said when the run was first read
                notices.append(notice)
        else:
            tables.append(table)
            names |= dict.fromkeys(known)
    if not tables:
        return {}
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")
    return names | dict(zip(table.column_names, table.columns, strict=True))


def read_table(folder: Path, notices: list[Notice]) -> pa.Table | None:
    """Every row of a run with every column; None when it has none that can be read."""
    import pyarrow as pa

    columns = read_columns(folder, notices)
    return pa.table(columns) if columns else None


def _shards(folder: Path) -> list[str]:
    """Paths of a run's shards in the order they were written; none when the run is gone."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(f"{folder}/{name}" for name in names if name.startswith("metrics-") and name.endswith(".parquet"))


def _read_shard(path: str, wanted: set[str] | None) -> tuple[pa.Table, list[str]]:
    """The wanted columns of a shard, and the names of all.

    A shard is small: read in one go it costs less than by way of Arrow's file systems, and a memory map would hold it
    open. `read_table` would import pandas and more threads than a hundred rows are worth.

    Raises:
        OSError, ArrowException: when it cannot be read, or lacks what every report needs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb") as source:
        file = pq.ParquetFile(pa.BufferReader(source.read()))
    # Not `file.schema`: that and the file's metadata hold each other, and stay until somebody looks for cycles.
    names = [sys.intern(name) for name in file.schema_arrow.names]
    columns = None if wanted is None else [name for name in names if name in wanted]
    table = file.read(columns=columns, use_threads=False)
    if wrong := _what_is_wrong(table.schema):
        raise pa.ArrowInvalid(wrong)
    return table, names


@lru_cache
def _what_is_wrong(schema: pa.Schema) -> str:
    """Which of the columns that every report needs is missing or no number; empty when all are right."""
    import pyarrow as pa

    for name in AT_ONCE:
        if name not in schema.names:
            return f"no column {name}"
        kind = schema.field(name).type
        if name != "split" and not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            return f"{name} is no number"
    return ""


class _Column(NamedTuple):
    """Values of a column, and in which rows there is one; None when in all."""

    values: Any
    present: Any


class Metrics:
    """The metric rows of one run, by column.

    Args:
        columns: values by name, as a list or as Arrow has them, a row without one being None or null; None in place of
            a column that was not read.
        rest: reads the run anew, with every column: all of them, so that rows of two attempts are never mixed.
    """

    def __init__(self, columns: Mapping[str, Any], rest: Callable[[], Mapping[str, Any]] | None = None):
        self._columns = dict(columns)
        self._rest = rest
        self._rows: dict[str, Any] = {}
        self._finals: dict[tuple[str, str], float | None] = {}

    def curve(self, split: str, column: str, x: str = "step") -> tuple[list[float], list[float]]:
        """`x` and `column` over the rows of a split, rows without a value left out."""
        xs, values = self.columns(split, column, (x, column))
        return xs, values

    def columns(self, split: str, column: str, wanted: Sequence[str]) -> list[list[float]]:
        """Several columns over the rows of a split in which `column` has a value."""
        rows = self._with_values(split, column, *wanted)
        if not len(rows):
            return [[] for _ in wanted]
        return [self._column(name).values[rows].tolist() for name in wanted]

    def final(self, split: str, column: str) -> float | None:
        """The last value of a split; None when there is none."""
        if (split, column) not in self._finals:  # asked for by every table, ranking and verdict
            rows = self._with_values(split, column)
            self._finals[split, column] = float(self._column(column).values[rows[-1]]) if len(rows) else None
        return self._finals[split, column]

    def last(self, split: str, column: str, count: int) -> list[float]:
        """The last `count` values of a split; the one before the first step is none of them."""
        steps, values = self.curve(split, column)
        return [value for step, value in zip(steps, values, strict=True) if step > 0][-count:]

    def _with_values(self, split: str, column: str, *others: str) -> Any:
        """The rows of a split that have a value; columns that were not read are read now."""
        unread = any(self._columns.get(name, ()) is None for name in (column, *others))
        if unread and self._rest is not None:
            self._columns, self._rows = dict(self._rest()), {}
        if column not in self._columns:
            return ()
        rows, present = self._of(split), self._column(column).present
        return rows if present is None else rows[present[rows]]

    def names(self) -> list[str]:
        """The metrics beside the loss."""
        return [name for name in self._columns if name not in COLUMNS]

    def _of(self, split: str) -> Any:
        """Which rows are of a split."""
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
    """A column out of its file, without Arrow's own `to_numpy`: that would import pandas, for a quarter of a second."""
    import pyarrow as pa

    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_dictionary(whole.type):
        return _text(whole)
    if pa.types.is_floating(whole.type) or pa.types.is_integer(whole.type):
        return _numbers(whole)
    return _from_list(whole.to_pylist())


def _text(array: pa.DictionaryArray) -> _Column:
    """Text as one Python string per different one."""
    import numpy as np

    texts = np.array([*array.dictionary.to_pylist(), None], dtype=object)
    which, present = _memory(array.indices)
    return _Column(texts[which if present is None else np.where(present, which, -1)], present)


def _numbers(array: pa.Array) -> _Column:
    """Numbers, with NaN where there is none."""
    import numpy as np

    values, present = _memory(array)
    return _Column(values if present is None else np.where(present, values, np.nan), present)


def _memory(array: pa.Array) -> _Column:
    """The numbers of an array as they lie in memory: any number where there is none."""
    import numpy as np

    part = slice(array.offset, array.offset + len(array))
    bitmap, numbers = array.buffers()
    values = np.frombuffer(numbers, _dtype(array.type))[part]
    if not array.null_count:
        return _Column(values, None)
    # Arrow keeps one bit for each value, the lowest of a byte first.
    return _Column(values, np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[part].astype(bool))


def _dtype(kind: pa.DataType) -> str:
    """The numbers' type as numpy writes it, such as `f8`; Arrow's own `to_pandas_dtype` may want pandas."""
    import pyarrow as pa

    letter = "f" if pa.types.is_floating(kind) else "i" if pa.types.is_signed_integer(kind) else "u"
    return f"{letter}{kind.bit_width // 8}"
