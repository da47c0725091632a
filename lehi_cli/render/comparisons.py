"""The comparisons of a store, in a table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lehi_cli.runs.comparisons import ComparisonRecord

from .document import Column, Part, Table

MOST = 10
NAMED = 4  # optimizers of a comparison without a command


def comparisons_part(records: Sequence[ComparisonRecord]) -> Part:
    """One row for each, latest last; at most the last ten."""
    columns = [Column("comparison", right=False), Column("made (UTC)", right=False), Column("runs")]
    columns.append(Column("command", right=False, wraps=True))
    rows = [
        [
            record.id,
            record.created.partition(".")[0].replace("T", " "),
            str(len(record.runs)),
            shlex.join(["lehi", *record.command]) if record.command else _from_python(record),
        ]
        for record in records[-MOST:]
    ]
    first = f"the last {MOST} of {len(records)}; " if len(records) > MOST else ""
    caption = f"{first}lehi report --comparison ID shows one of them again; this is the last:"
    return Part("comparisons", "", [Table(columns, rows, caption)])


def _from_python(record: ComparisonRecord) -> str:
    """What stands in place of a command where none was typed: `from Python: compare lehi, adam`."""
    labels = list(dict.fromkeys(run.label for run in record.runs))
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return f"from Python: {record.kind} {', '.join(labels[:NAMED])}{more}"
