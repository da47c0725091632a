"""What `unchanged.py` compares: texts by name. Files become text here, and differing texts become a diff."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

VOLATILE: Set[str] = {"started", "finished", "created", "measured", "owner", "platform", "seconds", "ms", "traceback"}
"""Keys of stored JSON and columns of stored rows that depend on when, where or by which lines a run was trained.

Only their values are left out of the comparison: a key that is missing is a difference.
"""
MEASURED = VOLATILE | {"steps", "passes_per_step"}
"""The same of a measured price: how many steps it took depends on the machine, and the last bit of a mean on them."""
SHOWN, NAMED, LINES, WIDTH = 5, 30, 30, 300
"""Differences that are printed, and those that are at least named; lines of each, characters of a line."""

Texts = dict[str, str]


def stored(store: Path) -> Texts:
    """All files of a store by their path, as text."""
    files = sorted(file for file in store.rglob("*") if file.is_file())
    return {f"{store.name}/{file.relative_to(store)}": content(file) for file in files}


def content(file: Path) -> str:
    """A file of a store as text: JSON, or the schema of a parquet file and a line per value."""
    if file.suffix == ".json":
        left_out = MEASURED if file.parent.name == ".costs" else VOLATILE
        return json.dumps(settled(json.loads(file.read_text(encoding="utf-8")), left_out), indent=1)
    shard = pq.read_table(file)
    rows = [settled(row) for row in shard.to_pylist()]
    values = [f"row {i}, {column}: {value!r}" for i, row in enumerate(rows) for column, value in row.items()]
    return "\n".join([str(shard.schema), *values])


def settled(value: Any, left_out: Set[str] = VOLATILE) -> Any:
    """Plain data with a mark in place of each value that is left out. Floats keep every digit: every bit counts."""
    if isinstance(value, dict):
        return {key: "not compared" if key in left_out else settled(item, left_out) for key, item in value.items()}
    return [settled(item, left_out) for item in value] if isinstance(value, list) else value


def differences(old: Texts, new: Texts) -> dict[str, list[str]]:
    """A unified diff, by name, of everything that differs; what only one side has differs."""
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    sides = {name: [side.get(name, "not there").splitlines() for side in (old, new)] for name in names}
    return {name: list(unified_diff(a, b, "old", "new", lineterm="", n=1)) for name, (a, b) in sides.items()}


def excerpt(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Lines that show the first differences, name the next and count the rest."""
    for name, diff in islice(found.items(), SHOWN):
        yield f"{name}:"
        yield from (f"  {line[:WIDTH]}" for line in diff[:LINES])
        if len(diff) > LINES:
            yield f"  and {len(diff) - LINES} more lines"
    yield from (f"{name}: differs too" for name in islice(found, SHOWN, NAMED))
    if len(found) > NAMED:
        yield f"and {len(found) - NAMED} more"


def table(counts: Mapping[str, tuple[int, int]]) -> str:
    """A line per part: how many texts were compared, how many are equal, and how many differ."""
    lines = [f"{'part':10}{'compared':>10}{'equal':>10}{'different':>10}"]
    lines += [f"{part:10}{all_:10}{all_ - differ:10}{differ:10}" for part, (all_, differ) in counts.items()]
    return "\n".join(lines)
