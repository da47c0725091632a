"""Options that choose among the stored runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lehi_cli.runs.status import Status

from .completion import some_of, stored_labels, stored_optimizers, stored_tags, stored_tasks

TaskFilter = Annotated[
    str | None,
    typer.Option("--task", help="Only these tasks, a comma list; `*` matches anything.", autocompletion=stored_tasks),
]
OptimFilter = Annotated[
    str | None,
    typer.Option("--optims", help="Only these optimizers: names or labels.", autocompletion=stored_optimizers),
]
LabelFilter = Annotated[str | None, typer.Option("--label", help="Only these labels.", autocompletion=stored_labels)]
SeedFilter = Annotated[str | None, typer.Option("--seeds", help="Only these seeds: a count or a list.")]
StatusFilter = Annotated[
    str | None,
    typer.Option("--status", help="Only runs with these statuses, a comma list.", autocompletion=some_of(list(Status))),
]
Since = Annotated[str | None, typer.Option(help="Only runs started since a day, a time, or 2d, 12h, 30min ago.")]
Until = Annotated[str | None, typer.Option(help="Only runs started until then; a day includes all of it.")]
TagFilter = Annotated[
    str | None, typer.Option("--tag", help="Only runs with one of these tags.", autocompletion=stored_tags)
]
