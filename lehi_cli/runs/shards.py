"""The metric rows of one run on disk: write-once parquet shards.

Rows are wide, one per logged step or evaluation. Each names its run, options and budget, so that a query can keep them
apart. The columns `mae` and `rmse` are in units of the target as the task scales it; times `outcome.target.scale` in
the run's `run.json` they are in the target's own units. Shards written before the columns `options` and `budget`
existed can be read too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
"""Columns that every report needs; they and the task's metrics are read with the run, the others on request."""


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as one shard: fixed columns first, then every metric that occurs; non-finite numbers are kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metrics = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    fields = [(name, _column_type(name)) for name in (*COLUMNS, *metrics)]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    # Numbers hardly repeat, and a shard is read whole: dictionaries and statistics would only slow reading down.
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
        folder: folder of the run.
        notices: takes a notice for a damaged shard; the rest is read.
        wanted: columns to read with their values, the others become None; by default all are read.
    """
    import pyarrow as pa

    tables, names = [], dict[str, None]()
    for shard in _shards(folder):
        try:
            table, known = _read_shard(shard, wanted)
        except (OSError, pa.ArrowException) as error:
            first = str(error).partition("\n")[0]
            notice = Notice(f"skipped {shard}: damaged ({first})", "delete its folder to run it again")
            if notice not in notices:  # it was added when the run was first read
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
    """Paths of a run's shards in the order in which they were written; none if the run is gone."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(f"{folder}/{name}" for name in names if name.startswith("metrics-") and name.endswith(".parquet"))


def _read_shard(path: str, wanted: set[str] | None) -> tuple[pa.Table, list[str]]:
    """The wanted columns of a shard, and the names of all its columns.

    A shard is small: reading it in one go costs less than Arrow's file systems, and a memory map would keep it open.
    `read_table` would import pandas and start more threads than a hundred rows are worth.

    Raises:
        OSError, ArrowException: when it cannot be read, or lacks a column that every report needs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb") as source:
        file = pq.ParquetFile(pa.BufferReader(source.read()))
    # Not `file.schema`: it and the file's metadata reference each other, and stay until garbage is collected.
    names = [sys.intern(name) for name in file.schema_arrow.names]
    columns = None if wanted is None else [name for name in names if name in wanted]
    table = file.read(columns=columns, use_threads=False)
    if wrong := _what_is_wrong(table.schema):
        raise pa.ArrowInvalid(wrong)
    return table, names


@lru_cache
def _what_is_wrong(schema: pa.Schema) -> str:
    """What is wrong with the columns that every report needs, missing or not numbers; empty if nothing is."""
    import pyarrow as pa

    for name in AT_ONCE:
        if name not in schema.names:
            return f"no column {name}"
        kind = schema.field(name).type
        if name != "split" and not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            return f"{name} is no number"
    return ""
